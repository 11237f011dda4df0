// metabonk._core.grid64: conversion between Python and games/grid64.
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bindings/batch.h"
#include "bindings/rooms.h"
#include "games/grid64/batch.h"
#include "games/grid64/palette.h"
#include "games/grid64/replay.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using grid64::Action;
using grid64::Episode;
using grid64::Split;

const char* const kSplitNames[] = {"train", "test"};
const char* const kStatusNames[] = {"NOT_FINISHED", "WIN", "GAME_OVER"};

int GameOf(const std::string& name) {
  const int game = grid64::FindGame(name.c_str());
  if (game >= 0) return game;
  std::string known;
  for (int i = 0; i < grid64::kGames; ++i) {
    known += (i ? ", " : "") + std::string(grid64::GameAt(i).name);
  }
  throw nb::value_error(("game: no game '" + name + "', known are " + known).c_str());
}

Split SplitOf(const std::string& name) {
  for (int i = 0; i < 2; ++i) {
    if (name == kSplitNames[i]) return static_cast<Split>(i);
  }
  throw nb::value_error("split: must be 'train' or 'test'");
}

std::vector<ObservationArray> Arrays() {
  return {
      {"cells", {grid64::kSide, grid64::kSide}, Dtype::kUint8},
      {"action_mask", {grid64::kActionIds}, Dtype::kUint8},
      {"levels_completed", {1}, Dtype::kInt32},
  };
}

// The core's batch as batch.h wants it, with a name of its own: see ArenaBatch.
class GridBatch {
 public:
  using Buffers = BoundBuffers<grid64::Buffers>;
  static constexpr size_t kActionColumns = grid64::kActionColumns;
  static constexpr bool kBusyFirst = false;

  GridBatch(int game, Split split, int num_envs, int threads, int batch_size, bool autoreset,
            uint64_t layouts)
      : core_(game, split, num_envs, threads, autoreset, layouts), batch_size_(batch_size) {}

  Gate& gate() const { return core_.gate(); }
  int num_envs() const { return core_.num_envs(); }
  int batch_size() const { return batch_size_; }
  size_t pixel_bytes() const { return 0; }
  bool busy() const { return !core_.Grounded().ok(); }
  const Episode& episode(int index) const { return core_.episode(index); }

  std::vector<ObservationArray> Arrays() const { return bindings::Arrays(); }
  static void Point(const ObservationArray& array, void* data, grid64::Buffers* to) {
    if (array.name == "cells") to->cells = static_cast<uint8_t*>(data);
    if (array.name == "action_mask") to->action_mask = static_cast<uint8_t*>(data);
    if (array.name == "levels_completed") to->levels_completed = static_cast<int32_t*>(data);
  }
  static void Point(const Outcome& outcome, grid64::Buffers* to) {
    to->reward = outcome.reward;
    to->terminated = outcome.terminated;
    to->truncated = outcome.truncated;
    to->is_reset = outcome.is_reset;
  }

  void Reset(const uint64_t* seeds, const grid64::Buffers& to) { core_.Reset(seeds, to); }
  Status Step(const float* actions, const grid64::Buffers& to) {
    return core_.StepAll(actions, to);
  }
  void Write(const grid64::Buffers& to) { core_.ObserveAll(to); }
  Status Send(const float* actions, const int32_t* env_ids, int count) {
    return core_.Send(actions, env_ids, count);
  }
  Status Recv(int32_t* env_ids, const grid64::Buffers& to) {
    return core_.Recv(to, env_ids, batch_size_);
  }

  Status Save(std::vector<uint8_t>* bytes) const { return core_.Clone(bytes); }
  Status Load(std::span<const uint8_t> bytes) { return core_.Restore(bytes); }
  Status SaveOne(int index, std::vector<uint8_t>* bytes) const {
    return core_.CloneOne(index, bytes);
  }
  Status LoadOne(int index, std::span<const uint8_t> bytes) {
    return core_.RestoreOne(index, bytes);
  }

  uint64_t Hash(int index) const { return grid64::Hash(episode(index)); }
  nb::dict EpisodeInfo() const;

 private:
  grid64::Batch core_;
  const int batch_size_;
};

nb::dict GridBatch::EpisodeInfo() const {
  const auto column = [&]<typename T>(T, auto get) {
    return Column<T>(num_envs(), [&](int i) { return static_cast<T>(get(episode(i))); });
  };
  const auto levels = [](const Episode& e) { return e.levels_completed; };
  nb::dict info;
  info["return"] = column(float{}, levels);
  info["length"] = column(int64_t{}, [](const Episode& e) { return e.length; });
  info["levels_completed"] = column(int64_t{}, levels);
  info["game_state"] = column(int64_t{}, [](const Episode& e) { return e.status; });
  info["won"] =
      column(bool{}, [](const Episode& e) { return e.status == grid64::GameStatus::kWin; });
  return info;
}

