// metabonk._core.arena: replays as bytes.
#include "games/arena/replay.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <string>

#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using ActionsIn =
    nb::ndarray<const float, nb::shape<-1, kActionColumns>, nb::c_contig, nb::device::cpu>;
using ActionsOut = nb::ndarray<nb::numpy, float, nb::shape<-1, kActionColumns>>;

[[noreturn]] void Throw(const Status& status) {
  throw nb::value_error((std::string(status.where) + " " + status.what).c_str());
}

std::span<const uint8_t> Span(const nb::bytes& bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

nb::bytes PackReplay(const nb::bytes& spec_bytes, uint64_t run_seed, uint64_t final_hash,
                     ActionsIn actions) {
  arena::LevelSpec spec;
  if (spec_bytes.size() != sizeof spec) Throw({Code::kInvalidArgument, "spec", "has a wrong size"});
  std::memcpy(&spec, spec_bytes.data(), sizeof spec);
  if (const Status status = arena::Validate(spec); !status.ok()) Throw(status);
  if (actions.shape(0) > arena::kMaxReplayDecisions) {
    Throw({Code::kOutOfRange, "actions", "must be at most 1048576 decisions"});
  }
  arena::ReplayWriter writer;
  for (size_t i = 0; i < actions.shape(0); ++i) {
    Action action;
    std::memcpy(&action, actions.data() + i * kActionColumns, sizeof action);
    writer.Add(action);
  }
  const std::vector<uint8_t> packed = writer.Finish(spec, run_seed, final_hash);
  return nb::bytes(reinterpret_cast<const char*>(packed.data()), packed.size());
}

nb::tuple ReadReplay(const nb::bytes& bytes) {
  arena::ReplayReader reader;
  if (const Status status = reader.Open(Span(bytes)); !status.ok()) Throw(status);
  const arena::ReplayHeader& header = reader.header();
  float* rows = new float[size_t{header.decisions} * kActionColumns];
  nb::capsule owner(rows, [](void* data) noexcept { delete[] static_cast<float*>(data); });
  Action action;
  for (float* row = rows; reader.Next(&action); row += kActionColumns) {
    std::memcpy(row, &action, sizeof action);
  }
  return nb::make_tuple(nb::bytes(reinterpret_cast<const char*>(&header.spec), sizeof header.spec),
                        header.run_seed, header.final_hash,
                        ActionsOut(rows, {header.decisions, size_t{kActionColumns}}, owner));
}

// Whether a signal handler of Python has raised, so that what runs in the core must end.
bool Interrupted() {
  const nb::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

uint64_t VerifyReplay(const nb::bytes& bytes) {
  uint64_t hash = 0;
  Status status;
  {
    nb::gil_scoped_release release;
    status = arena::VerifyReplay(Span(bytes), &hash, Interrupted);
  }
  if (PyErr_Occurred()) throw nb::python_error();
  if (!status.ok()) Throw(status);
  return hash;
}

}  // namespace

void BindReplay(nb::module_& core) {
  nb::module_ module = core.def_submodule("arena");
  module.def("pack_replay", PackReplay, nb::arg("spec"), nb::arg("run_seed"), nb::arg("final_hash"),
             nb::arg("actions").noconvert(),
             "An episode as bytes; actions float32 [T, 12], stored as the rules read them.");
  module.def("read_replay", ReadReplay, nb::arg("replay"),
             "(packed level, run seed, hash of the last world, actions float32 [T, 12]). Raises "
             "ValueError for bytes that are no replay of this build.");
  module.def(
      "verify_replay", VerifyReplay, nb::arg("replay"),
      "Runs a replay and returns the hash of its last world. Raises ValueError where that is "
      "not the recorded one.");
}

}  // namespace metabonk::bindings
