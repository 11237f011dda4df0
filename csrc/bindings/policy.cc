// metabonk._core.nn: policies that were compiled to a program. Addresses come from metabonk/play,
// which has checked what lies there; the program and its tensors are checked here.
#include "nn/policy.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/rooms.h"
#include "nn/team.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Address = uintptr_t;
using Words = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Description = std::tuple<std::string, int, std::vector<int64_t>>;  // name, type, sizes

// Where the inputs and outputs of a step lie, worked out once.
struct Binding {
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
};

nn::Program Read(const Words& words) {
  nn::Program program;
  int64_t instruction = -1;
  const Status status = nn::ReadProgram({words.data(), words.size()}, &program, &instruction);
  if (status.ok()) return program;
  const std::string where =
      instruction < 0 ? std::string() : "instruction " + std::to_string(instruction) + ", ";
  throw nb::value_error(("program: " + where + status.where + ": " + status.what).c_str());
}

std::unique_ptr<const nn::ProgramWeights> Pack(const nn::Program& program,
                                               const std::vector<Address>& tensors,
                                               const nn::CfcKernels& kernels) {
  std::vector<const void*> at;
  for (const Address address : tensors) at.push_back(reinterpret_cast<const void*>(address));
  std::unique_ptr<const nn::ProgramWeights> weights;
  RaiseUnlessOk(nn::ProgramWeights::Make(program, at, kernels, &weights));
  return weights;
}

void Make(nn::Policy* policy, const Words& words, const std::vector<Address>& tensors,
          uint64_t seed) {
  nn::Program program = Read(words);
  auto weights = Pack(program, tensors, nn::ActiveCfcKernels());
  new (policy) nn::Policy(std::move(program), std::move(weights), seed);
}

void MakeBinding(Binding* binding, const std::vector<Address>& inputs,
                 const std::vector<Address>& outputs, nb::handle) {
  new (binding) Binding;
  for (const Address address : inputs) {
    binding->inputs.push_back(reinterpret_cast<const void*>(address));
  }
  for (const Address address : outputs) {
    binding->outputs.push_back(reinterpret_cast<void*>(address));
  }
}

void Step(nn::Policy& policy, const Binding& binding) {
  RaiseUnlessOk(policy.Step(binding.inputs, binding.outputs));
}

// The steps of a team's members, in their order.
struct TeamBinding {
  std::vector<nn::Team::Turn> turns;
};

void MakeTeamBinding(TeamBinding* made, const std::vector<const Binding*>& bindings) {
  new (made) TeamBinding;
  for (const Binding* one : bindings) made->turns.push_back({one->inputs, one->outputs});
}

void StepTeam(nn::Team& team, const TeamBinding& binding) {
  if (binding.turns.size() != team.size()) {
    throw nb::value_error("binding: wanted one for each of the team's policies");
  }
  Status status;
  {
    nb::gil_scoped_release release;
    status = team.Step(binding.turns);
  }
  RaiseUnlessOk(status);
}

Description Describe(const std::string& name, nn::Type type, int rank, const nn::Sizes& sizes) {
  return {name, static_cast<int>(type), {sizes.begin(), sizes.begin() + rank}};
}

std::vector<Description> Slots(const std::vector<nn::Slot>& slots) {
  std::vector<Description> found;
  for (const nn::Slot& s : slots) found.push_back(Describe(s.name, s.type, s.rank, s.sizes));
  return found;
}

std::vector<Description> Places(const std::vector<nn::Place>& places) {
  std::vector<Description> found;
  for (const nn::Place& place : places) {
    found.push_back(Describe(place.name, place.view.type, place.view.rank, place.view.sizes));
  }
  return found;
}

Address StateAt(nn::Policy& policy, size_t i) {
  if (i >= policy.program().states.size()) throw nb::index_error("no such state");
  return reinterpret_cast<Address>(policy.runner().At(policy.program().states[i].view));
}

}  // namespace

void BindPolicy(nb::module_& module) {
  nb::class_<Binding>(module, "PolicyBinding",
                      "Where the inputs and outputs of a step lie: addresses in the program's "
                      "order, 0 for an input that is the policy's own or an output not wanted.")
      .def("__init__", &MakeBinding, nb::arg("inputs"), nb::arg("outputs"), nb::arg("held"),
           nb::keep_alive<1, 4>(), "held: what owns the memory; lives as long as this.");
  module.def(
      "program_tensors", [](const Words& words) { return Slots(Read(words).tensors); },
      nb::arg("program"), "Name, type and sizes of each tensor that a program wants.");
  nb::class_<nn::Policy>(module, "Policy", "A compiled policy; see csrc/nn/policy.h.")
      .def("__init__", &Make, nb::arg("program"), nb::arg("tensors"), nb::arg("seed"),
           "program: its words, int64. tensors: address of each, contiguous; they are copied.")
      .def("step", &Step, nb::arg("binding"), "One decision; allocates nothing.")
      .def(
          "reset",
          [](nn::Policy& policy, Address mask) {
            policy.Reset(reinterpret_cast<const uint8_t*>(mask));
          },
          nb::arg("mask"), "Rows of the mask at this address begin anew; all of them if it is 0.")
      .def(
          "swap",
          [](nn::Policy& policy, const std::vector<Address>& tensors) {
            nn::Runner& runner = policy.runner();
            runner.Swap(Pack(policy.program(), tensors, runner.kernels()));
          },
          nb::arg("tensors"), nb::call_guard<nb::gil_scoped_release>(),
          "Weights for the next step on, packed by the caller's thread.")
      .def("seed", &nn::Policy::Seed, nb::arg("seed"), nb::arg("counter"),
           "Where its random numbers go on.")
      .def("state_at", &StateAt, nb::arg("index"), "Address of a state.")
      .def_prop_ro("counter", &nn::Policy::counter, "Steps taken since the seed was set.")
      .def_prop_ro(
          "swaps", [](nn::Policy& policy) { return policy.runner().swaps(); },
          "Times that a step took up new weights.")
      .def_prop_ro(
          "tier", [](nn::Policy& policy) { return std::string(policy.runner().tier()); },
          "Name of the loops it runs.")
      .def_prop_ro(
          "inputs", [](const nn::Policy& policy) { return Slots(policy.program().inputs); },
          "Name, type and sizes of each.")
      .def_prop_ro("outputs",
                   [](const nn::Policy& policy) { return Places(policy.program().outputs); })
      .def_prop_ro("states",
                   [](const nn::Policy& policy) { return Places(policy.program().states); });
  nb::class_<TeamBinding>(module, "PolicyTeamBinding",
                          "A PolicyBinding for each policy of a team, in their order.")
      .def("__init__", &MakeTeamBinding, nb::arg("bindings"), nb::keep_alive<1, 2>());
  nb::class_<nn::Team>(module, "PolicyTeam",
                       "Policies that step side by side, a thread each; see csrc/nn/team.h.")
      .def(nb::init<std::vector<nn::Policy*>>(), nb::arg("policies"), nb::keep_alive<1, 2>(),
           "policies: a list that nobody changes; they step nowhere else meanwhile.")
      .def("step", &StepTeam, nb::arg("binding"), "One decision of each; allocates nothing.");
}

}  // namespace metabonk::bindings