std::unique_ptr<GridBatch> MakeBatch(const std::string& game, const std::string& split,
                                     int num_envs, int threads, int batch_size, bool autoreset,
                                     uint64_t layouts) {
  CheckCounts(num_envs, threads, batch_size);
  return std::make_unique<GridBatch>(GameOf(game), SplitOf(split), num_envs, threads,
                                     batch_size == 0 ? num_envs : batch_size, autoreset, layouts);
}

nb::object Picture(const GridBatch& batch, int index, int height, int width) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  if (height < 1 || width < 1 || height > 4096 || width > 4096) {
    throw nb::value_error("height, width: must be from 1 to 4096");
  }
  uint8_t cells[grid64::kCells];
  grid64::Observe(batch.episode(index), {cells});
  uint8_t* rgb;
  nb::object array =
      NewArray<uint8_t>({static_cast<size_t>(height), static_cast<size_t>(width), 3}, &rgb);
  grid64::Paint(cells, height, width, rgb);
  return array;
}

nb::object RowsOf(const std::vector<Action>& actions) {
  float* rows;
  nb::object array = NewArray<float>({actions.size(), grid64::kActionColumns}, &rows);
  for (const Action& action : actions) {
    *rows++ = action.id == grid64::kNoAction ? -1.0f : action.id;
    *rows++ = action.x;
    *rows++ = action.y;
  }
  return array;
}

nb::object SolveOne(const GridBatch& batch, int index) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  std::vector<Action> plan;
  if (!grid64::Solve(batch.episode(index), &plan)) return nb::none();
  return RowsOf(plan);
}

// Everything an episode shows: the frames before, between and after its actions.
struct Film {
  explicit Film(const Episode& episode) { Add(episode); }

  void Add(const Episode& episode) {
    cells.resize(cells.size() + grid64::kCells);
    masks.resize(masks.size() + grid64::kActionIds);
    levels.push_back(0);
    grid64::Observe(episode, {cells.data() + cells.size() - grid64::kCells,
                              masks.data() + masks.size() - grid64::kActionIds, &levels.back()});
  }

  nb::tuple ToPython() const {
    const size_t frames = levels.size();
    uint8_t* to_cells;
    uint8_t* to_masks;
    int32_t* to_levels;
    nb::object all_cells = NewArray<uint8_t>({frames, grid64::kSide, grid64::kSide}, &to_cells);
    nb::object all_masks = NewArray<uint8_t>({frames, grid64::kActionIds}, &to_masks);
    nb::object all_levels = NewArray<int32_t>({frames, 1}, &to_levels);
    std::memcpy(to_cells, cells.data(), cells.size());
    std::memcpy(to_masks, masks.data(), masks.size());
    std::memcpy(to_levels, levels.data(), levels.size() * sizeof(int32_t));
    return nb::make_tuple(RowsOf(actions), all_cells, all_masks, all_levels);
  }

  std::vector<Action> actions;
  std::vector<uint8_t> cells;
  std::vector<uint8_t> masks;
  std::vector<int32_t> levels;
};

nb::tuple Demonstrate(const std::string& game, uint64_t seed, const std::string& split,
                      bool solve) {
  Episode episode;
  grid64::Start(episode, GameOf(game), SplitOf(split), seed);
  Film film(episode);
  std::vector<Action> plan;
  while (!episode.over) {
    plan.clear();
    if (!solve || !grid64::Solve(episode, &plan)) plan = {Action{}};
    for (const Action& action : plan) {
      if (episode.over) break;  // the step limit cuts a plan
      grid64::Step(episode, action);
      film.actions.push_back(action);
      film.Add(episode);
    }
  }
  return film.ToPython();
}

nb::bytes WriteReplay(const std::string& game, uint64_t seed, const std::string& split,
                      const Actions& rows) {
  CheckActions(rows, rows.shape(0), grid64::kActionColumns);
  std::vector<Action> actions(rows.shape(0));
  for (size_t i = 0; i < actions.size(); ++i) {
    actions[i] = grid64::ActionOf(rows.data() + i * grid64::kActionColumns);
  }
  std::vector<uint8_t> bytes;
  RaiseUnlessOk(grid64::WriteReplay(GameOf(game), SplitOf(split), seed, actions, &bytes));
  return ToBytes(bytes);
}

