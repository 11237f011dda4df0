// metabonk._core.grid64: conversion between Python and games/grid64.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/hold.h"
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
using Seeds = nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Actions = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using EnvIds = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

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

// A batch with what Python needs to know of it.
struct PyBatch {
  PyBatch(int game, Split split, int num_envs, int threads, int rows, bool autoreset)
      : batch(game, split, num_envs, threads, autoreset), batch_size(rows) {}
  grid64::Batch batch;
  const int batch_size;
};

struct PyBuffers {
  grid64::Buffers pointers;
  int rows = 0;
  std::vector<nb::object> kept;  // keeps the arrays alive
};

std::unique_ptr<PyBatch> MakeBatch(const std::string& game, const std::string& split, int num_envs,
                                   int threads, int batch_size, bool autoreset) {
  if (num_envs < 1) throw nb::value_error("num_envs: must be at least 1");
  if (threads < 1 || threads > 1024) throw nb::value_error("threads: must be from 1 to 1024");
  if (batch_size < 0 || batch_size > num_envs) {
    throw nb::value_error("batch_size: must be from 1 to num_envs, or 0 for num_envs");
  }
  return std::make_unique<PyBatch>(GameOf(game), SplitOf(split), num_envs, threads,
                                   batch_size == 0 ? num_envs : batch_size, autoreset);
}

std::unique_ptr<PyBuffers> Bind(const PyBatch& batch, const nb::dict& observation,
                                const nb::object& reward, const nb::object& terminated,
                                const nb::object& truncated, const nb::object& is_reset) {
  auto buffers = std::make_unique<PyBuffers>();
  grid64::Buffers& to = buffers->pointers;
  const auto rows = RowsOf(reward, static_cast<size_t>(batch.batch.num_envs()),
                           static_cast<size_t>(batch.batch_size));
  buffers->rows = static_cast<int>(rows);
  for (auto [key, array] : observation) {
    const auto name = nb::cast<std::string>(key);
    if (name == "cells") {
      to.cells = CheckedArray<uint8_t>(name, array, {rows, grid64::kSide, grid64::kSide}, "uint8");
    } else if (name == "action_mask") {
      to.action_mask = CheckedArray<uint8_t>(name, array, {rows, grid64::kActionIds}, "uint8");
    } else if (name == "levels_completed") {
      to.levels_completed = CheckedArray<int32_t>(name, array, {rows, 1}, "int32");
    } else {
      throw nb::key_error(("observation: has no array '" + name + "', see layout()").c_str());
    }
    buffers->kept.push_back(nb::borrow(array));
  }
  to.reward = CheckedArray<float>("reward", reward, {rows}, "float32");
  to.terminated = CheckedArray<bool>("terminated", terminated, {rows}, "bool");
  to.truncated = CheckedArray<bool>("truncated", truncated, {rows}, "bool");
  to.is_reset = CheckedArray<bool>("is_reset", is_reset, {rows}, "bool");
  for (const nb::object& array : {reward, terminated, truncated, is_reset}) {
    buffers->kept.push_back(array);
  }
  return buffers;
}

// Buffers of another batch, or of the other kind, may be shorter than what is written.
void CheckRows(const PyBuffers& buffers, int rows) {
  if (buffers.rows != rows) {
    throw nb::value_error(
        "buffers: must be bound by this batch, with num_envs rows, or batch_size for recv");
  }
}

void CheckActions(const Actions& actions, size_t rows) {
  if (actions.shape(0) == rows && actions.shape(1) == grid64::kActionColumns) return;
  const std::string shape = ShapeText({rows, grid64::kActionColumns});
  throw nb::value_error(("actions: must have shape " + shape).c_str());
}

void CheckIndex(const PyBatch& batch, int index) {
  if (index >= 0 && index < batch.batch.num_envs()) return;
  throw nb::index_error("index: must be from 0 to num_envs - 1");
}

void Reset(PyBatch& batch, const Seeds& seeds, const PyBuffers& buffers) {
  const Hold hold(batch.batch.gate());
  CheckRows(buffers, batch.batch.num_envs());
  if (seeds.shape(0) != static_cast<size_t>(batch.batch.num_envs())) {
    throw nb::value_error("seeds: must have shape (num_envs,)");
  }
  const nb::gil_scoped_release release;
  batch.batch.Reset(seeds.data(), buffers.pointers);
}

