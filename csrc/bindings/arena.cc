// metabonk._core.arena.Batch: conversion between numpy arrays and games/arena/batch.h.
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bindings/batch.h"
#include "bindings/rooms.h"
#include "games/arena/batch.h"
#include "games/arena/kernels.h"
#include "games/arena/view.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using arena::Environment;

std::vector<ObservationArray> Arrays(int height, int width) {
  const char* no_pixels =
      height == 0 ? "construct the batch with pixel_height and pixel_width" : nullptr;
  return {
      {"state", {kStateFeatures}, Dtype::kFloat32},
      {"entities", {kNearestEntities, kEntityFeatures}, Dtype::kFloat32},
      {"entities_mask", {kNearestEntities}, Dtype::kUint8},
      {"pickups", {kNearestPickups, kPickupFeatures}, Dtype::kFloat32},
      {"pickups_mask", {kNearestPickups}, Dtype::kUint8},
      {"offers", {kOfferRows, kOfferFeatures}, Dtype::kFloat32},
      {"offers_mask", {kOfferRows}, Dtype::kUint8},
      {"action_mask", {kActionMask}, Dtype::kUint8},
      {"dt", {1}, Dtype::kFloat32},
      {"pixels",
       {static_cast<size_t>(height), static_cast<size_t>(width), 3},
       Dtype::kUint8,
       no_pixels},
  };
}

// The core's batch as batch.h wants it. No other room's may be called so: nanobind tells types
// apart by name, even those of anonymous namespaces.
class ArenaBatch {
 public:
  using Buffers = BoundBuffers<arena::BatchBuffers>;
  static constexpr size_t kActionColumns = metabonk::kActionColumns;
  static constexpr bool kBusyFirst = true;

  ArenaBatch(std::span<const arena::LevelSpec> specs, const arena::BatchSettings& settings)
      : core_(specs, settings) {}

  Gate& gate() const { return core_.gate(); }
  int num_envs() const { return core_.settings().num_envs; }
  int batch_size() const { return core_.settings().batch_size; }
  size_t pixel_bytes() const { return core_.pixel_bytes(); }
  bool busy() const { return core_.busy(); }
  Environment& environment(int i) { return core_.environment(i); }
  const Environment& environment(int i) const { return core_.environment(i); }

  std::vector<ObservationArray> Arrays() const {
    return bindings::Arrays(core_.settings().pixel_height, core_.settings().pixel_width);
  }
  static void Point(const ObservationArray& array, void* data, arena::BatchBuffers* to);
  static void Point(const Outcome& outcome, arena::BatchBuffers* to);

  void Reset(const uint64_t* seeds, const arena::BatchBuffers& to) { core_.Reset(seeds, to); }
  Status Step(const float* actions, const arena::BatchBuffers& to) {
    core_.Step(actions, to);
    return Status::Ok();
  }
  void Write(const arena::BatchBuffers& to) { core_.Write(to); }
  Status Send(const float* actions, const int32_t* env_ids, int count) {
    return core_.Send(actions, env_ids, count);
  }
  Status Recv(int32_t* env_ids, const arena::BatchBuffers& to) { return core_.Recv(env_ids, to); }

  Status Save(std::vector<uint8_t>* bytes) const {
    bytes->resize(core_.SnapshotBytes());
    core_.Save(bytes->data());
    return Status::Ok();
  }
  Status Load(std::span<const uint8_t> bytes) { return core_.Load(bytes); }
  Status SaveOne(int index, std::vector<uint8_t>* bytes) const {
    bytes->resize(arena::Batch::SnapshotBytesOfOne());
    core_.SaveOne(index, bytes->data());
    return Status::Ok();
  }
  Status LoadOne(int index, std::span<const uint8_t> bytes) { return core_.LoadOne(index, bytes); }

  uint64_t Hash(int index) const { return arena::HashWorld(environment(index).episode().world); }
  nb::dict EpisodeInfo() const;

