// What the batches of all rooms show to Python alike: the methods, their texts and the checks
// before the core is called. Knows numpy and calls; of a room only what its `Batch` here says:
//
//   Buffers                    BoundBuffers of the core's pointers
//   kActionColumns             columns of an action
//   kBusyFirst                 whether step and write tell of environments in flight before they
//                              tell of their arguments
//   gate(), num_envs(), batch_size(), busy()
//   pixel_bytes()              of a row, 0 where the size of rows is no setting
//   Arrays()                   the observation arrays
//   Point(array, data, to)     has an observation array written to data
//   Point(outcome, to)
//   Reset(seeds, to), Write(to), Hash(index), EpisodeInfo()
//   with a Status: Step(actions, to), Send(actions, env_ids, count), Recv(env_ids, to),
//   Save(bytes), Load(bytes), SaveOne(index, bytes), LoadOne(index, bytes)
//
// All are called one at a time and with their arguments checked; what cannot be while environments
// are in flight is called when none is.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/hold.h"
#include "metabonk/status.h"

namespace metabonk::bindings {

template <typename T, int kRank>
using Input =
    nanobind::ndarray<const T, nanobind::ndim<kRank>, nanobind::c_contig, nanobind::device::cpu>;
using Seeds = Input<uint64_t, 1>;
using Actions = Input<float, 2>;
using EnvIds = Input<int32_t, 1>;

enum class Dtype { kUint8, kInt32, kFloat32 };

// One observation array that a batch can write.
struct ObservationArray {
  std::string name;
  std::vector<size_t> shape;  // of a row
  Dtype dtype;
  const char* unavailable = nullptr;  // why this batch cannot write it
};

// Where the outcomes of a step go, each [rows].
struct Outcome {
  float* reward;
  bool* terminated;
  bool* truncated;
  bool* is_reset;
};

// Arrays that were checked, and references that keep them alive.
template <class Pointers>
struct BoundBuffers {
  Pointers pointers;
  size_t rows = 0;
  size_t pixel_bytes = 0;
  std::vector<nanobind::object> kept;
};

// The words in which batches differ.
struct BatchTexts {
  std::string step;         // what a step is and takes: a sentence
  std::string restore_one;  // where a clone may go
  std::string hashes;
  std::string episode_info;
};

// Of a batch to be constructed.
void CheckCounts(int num_envs, int threads, int batch_size);
void CheckSeeds(const Seeds& seeds, int num_envs);
void CheckActions(const Actions& actions, size_t rows, size_t columns);
// The array that is called so; raises if there is none or the batch cannot write it.
const ObservationArray& Find(const std::vector<ObservationArray>& arrays, const std::string& name);
// The memory of a caller's [rows, shape...].
void* CheckedRows(const ObservationArray& array, nanobind::handle object, size_t rows);
// name -> (shape, dtype).
nanobind::dict LayoutOf(const std::vector<ObservationArray>& arrays);

inline nanobind::bytes ToBytes(const std::vector<uint8_t>& bytes) {
  return nanobind::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

inline std::span<const uint8_t> ToSpan(const nanobind::bytes& bytes) {
  return {static_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

// An array [count] of get(0), get(1), ...
template <typename T, typename Get>
nanobind::object Column(int count, Get get) {
  T* data;
  nanobind::object array = NewArray<T>({static_cast<size_t>(count)}, &data);
  for (int i = 0; i < count; ++i) data[i] = get(i);
  return array;
}

template <class Batch>
void CheckIdle(const Batch& batch) {
  if (batch.busy()) {
    throw nanobind::value_error("batch: environments are in flight: recv them first");
  }
}

template <class Batch>
void CheckIndex(const Batch& batch, int index) {
  if (index < 0 || index >= batch.num_envs()) {
    throw nanobind::index_error("index: must be from 0 to num_envs - 1");
  }
  CheckIdle(batch);
}

// Buffers of another batch, or of the other kind, may be shorter than what is written.
template <class Batch>
void CheckBuffers(const Batch& batch, const typename Batch::Buffers& buffers, int rows) {
  if (buffers.rows != static_cast<size_t>(rows) || buffers.pixel_bytes != batch.pixel_bytes()) {
    throw nanobind::value_error(
        "buffers: must be bound by this batch, with num_envs rows, or batch_size for recv");
  }
}

// The methods of the Python class, for DefineBatch.
template <class Batch>
struct BatchMethods {
  using Buffers = typename Batch::Buffers;

  static std::unique_ptr<Buffers> Bind(const Batch& batch, const nanobind::dict& observation,
                                       const nanobind::object& reward,
                                       const nanobind::object& terminated,
                                       const nanobind::object& truncated,
                                       const nanobind::object& is_reset) {
    auto buffers = std::make_unique<Buffers>();
    const size_t rows = RowsOf(reward, static_cast<size_t>(batch.num_envs()),
                               static_cast<size_t>(batch.batch_size()));
    const std::vector<ObservationArray> arrays = batch.Arrays();
    for (auto [key, object] : observation) {
      const ObservationArray& array = Find(arrays, nanobind::cast<std::string>(key));
      batch.Point(array, CheckedRows(array, object, rows), &buffers->pointers);
      buffers->kept.push_back(nanobind::borrow(object));
    }
    Outcome outcome;
    outcome.reward = CheckedArray<float>("reward", reward, {rows}, "float32");
    outcome.terminated = CheckedArray<bool>("terminated", terminated, {rows}, "bool");
    outcome.truncated = CheckedArray<bool>("truncated", truncated, {rows}, "bool");
    outcome.is_reset = CheckedArray<bool>("is_reset", is_reset, {rows}, "bool");
    batch.Point(outcome, &buffers->pointers);
    for (const nanobind::object& array : {reward, terminated, truncated, is_reset}) {
      buffers->kept.push_back(array);
    }
    buffers->rows = rows;
    buffers->pixel_bytes = batch.pixel_bytes();
    return buffers;
  }

  static void Reset(Batch& batch, const Seeds& seeds, const Buffers& buffers) {
    const Hold hold(batch.gate());
    CheckBuffers(batch, buffers, batch.num_envs());
    CheckSeeds(seeds, batch.num_envs());
    const nanobind::gil_scoped_release release;
    batch.Reset(seeds.data(), buffers.pointers);
  }

  static void Step(Batch& batch, const Actions& actions, const Buffers& buffers) {
    const Hold hold(batch.gate());
    if (Batch::kBusyFirst) CheckIdle(batch);
    CheckBuffers(batch, buffers, batch.num_envs());
    CheckActions(actions, static_cast<size_t>(batch.num_envs()), Batch::kActionColumns);
    CheckIdle(batch);
    Status status;
    {
      const nanobind::gil_scoped_release release;
      status = batch.Step(actions.data(), buffers.pointers);
    }
    RaiseUnlessOk(status);
  }

  static void Write(Batch& batch, const Buffers& buffers) {
    const Hold hold(batch.gate());
    if (Batch::kBusyFirst) CheckIdle(batch);
    CheckBuffers(batch, buffers, batch.num_envs());
    CheckIdle(batch);
    const nanobind::gil_scoped_release release;
    batch.Write(buffers.pointers);
  }

  static void Send(Batch& batch, const Actions& actions, const EnvIds& env_ids) {
    const Hold hold(batch.gate());
    CheckActions(actions, env_ids.shape(0), Batch::kActionColumns);
    RaiseUnlessOk(batch.Send(actions.data(), env_ids.data(), static_cast<int>(env_ids.shape(0))));
  }

  static nanobind::object Recv(Batch& batch, const Buffers& buffers) {
    const Hold hold(batch.gate());
    CheckBuffers(batch, buffers, batch.batch_size());
    int32_t* ids;
    nanobind::object array = NewArray<int32_t>({static_cast<size_t>(batch.batch_size())}, &ids);
    Status status;
    {
      const nanobind::gil_scoped_release release;
      status = batch.Recv(ids, buffers.pointers);
    }
    RaiseUnlessOk(status);
    return array;
  }

  static nanobind::bytes CloneState(const Batch& batch) {
    const Hold hold(batch.gate());
    CheckIdle(batch);
    std::vector<uint8_t> bytes;
    RaiseUnlessOk(batch.Save(&bytes));
    return ToBytes(bytes);
  }

  static void RestoreState(Batch& batch, const nanobind::bytes& state) {
    const Hold hold(batch.gate());
    CheckIdle(batch);
    RaiseUnlessOk(batch.Load(ToSpan(state)));
  }

  static nanobind::bytes CloneOne(const Batch& batch, int index) {
    const Hold hold(batch.gate());
    CheckIndex(batch, index);
    std::vector<uint8_t> bytes;
    RaiseUnlessOk(batch.SaveOne(index, &bytes));
    return ToBytes(bytes);
  }

  static void RestoreOne(Batch& batch, int index, const nanobind::bytes& state) {
    const Hold hold(batch.gate());
    CheckIndex(batch, index);
    RaiseUnlessOk(batch.LoadOne(index, ToSpan(state)));
  }

  static nanobind::object Hashes(const Batch& batch) {
    const Hold hold(batch.gate());
    CheckIdle(batch);
    return Column<uint64_t>(batch.num_envs(), [&](int i) { return batch.Hash(i); });
  }

  static nanobind::dict EpisodeInfo(const Batch& batch) {
    const Hold hold(batch.gate());
    CheckIdle(batch);
    return batch.EpisodeInfo();
  }
};

// Adds the classes Buffers and Batch; the constructor comes next, then DefineBatch.
template <class Batch>
nanobind::class_<Batch> DeclareBatch(nanobind::module_& module, const char* text) {
  nanobind::class_<typename Batch::Buffers>(module, "Buffers",
                                            "Arrays that a batch has checked and writes into.");
  return nanobind::class_<Batch>(module, "Batch", text);
}

template <class Batch>
void DefineBatch(nanobind::class_<Batch>& batch, const BatchTexts& texts) {
  namespace nb = nanobind;
  using Methods = BatchMethods<Batch>;
  const std::string step = texts.step +
                           " After an episode ended the next step starts another, with reward 0 "
                           "and is_reset set.";
  const std::string send = "Starts stepping these environments; actions float32 [n, " +
                           std::to_string(Batch::kActionColumns) + "], env_ids int32 [n].";
  const std::string restore_one = "Inverse of clone_one, " + texts.restore_one + ".";
  batch
      .def("bind", &Methods::Bind, nb::arg("observation"), nb::arg("reward").noconvert(),
           nb::arg("terminated").noconvert(), nb::arg("truncated").noconvert(),
           nb::arg("is_reset").noconvert(),
           "Checks arrays once and keeps them: [num_envs, ...], or [batch_size, ...] for recv. "
           "observation: any subset of layout(). reward float32; terminated, truncated, is_reset "
           "bool. Raises TypeError, ValueError or KeyError, the array's name first.")
      .def("reset", &Methods::Reset, nb::arg("seeds").noconvert(), nb::arg("buffers"),
           "Starts every environment anew and sets is_reset; seeds uint64 [num_envs]. What is in "
           "flight is waited for and dropped.")
      .def("step", &Methods::Step, nb::arg("actions").noconvert(), nb::arg("buffers"), step.c_str())
      .def("write", &Methods::Write, nb::arg("buffers"),
           "Writes the present observations again, after restore_state; reward and flags stay as "
           "they are.")
      .def("send", &Methods::Send, nb::arg("actions").noconvert(), nb::arg("env_ids").noconvert(),
           send.c_str())
      .def(
          "recv", &Methods::Recv, nb::arg("buffers"),
          "Waits for batch_size environments; returns whose rows were written, int32 [batch_size].")
      .def("clone_state", &Methods::CloneState, "Everything that the future depends on, as bytes.")
      .def("restore_state", &Methods::RestoreState, nb::arg("state"), "Inverse of clone_state.")
      .def("clone_one", &Methods::CloneOne, nb::arg("index"), "clone_state of one environment.")
      .def("restore_one", &Methods::RestoreOne, nb::arg("index"), nb::arg("state"),
           restore_one.c_str())
      .def("hashes", &Methods::Hashes, texts.hashes.c_str())
      .def("episode_info", &Methods::EpisodeInfo, texts.episode_info.c_str());
}

// Apart from DefineBatch, so that the properties follow a room's own methods in the stubs.
template <class Batch>
void DefineCounts(nanobind::class_<Batch>& batch) {
  batch.def_prop_ro("num_envs", [](const Batch& self) { return self.num_envs(); })
      .def_prop_ro("batch_size", [](const Batch& self) { return self.batch_size(); });
}

}  // namespace metabonk::bindings
