// metabonk._core.arena.Batch: conversion between numpy arrays and games/arena/batch.h.
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
#include "games/arena/batch.h"
#include "games/arena/kernels.h"
#include "games/arena/view.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using arena::Batch;
using Seeds = nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Actions = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using EnvIds = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// One array that a batch can write: its name, the shape of a row, its dtype.
struct Key {
  const char* name;
  std::vector<size_t> shape;
  bool real;  // float32, else uint8
  const char* dtype() const { return real ? "float32" : "uint8"; }
};

std::vector<Key> Keys(int height, int width) {
  std::vector<Key> keys = {
      {"state", {kStateFeatures}, true},
      {"entities", {kNearestEntities, kEntityFeatures}, true},
      {"entities_mask", {kNearestEntities}, false},
      {"pickups", {kNearestPickups, kPickupFeatures}, true},
      {"pickups_mask", {kNearestPickups}, false},
      {"offers", {kOfferRows, kOfferFeatures}, true},
      {"offers_mask", {kOfferRows}, false},
      {"action_mask", {kActionMask}, false},
      {"dt", {1}, true},
  };
  keys.push_back({"pixels", {static_cast<size_t>(height), static_cast<size_t>(width), 3}, false});
  return keys;
}

// An array [rows, shape...] of a caller.
template <typename T>
T* CheckedRows(const char* name, nb::handle array, size_t rows, std::vector<size_t> shape,
               const char* dtype) {
  shape.insert(shape.begin(), rows);
  return CheckedArray<T>(name, array, shape, dtype);
}

// Arrays that were checked, and references that keep them alive.
struct Buffers {
  arena::BatchBuffers pointers;
  size_t rows = 0;
  size_t pixel_bytes = 0;
  std::vector<nb::object> kept;
};

void PointAt(const std::string& name, void* data, arena::OutputRow* row) {
  auto* f = static_cast<float*>(data);
  auto* b = static_cast<uint8_t*>(data);
  ObservationView& view = row->observation;
  if (name == "state") view.state = f;
  if (name == "entities") view.entities = f;
  if (name == "entities_mask") view.entities_mask = b;
  if (name == "pickups") view.pickups = f;
  if (name == "pickups_mask") view.pickups_mask = b;
  if (name == "offers") view.offers = f;
  if (name == "offers_mask") view.offers_mask = b;
  if (name == "action_mask") view.action_mask = b;
  if (name == "dt") view.dt = f;
  if (name == "pixels") row->pixels = b;
}

std::unique_ptr<Buffers> Bind(Batch& batch, const nb::dict& observation, nb::object reward,
                              nb::object terminated, nb::object truncated, nb::object is_reset) {
  auto buffers = std::make_unique<Buffers>();
  const size_t rows = RowsOf(reward, static_cast<size_t>(batch.settings().num_envs),
                             static_cast<size_t>(batch.settings().batch_size));
  const std::vector<Key> keys = Keys(batch.settings().pixel_height, batch.settings().pixel_width);
  for (auto [key_object, array] : observation) {
    const std::string name = nb::cast<std::string>(key_object);
    const Key* found = nullptr;
    for (const Key& key : keys) {
      if (name == key.name) found = &key;
    }
    if (found == nullptr) {
      throw nb::key_error(("observation: has no array '" + name + "', see layout()").c_str());
    }
    if (name == "pixels" && batch.pixel_bytes() == 0) {
      throw nb::value_error("pixels: construct the batch with pixel_height and pixel_width");
    }
    void* data = nullptr;
    if (found->real) {
      data = CheckedRows<float>(found->name, array, rows, found->shape, found->dtype());
    } else {
      data = CheckedRows<uint8_t>(found->name, array, rows, found->shape, found->dtype());
    }
    PointAt(name, data, &buffers->pointers.first);
    buffers->kept.push_back(nb::borrow(array));
  }
  arena::OutputRow& first = buffers->pointers.first;
  const auto outcome = [&](const char* name, nb::object array) {
    bool* data = CheckedRows<bool>(name, array, rows, {}, "bool");
    buffers->kept.push_back(std::move(array));
    return reinterpret_cast<uint8_t*>(data);  // the core's flags are bytes, 0 or 1
  };
  first.reward = CheckedRows<float>("reward", reward, rows, {}, "float32");
  buffers->kept.push_back(std::move(reward));
  first.terminated = outcome("terminated", std::move(terminated));
  first.truncated = outcome("truncated", std::move(truncated));
  first.is_reset = outcome("is_reset", std::move(is_reset));
  buffers->rows = rows;
  buffers->pixel_bytes = batch.pixel_bytes();
  return buffers;
}

// Buffers of another batch, or of the other kind, may be shorter than what is written.
void CheckBuffers(const Batch& batch, const Buffers& buffers, int rows) {
  if (buffers.rows != static_cast<size_t>(rows) || buffers.pixel_bytes != batch.pixel_bytes()) {
    throw nb::value_error(
        "buffers: must be bound by this batch, with num_envs rows, or batch_size for recv");
  }
}