 private:
  arena::Batch core_;
};

void ArenaBatch::Point(const ObservationArray& array, void* data, arena::BatchBuffers* to) {
  auto* f = static_cast<float*>(data);
  auto* b = static_cast<uint8_t*>(data);
  const std::string& name = array.name;
  ObservationView& view = to->first.observation;
  if (name == "state") view.state = f;
  if (name == "entities") view.entities = f;
  if (name == "entities_mask") view.entities_mask = b;
  if (name == "pickups") view.pickups = f;
  if (name == "pickups_mask") view.pickups_mask = b;
  if (name == "offers") view.offers = f;
  if (name == "offers_mask") view.offers_mask = b;
  if (name == "action_mask") view.action_mask = b;
  if (name == "dt") view.dt = f;
  if (name == "pixels") to->first.pixels = b;
}

void ArenaBatch::Point(const Outcome& outcome, arena::BatchBuffers* to) {
  // The core's flags are bytes, 0 or 1.
  to->first.reward = outcome.reward;
  to->first.terminated = reinterpret_cast<uint8_t*>(outcome.terminated);
  to->first.truncated = reinterpret_cast<uint8_t*>(outcome.truncated);
  to->first.is_reset = reinterpret_cast<uint8_t*>(outcome.is_reset);
}

nb::dict ArenaBatch::EpisodeInfo() const {
  const auto column = [&]<typename T>(T, auto get) {
    return Column<T>(num_envs(), [&](int i) { return static_cast<T>(get(environment(i))); });
  };
  const auto world = [](const Environment& e) -> const auto& { return e.episode().world; };
  nb::dict info;
  info["return"] = column(float{}, [](const Environment& e) { return e.episode().return_sum; });
  info["length"] = column(int64_t{}, [](const Environment& e) { return e.episode().length; });
  info["score"] = column(float{}, [&](const Environment& e) { return world(e).totals.score; });
  info["kills"] = column(int64_t{}, [&](const Environment& e) { return world(e).totals.kills; });
  info["level"] = column(int64_t{}, [&](const Environment& e) { return world(e).player.level; });
  info["time"] = column(float{}, [&](const Environment& e) { return arena::GameTime(world(e)); });
  info["won"] = column(bool{}, [&](const Environment& e) { return world(e).totals.victories > 0; });
  return info;
}

std::unique_ptr<ArenaBatch> MakeBatch(const nb::bytes& spec, int num_envs, int threads,
                                      int pixel_height, int pixel_width, int batch_size,
                                      bool autoreset) {
  CheckCounts(num_envs, threads, batch_size);
  if (pixel_height != 0 || pixel_width != 0)
    RaiseUnlessOk(arena::CheckFrame(pixel_height, pixel_width));
  const size_t count = spec.size() / sizeof(arena::LevelSpec);
  if (spec.size() % sizeof(arena::LevelSpec) != 0 ||
      (count != 1 && count != static_cast<size_t>(num_envs))) {
    throw nb::value_error("spec: must be one packed level, or num_envs of them");
  }
  std::vector<arena::LevelSpec> specs(count);
  std::memcpy(specs.data(), spec.data(), spec.size());
  for (const arena::LevelSpec& one : specs) RaiseUnlessOk(arena::Validate(one));
  const arena::BatchSettings settings = {num_envs,  threads,      batch_size,
                                         autoreset, pixel_height, pixel_width};
  const nb::gil_scoped_release release;
  return std::make_unique<ArenaBatch>(specs, settings);
}

nb::bytes GameStateBytes(const ArenaBatch& batch, int index) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  const auto state = std::make_unique<GameState>();
  batch.environment(index).GameStateNow(state.get());
  return nb::bytes(reinterpret_cast<const char*>(state.get()), sizeof(GameState));
}