nb::dict ReadReplay(const nb::bytes& replay) {
  grid64::ReplayHeader header;
  int game = -1;
  std::span<const uint8_t> encoded;
  RaiseUnlessOk(grid64::ReadReplay(ToSpan(replay), &header, &game, &encoded));
  grid64::ReplayResult played;
  RaiseUnlessOk(grid64::VerifyReplay(ToSpan(replay), &played));
  std::vector<Action> actions;
  for (size_t i = 0; i < encoded.size(); i += 3) {
    actions.push_back({encoded[i], encoded[i + 1], encoded[i + 2]});
  }
  nb::dict out;
  out["game"] = header.game;
  out["seed"] = header.seed;
  out["split"] = kSplitNames[header.split];
  out["actions"] = RowsOf(actions);
  out["hash"] = played.hash;
  out["levels_completed"] = static_cast<int>(played.levels_completed);
  out["game_state"] = kStatusNames[static_cast<int>(played.status)];
  return out;
}

nb::dict Games() {
  nb::dict games;
  for (int i = 0; i < grid64::kGames; ++i)
    games[grid64::GameAt(i).name] = grid64::GameAt(i).summary;
  return games;
}

nb::tuple Limits(const std::string& game) {
  const grid64::Game& table = grid64::GameAt(GameOf(game));
  return nb::make_tuple(static_cast<int>(table.levels), static_cast<int>(table.step_limit));
}

nb::dict Layout() { return LayoutOf(Arrays()); }

nb::object Palette() {
  uint8_t* rgb;
  nb::object array = NewArray<uint8_t>({16, 3}, &rgb);
  for (const grid64::Rgb& color : grid64::kPalette) {
    *rgb++ = color.red;
    *rgb++ = color.green;
    *rgb++ = color.blue;
  }
  return array;
}

void BindBatch(nb::module_& module) {
  auto batch = DeclareBatch<GridBatch>(
      module, "N episodes of one game that step in one call and write into the caller's arrays.");
  batch.def(nb::new_(&MakeBatch), nb::arg("game"), nb::arg("split"), nb::arg("num_envs"),
            nb::arg("threads") = 1, nb::arg("batch_size") = 0, nb::arg("autoreset") = true,
            nb::arg("layouts") = 0,
            "game: a key of games(). split: 'train' or 'test'. batch_size: rows of a recv, 0 for "
            "num_envs. Without autoreset an ended episode stays as it is. layouts: how many "
            "different episodes there are, 0 for no bound. Raises ValueError, the argument first. "
            "A batch takes one call at a time: RuntimeError in a second thread.");
  DefineBatch(
      batch,
      {.step = "One step each; actions float32 [num_envs, 3]: action, x, y.",
       .restore_one = "into any environment",
       .hashes = "Hash of every episode's state, uint64 [num_envs].",
       .episode_info = "Of the current or just ended episodes, arrays [num_envs]: return, length, "
                       "levels_completed, game_state (0 NOT_FINISHED, 1 WIN, 2 GAME_OVER), won."});
  batch
      .def("render", &Picture, nb::arg("index"), nb::arg("height"), nb::arg("width"),
           "A picture of one, uint8 [height, width, 3].")
      .def("solve", &SolveOne, nb::arg("index"),
           "Actions float32 [T, 3] that finish the level of one from here; None if none do.");
  DefineCounts(batch);
}

}  // namespace

void BindGrid64(nb::module_& core) {
  nb::module_ module =
      core.def_submodule("grid64", "Puzzle games on 64x64 cells of 16 colours with solvers.");
  module.def("games", Games, "Name -> one line of description.");
  module.def("limits", Limits, nb::arg("game"), "Levels per episode, steps per level.");
  module.def("layout", Layout, "Observation arrays of one environment: name -> (shape, dtype).");
  module.def("palette", Palette, "The 16 colours, uint8 [16, 3].");
  module.def("demonstrate", Demonstrate, nb::arg("game"), nb::arg("seed"), nb::arg("split"),
             nb::arg("solve") = true,
             "An episode as its solver plays it, or without `solve` one in which nothing is done: "
             "actions float32 [T, 3], cells uint8 [T + 1, 64, 64], action_mask uint8 [T + 1, 7], "
             "levels_completed int32 [T + 1, 1].");
  module.def("write_replay", WriteReplay, nb::arg("game"), nb::arg("seed"), nb::arg("split"),
             nb::arg("actions").noconvert(),
             "A replay file: seed, actions float32 [T, 3] and the hash of playing them.");
  module.def("read_replay", ReadReplay, nb::arg("replay"),
             "Plays a replay file and returns what it holds. Raises ValueError if it is damaged or "
             "does not end at its hash.");
  BindBatch(module);
}

}  // namespace metabonk::bindings