void CheckIdle(const Batch& batch) {
  if (batch.busy()) throw nb::value_error("batch: environments are in flight: recv them first");
}

void CheckIndex(const Batch& batch, int index) {
  if (index < 0 || index >= batch.settings().num_envs) {
    throw nb::index_error("index: must be from 0 to num_envs - 1");
  }
  CheckIdle(batch);
}

std::unique_ptr<Batch> MakeBatch(const nb::bytes& spec, int num_envs, int threads, int pixel_height,
                                 int pixel_width, int batch_size, bool autoreset) {
  if (num_envs < 1) throw nb::value_error("num_envs: must be at least 1");
  if (threads < 1 || threads > 1024) throw nb::value_error("threads: must be from 1 to 1024");
  if (batch_size < 0 || batch_size > num_envs) {
    throw nb::value_error("batch_size: must be from 1 to num_envs, or 0 for num_envs");
  }
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
  return std::make_unique<Batch>(specs, settings);
}

template <typename T, typename Get>
nb::object Column(const Batch& batch, Get get) {
  T* data;
  nb::object array = NewArray<T>({static_cast<size_t>(batch.settings().num_envs)}, &data);
  for (int i = 0; i < batch.settings().num_envs; ++i) data[i] = get(batch.environment(i));
  return array;
}

nb::dict EpisodeInfo(const Batch& batch) {
  const Hold hold(batch.gate());
  CheckIdle(batch);
  using arena::Environment;
  nb::dict info;
  const auto totals = [](const Environment& e) { return e.episode().world.totals; };
  info["return"] = Column<float>(
      batch, [](const Environment& e) { return static_cast<float>(e.episode().return_sum); });
  info["length"] = Column<int64_t>(
      batch, [](const Environment& e) { return static_cast<int64_t>(e.episode().length); });
  info["score"] = Column<float>(batch, [&](const Environment& e) { return totals(e).score; });
  info["kills"] = Column<int64_t>(
      batch, [&](const Environment& e) { return static_cast<int64_t>(totals(e).kills); });
  info["level"] = Column<int64_t>(batch, [](const Environment& e) {
    return static_cast<int64_t>(e.episode().world.player.level);
  });
  info["time"] = Column<float>(batch, [](const Environment& e) {
    return static_cast<float>(arena::GameTime(e.episode().world));
  });
  info["won"] = Column<bool>(batch, [&](const Environment& e) { return totals(e).victories > 0; });
  return info;
}

nb::bytes CloneState(const Batch& batch) {
  const Hold hold(batch.gate());
  CheckIdle(batch);
  std::vector<uint8_t> bytes(batch.SnapshotBytes());
  batch.Save(bytes.data());
  return nb::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void RestoreState(Batch& batch, const nb::bytes& state) {
  const Hold hold(batch.gate());
  CheckIdle(batch);
  RaiseUnlessOk(batch.Load({static_cast<const uint8_t*>(state.data()), state.size()}));
}

nb::bytes CloneOne(const Batch& batch, int index) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  std::vector<uint8_t> bytes(Batch::SnapshotBytesOfOne());
  batch.SaveOne(index, bytes.data());
  return nb::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void RestoreOne(Batch& batch, int index, const nb::bytes& state) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  RaiseUnlessOk(batch.LoadOne(index, {static_cast<const uint8_t*>(state.data()), state.size()}));
}

nb::object Hashes(const Batch& batch) {
  const Hold hold(batch.gate());
  CheckIdle(batch);
  return Column<uint64_t>(
      batch, [](const arena::Environment& e) { return arena::HashWorld(e.episode().world); });
}

nb::bytes GameStateBytes(const Batch& batch, int index) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  const auto state = std::make_unique<GameState>();
  batch.environment(index).GameStateNow(state.get());
  return nb::bytes(reinterpret_cast<const char*>(state.get()), sizeof(GameState));
}