nb::object Picture(ArenaBatch& batch, int index, int height, int width) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  RaiseUnlessOk(arena::CheckFrame(height, width));
  uint8_t* pixels;
  nb::object array =
      NewArray<uint8_t>({static_cast<size_t>(height), static_cast<size_t>(width), 3}, &pixels);
  const nb::gil_scoped_release release;
  batch.environment(index).Picture(height, width, pixels);
  return array;
}

nb::object PictureAhead(ArenaBatch& batch, int index, const Actions& action, uint32_t ticks,
                        int height, int width) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  CheckActions(action, 1, kActionColumns);
  RaiseUnlessOk(arena::CheckFrame(height, width));
  uint8_t* pixels;
  nb::object array =
      NewArray<uint8_t>({static_cast<size_t>(height), static_cast<size_t>(width), 3}, &pixels);
  Action row;
  std::memcpy(&row, action.data(), sizeof(Action));
  const nb::gil_scoped_release release;
  batch.environment(index).PictureAhead(row, ticks, height, width, pixels);
  return array;
}

nb::object Walkability(const ArenaBatch& batch, int index) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  uint8_t* cells;
  nb::object array = NewArray<uint8_t>({arena::kGridCells, arena::kGridCells}, &cells);
  const arena::Terrain& terrain = *batch.environment(index).level().terrain;
  std::memcpy(cells, terrain.walkable, sizeof(terrain.walkable));
  return array;
}

nb::dict Layout(int pixel_height, int pixel_width) {
  return LayoutOf(Arrays(pixel_height, pixel_width));
}

}  // namespace

void BindArena(nb::module_& core) {
  nb::module_ module = core.def_submodule("arena");
  module.def("layout", Layout, nb::arg("pixel_height") = 0, nb::arg("pixel_width") = 0,
             "Observation arrays of one environment: name -> (shape, dtype).");
  module.def("use_scalar_kernels", arena::UseScalarKernels, nb::arg("scalar"),
             "Uses the plain scalar build of the hot loops from now on: the benchmark's yardstick. "
             "Results do not change.");
  module.def(
      "kernels", [] { return std::string(arena::ActiveKernels().name); },
      "Name of the hot loops in use: scalar, baseline, avx2 or avx512.");

  auto batch = DeclareBatch<ArenaBatch>(
      module, "N arenas that step in one call and write into the caller's arrays.");
  batch.def(nb::new_(&MakeBatch), nb::arg("spec"), nb::arg("num_envs"), nb::arg("threads") = 1,
            nb::arg("pixel_height") = 0, nb::arg("pixel_width") = 0, nb::arg("batch_size") = 0,
            nb::arg("autoreset") = true,
            "spec: one packed level for all environments, or num_envs of them. batch_size: rows of "
            "a recv, 0 for num_envs. Without autoreset an ended run goes on showing its menu. "
            "Raises ValueError, the argument or field first. A batch takes one call at a time: "
            "RuntimeError in a second thread.");
  DefineBatch(batch, {.step = "One decision each; actions float32 [num_envs, 12].",
                      .restore_one = "into any environment of an equal level",
                      .hashes = "Hash of every world, uint64 [num_envs].",
                      .episode_info =
                          "Sums of the current or just ended episodes, arrays [num_envs]: return, "
                          "length, score, kills, level, time (seconds), won."});
  batch.def("game_state", &GameStateBytes, nb::arg("index"), "The packed GameState of one.")
      .def("render", &Picture, nb::arg("index"), nb::arg("height"), nb::arg("width"),
           "A picture of one, uint8 [height, width, 3].")
      .def("render_ahead", &PictureAhead, nb::arg("index"), nb::arg("action").noconvert(),
           nb::arg("ticks"), nb::arg("height"), nb::arg("width"),
           "A picture of one, so many ticks after now within the decision that an action [1, 12] "
           "makes; nothing moves on.")
      .def("walkability", &Walkability, nb::arg("index"),
           "uint8 [128, 128], row y, column x, cells of one metre: 1 where one can stand.");
  DefineCounts(batch);
}

}  // namespace metabonk::bindings