void Step(PyBatch& batch, const Actions& actions, const PyBuffers& buffers) {
  const Hold hold(batch.batch.gate());
  CheckRows(buffers, batch.batch.num_envs());
  CheckActions(actions, static_cast<size_t>(batch.batch.num_envs()));
  Status status;
  {
    const nb::gil_scoped_release release;
    status = batch.batch.StepAll(actions.data(), buffers.pointers);
  }
  RaiseUnlessOk(status);
}

void Write(PyBatch& batch, const PyBuffers& buffers) {
  const Hold hold(batch.batch.gate());
  CheckRows(buffers, batch.batch.num_envs());
  RaiseUnlessOk(batch.batch.Grounded());
  const nb::gil_scoped_release release;
  batch.batch.ObserveAll(buffers.pointers);
}

void Send(PyBatch& batch, const Actions& actions, const EnvIds& env_ids) {
  const Hold hold(batch.batch.gate());
  CheckActions(actions, env_ids.shape(0));
  RaiseUnlessOk(
      batch.batch.Send(actions.data(), env_ids.data(), static_cast<int>(env_ids.shape(0))));
}

nb::object Recv(PyBatch& batch, const PyBuffers& buffers) {
  const Hold hold(batch.batch.gate());
  CheckRows(buffers, batch.batch_size);
  int32_t* ids;
  nb::object array = NewArray<int32_t>({static_cast<size_t>(batch.batch_size)}, &ids);
  Status status;
  {
    const nb::gil_scoped_release release;
    status = batch.batch.Recv(buffers.pointers, ids, batch.batch_size);
  }
  RaiseUnlessOk(status);
  return array;
}