nb::object Picture(Batch& batch, int index, int height, int width) {
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

void CheckActions(const Actions& actions, size_t rows) {
  if (actions.shape(0) != rows || actions.shape(1) != kActionColumns) {
    throw nb::value_error(
        ("actions: must have shape " + ShapeText({rows, kActionColumns})).c_str());
  }
}
nb::object PictureAhead(Batch& batch, int index, const Actions& action, uint32_t ticks, int height,
                        int width) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  CheckActions(action, 1);
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

nb::object Walkability(const Batch& batch, int index) {
  const Hold hold(batch.gate());
  CheckIndex(batch, index);
  uint8_t* cells;
  nb::object array = NewArray<uint8_t>({arena::kGridCells, arena::kGridCells}, &cells);
  const arena::Terrain& terrain = *batch.environment(index).level().terrain;
  std::memcpy(cells, terrain.walkable, sizeof(terrain.walkable));
  return array;
}

void Reset(Batch& batch, const Seeds& seeds, const Buffers& buffers) {
  const Hold hold(batch.gate());
  CheckBuffers(batch, buffers, batch.settings().num_envs);
  if (seeds.shape(0) != static_cast<size_t>(batch.settings().num_envs)) {
    throw nb::value_error("seeds: must have shape (num_envs,)");
  }
  const nb::gil_scoped_release release;
  batch.Reset(seeds.data(), buffers.pointers);
}

void Step(Batch& batch, const Actions& actions, const Buffers& buffers) {
  const Hold hold(batch.gate());
  CheckIdle(batch);
  CheckBuffers(batch, buffers, batch.settings().num_envs);
  CheckActions(actions, static_cast<size_t>(batch.settings().num_envs));
  const nb::gil_scoped_release release;
  batch.Step(actions.data(), buffers.pointers);
}

void Write(Batch& batch, const Buffers& buffers) {
  const Hold hold(batch.gate());
  CheckIdle(batch);
  CheckBuffers(batch, buffers, batch.settings().num_envs);
  const nb::gil_scoped_release release;
  batch.Write(buffers.pointers);
}

void Send(Batch& batch, const Actions& actions, const EnvIds& env_ids) {
  const Hold hold(batch.gate());
  CheckActions(actions, env_ids.shape(0));
  RaiseUnlessOk(batch.Send(actions.data(), env_ids.data(), static_cast<int>(env_ids.shape(0))));
}

nb::object Recv(Batch& batch, const Buffers& buffers) {
  const Hold hold(batch.gate());
  CheckBuffers(batch, buffers, batch.settings().batch_size);
  int32_t* ids;
  nb::object array = NewArray<int32_t>({static_cast<size_t>(batch.settings().batch_size)}, &ids);
  Status status;
  {
    const nb::gil_scoped_release release;
    status = batch.Recv(ids, buffers.pointers);
  }
  RaiseUnlessOk(status);
  return array;
}

nb::dict Layout(int pixel_height, int pixel_width) {
  nb::dict layout;
  for (const Key& key : Keys(pixel_height, pixel_width)) {
    nb::list shape;
    for (const size_t side : key.shape) shape.append(side);
    layout[key.name] = nb::make_tuple(nb::tuple(shape), key.dtype());
  }
  return layout;
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

  nb::class_<Buffers>(module, "Buffers", "Arrays that a batch has checked and writes into.");
  nb::class_<Batch>(module, "Batch",
                    "N arenas that step in one call and write into the caller's arrays.")
      .def(nb::new_(&MakeBatch), nb::arg("spec"), nb::arg("num_envs"), nb::arg("threads") = 1,
           nb::arg("pixel_height") = 0, nb::arg("pixel_width") = 0, nb::arg("batch_size") = 0,
           nb::arg("autoreset") = true,
           "spec: one packed level for all environments, or num_envs of them. batch_size: rows of "
           "a recv, 0 for num_envs. Without autoreset an ended run goes on showing its menu. "
           "Raises ValueError, the argument or field first. A batch takes one call at a time: "
           "RuntimeError in a second thread.")
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
           "One decision each; actions float32 [num_envs, 12]. After an episode ended the next "
           "step starts another, with reward 0 and is_reset set.")
      .def("write", &Write, nb::arg("buffers"),
           "Writes the present observations again, after restore_state; reward and flags stay as "
           "they are.")
      .def("send", &Send, nb::arg("actions").noconvert(), nb::arg("env_ids").noconvert(),
           "Starts stepping these environments; actions float32 [n, 12], env_ids int32 [n].")
      .def(
          "recv", &Recv, nb::arg("buffers"),
          "Waits for batch_size environments; returns whose rows were written, int32 [batch_size].")
      .def("clone_state", &CloneState, "Everything that the future depends on, as bytes.")
      .def("restore_state", &RestoreState, nb::arg("state"), "Inverse of clone_state.")
      .def("clone_one", &CloneOne, nb::arg("index"), "clone_state of one environment.")
      .def("restore_one", &RestoreOne, nb::arg("index"), nb::arg("state"),
           "Inverse of clone_one, into any environment of an equal level.")
      .def("hashes", &Hashes, "Hash of every world, uint64 [num_envs].")
      .def("episode_info", &EpisodeInfo,
           "Sums of the current or just ended episodes, arrays [num_envs]: return, length, score, "
           "kills, level, time (seconds), won.")
      .def("game_state", &GameStateBytes, nb::arg("index"), "The packed GameState of one.")
      .def("render", &Picture, nb::arg("index"), nb::arg("height"), nb::arg("width"),
           "A picture of one, uint8 [height, width, 3].")
      .def("render_ahead", &PictureAhead, nb::arg("index"), nb::arg("action").noconvert(),
           nb::arg("ticks"), nb::arg("height"), nb::arg("width"),
           "A picture of one, so many ticks after now within the decision that an action [1, 12] "
           "makes; nothing moves on.")
      .def("walkability", &Walkability, nb::arg("index"),
           "uint8 [128, 128], row y, column x, cells of one metre: 1 where one can stand.")
      .def_prop_ro("num_envs", [](const Batch& batch) { return batch.settings().num_envs; })
      .def_prop_ro("batch_size", [](const Batch& batch) { return batch.settings().batch_size; });
}

}  // namespace metabonk::bindings