nb::bytes ToBytes(const std::vector<uint8_t>& bytes) {
  return nb::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::span<const uint8_t> ToSpan(const nb::bytes& bytes) {
  return {static_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

nb::bytes CloneState(const PyBatch& batch) {
  const Hold hold(batch.batch.gate());
  std::vector<uint8_t> bytes;
  RaiseUnlessOk(batch.batch.Clone(&bytes));
  return ToBytes(bytes);
}

nb::bytes CloneOne(const PyBatch& batch, int index) {
  const Hold hold(batch.batch.gate());
  CheckIndex(batch, index);
  std::vector<uint8_t> bytes;
  RaiseUnlessOk(batch.batch.CloneOne(index, &bytes));
  return ToBytes(bytes);
}

template <typename T, typename Get>
nb::object Column(const PyBatch& batch, Get get) {
  T* data;
  nb::object array = NewArray<T>({static_cast<size_t>(batch.batch.num_envs())}, &data);
  for (int i = 0; i < batch.batch.num_envs(); ++i) data[i] = get(batch.batch.episode(i));
  return array;
}

nb::dict EpisodeInfo(const PyBatch& batch) {
  const Hold hold(batch.batch.gate());
  RaiseUnlessOk(batch.batch.Grounded());
  nb::dict info;
  info["return"] =
      Column<float>(batch, [](const Episode& e) { return static_cast<float>(e.levels_completed); });
  info["length"] = Column<int64_t>(batch, [](const Episode& e) { return int64_t{e.length}; });
  info["levels_completed"] =
      Column<int64_t>(batch, [](const Episode& e) { return int64_t{e.levels_completed}; });
  info["game_state"] =
      Column<int64_t>(batch, [](const Episode& e) { return static_cast<int64_t>(e.status); });
  info["won"] =
      Column<bool>(batch, [](const Episode& e) { return e.status == grid64::GameStatus::kWin; });
  return info;
}

nb::object Hashes(const PyBatch& batch) {
  const Hold hold(batch.batch.gate());
  RaiseUnlessOk(batch.batch.Grounded());
  return Column<uint64_t>(batch, [](const Episode& e) { return grid64::Hash(e); });
}

nb::object Picture(const PyBatch& batch, int index, int height, int width) {
  const Hold hold(batch.batch.gate());
  CheckIndex(batch, index);
  RaiseUnlessOk(batch.batch.Grounded());
  if (height < 1 || width < 1 || height > 4096 || width > 4096) {
    throw nb::value_error("height, width: must be from 1 to 4096");
  }
  uint8_t cells[grid64::kCells];
  grid64::Observe(batch.batch.episode(index), {cells});
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

nb::object SolveOne(const PyBatch& batch, int index) {
  const Hold hold(batch.batch.gate());
  CheckIndex(batch, index);
  RaiseUnlessOk(batch.batch.Grounded());
  std::vector<Action> plan;
  if (!grid64::Solve(batch.batch.episode(index), &plan)) return nb::none();
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
  CheckActions(rows, rows.shape(0));
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

nb::dict Layout() {
  nb::dict layout;
  layout["cells"] = nb::make_tuple(nb::make_tuple(grid64::kSide, grid64::kSide), "uint8");
  layout["action_mask"] =
      nb::make_tuple(nb::make_tuple(static_cast<int>(grid64::kActionIds)), "uint8");
  layout["levels_completed"] = nb::make_tuple(nb::make_tuple(1), "int32");
  return layout;
}

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
  nb::class_<PyBuffers>(module, "Buffers", "Arrays that a batch has checked and writes into.");
  nb::class_<PyBatch>(module, "Batch",
                      "N episodes of one game that step in one call and write into the caller's "
                      "arrays.")
      .def(nb::new_(&MakeBatch), nb::arg("game"), nb::arg("split"), nb::arg("num_envs"),
           nb::arg("threads") = 1, nb::arg("batch_size") = 0, nb::arg("autoreset") = true,
           "game: a key of games(). split: 'train' or 'test'. batch_size: rows of a recv, 0 for "
           "num_envs. Without autoreset an ended episode stays as it is. Raises ValueError, the "
           "argument first. A batch takes one call at a time: RuntimeError in a second thread.")
      .def("bind", &Bind, nb::arg("observation"), nb::arg("reward").noconvert(),
           nb::arg("terminated").noconvert(), nb::arg("truncated").noconvert(),
           nb::arg("is_reset").noconvert(),
           "Checks arrays once and keeps them: [num_envs, ...], or [batch_size, ...] for recv. "
           "observation: any subset of layout(). reward float32; terminated, truncated, is_reset "
           "bool. Raises TypeError, ValueError or KeyError, the array's name first.")
      .def("reset", &Reset, nb::arg("seeds").noconvert(), nb::arg("buffers"),
           "Starts every environment anew and sets is_reset; seeds uint64 [num_envs]. What is in "
           "flight is waited for and dropped.")
      .def("step", &Step, nb::arg("actions").noconvert(), nb::arg("buffers"),
           "One step each; actions float32 [num_envs, 3]: action, x, y. After an episode ended the "
           "next step starts another, with reward 0 and is_reset set.")
      .def("write", &Write, nb::arg("buffers"),
           "Writes the present observations again, after restore_state; reward and flags stay as "
           "they are.")
      .def("send", &Send, nb::arg("actions").noconvert(), nb::arg("env_ids").noconvert(),
           "Starts stepping these environments; actions float32 [n, 3], env_ids int32 [n].")
      .def("recv", &Recv, nb::arg("buffers"),
           "Waits for batch_size environments; returns whose rows were written, int32 "
           "[batch_size].")
      .def("clone_state", &CloneState, "Everything that the future depends on, as bytes.")
      .def(
          "restore_state",
          [](PyBatch& batch, const nb::bytes& state) {
            const Hold hold(batch.batch.gate());
            RaiseUnlessOk(batch.batch.Restore(ToSpan(state)));
          },
          nb::arg("state"), "Inverse of clone_state.")
      .def("clone_one", &CloneOne, nb::arg("index"), "clone_state of one environment.")
      .def(
          "restore_one",
          [](PyBatch& batch, int index, const nb::bytes& state) {
            const Hold hold(batch.batch.gate());
            CheckIndex(batch, index);
            RaiseUnlessOk(batch.batch.RestoreOne(index, ToSpan(state)));
          },
          nb::arg("index"), nb::arg("state"), "Inverse of clone_one, into any environment.")
      .def("hashes", &Hashes, "Hash of every episode's state, uint64 [num_envs].")
      .def("episode_info", &EpisodeInfo,
           "Of the current or just ended episodes, arrays [num_envs]: return, length, "
           "levels_completed, game_state (0 NOT_FINISHED, 1 WIN, 2 GAME_OVER), won.")
      .def("render", &Picture, nb::arg("index"), nb::arg("height"), nb::arg("width"),
           "A picture of one, uint8 [height, width, 3].")
      .def("solve", &SolveOne, nb::arg("index"),
           "Actions float32 [T, 3] that finish the level of one from here; None if none do.")
      .def_prop_ro("num_envs", [](const PyBatch& batch) { return batch.batch.num_envs(); })
      .def_prop_ro("batch_size", [](const PyBatch& batch) { return batch.batch_size; });
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
