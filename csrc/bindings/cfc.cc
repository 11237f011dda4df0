// metabonk._core.nn: CfC sequences and steps. Pointers and sizes come from metabonk/ops, which has
// checked them; nothing here knows tensors.
#include "nn/cfc.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <array>
#include <cstdint>
#include <string>

#include "bindings/address.h"
#include "bindings/rooms.h"
#include "nn/cfc_plan.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Shape = std::array<int, 3>;         // inputs, hidden, backbone
using Weights = std::array<Address, 4>;   // in, in_bias, heads, heads_bias
using Sequence = std::array<Address, 4>;  // x, h, dt or 0, keep or 0
using Outputs = std::array<Address, 3>;   // out, z or 0, heads or 0

// Below this the call is about as long as giving up the interpreter's lock and getting it back.
constexpr int64_t kReleaseMacs = int64_t{1} << 20;

nn::CfcShape ShapeOf(const Shape& s) {
  for (const int width : s) {
    if (width < 1) throw nb::value_error("shape: inputs, hidden and backbone must be 1 or more");
  }
  return {s[0], s[1], s[2]};
}

nn::CfcWeights WeightsOf(const Weights& w) {
  return {Floats(w[0]), Floats(w[1]), Floats(w[2]), Floats(w[3])};
}

nn::CfcSequence SequenceOf(int steps, int batch, const Sequence& s) {
  if (steps < 1 || batch < 1) throw nb::value_error("steps, batch: must be 1 or more");
  return {steps, batch, Floats(s[0]), Floats(s[1]), Floats(s[2]), Floats(s[3])};
}

nn::CfcOutputs OutputsOf(const Outputs& o) { return {Floats(o[0]), Floats(o[1]), Floats(o[2])}; }

void Forward(nn::CfcEngine& engine, const Shape& shape, int steps, int batch,
             const Weights& weights, const Sequence& sequence, const Outputs& outputs) {
  const nn::CfcShape widths = ShapeOf(shape);
  const nn::CfcSequence given = SequenceOf(steps, batch, sequence);
  nb::gil_scoped_release release;
  engine.Forward(widths, WeightsOf(weights), given, OutputsOf(outputs));
}

void Backward(nn::CfcEngine& engine, const Shape& shape, int steps, int batch,
              const Weights& weights, const Sequence& sequence, const Outputs& saved, Address d_out,
              const Sequence& d_sequence, const Weights& d_weights) {
  const nn::CfcShape widths = ShapeOf(shape);
  const nn::CfcSequence given = SequenceOf(steps, batch, sequence);
  const nn::CfcGradients gradients{
      Floats(d_sequence[0]), Floats(d_sequence[1]), Floats(d_sequence[2]), Floats(d_sequence[3]),
      Floats(d_weights[0]),  Floats(d_weights[1]),  Floats(d_weights[2]),  Floats(d_weights[3])};
  nb::gil_scoped_release release;
  engine.Backward(widths, WeightsOf(weights), given, OutputsOf(saved), Floats(d_out), gradients);
}

void Plan(nn::CfcPlan* plan, const Shape& shape, int steps, int batch, const Weights& weights,
          const Sequence& sequence, Address out, nb::handle, bool half, int threads) {
  if (threads < 1) throw nb::value_error("threads: must be 1 or more");
  new (plan) nn::CfcPlan(ShapeOf(shape), WeightsOf(weights), SequenceOf(steps, batch, sequence),
                         Floats(out), half, threads);
}

void Step(nn::CfcPlan& plan) {
  if (plan.macs() < kReleaseMacs) {
    plan.Step();
  } else {
    nb::gil_scoped_release release;
    plan.Step();
  }
}

}  // namespace

void BindCfc(nb::module_& module) {
  module.def(
      "cfc_kernels", [] { return std::string(nn::ActiveCfcKernels().name); },
      "Name of the loops in use: portable, avx2 or avx512.");
  nb::class_<nn::CfcEngine>(
      module, "CfcEngine",
      "CfC over sequences on threads of its own. Arguments are addresses of contiguous float32 "
      "that the caller has checked. shape: inputs, hidden, backbone. weights: in, in_bias, heads, "
      "heads_bias. sequence: x, h, dt or 0, keep or 0.")
      .def(nb::init<int>(), nb::arg("threads"))
      .def("forward", &Forward, nb::arg("shape"), nb::arg("steps"), nb::arg("batch"),
           nb::arg("weights"), nb::arg("sequence"), nb::arg("outputs"),
           "outputs: out, then z and heads for the gradient or 0 and 0.")
      .def("backward", &Backward, nb::arg("shape"), nb::arg("steps"), nb::arg("batch"),
           nb::arg("weights"), nb::arg("sequence"), nb::arg("saved"), nb::arg("d_out"),
           nb::arg("d_sequence"), nb::arg("d_weights"),
           "saved: what forward wrote. d_sequence: of x or 0, h, dt or 0, keep or 0.");
  nb::class_<nn::CfcPlan>(module, "CfcPlan",
                          "CfC steps bound to memory. Addresses as for CfcEngine.")
      .def("__init__", &Plan, nb::arg("shape"), nb::arg("steps"), nb::arg("batch"),
           nb::arg("weights"), nb::arg("sequence"), nb::arg("out"), nb::arg("held"),
           nb::arg("half"), nb::arg("threads"), nb::keep_alive<1, 8>(),
           "held: what owns the memory of sequence and out; lives as long as this. half: keeps the "
           "weights in bf16. threads: at most so many, for large batches only.")
      .def("step", &Step, "out = the states after every step; allocates nothing.")
      .def(
          "load", [](nn::CfcPlan& plan, const Weights& weights) { plan.Load(WeightsOf(weights)); },
          nb::arg("weights"), "Packs weights of the same shape.")
      .def_prop_ro(
          "tier", [](const nn::CfcPlan& plan) { return std::string(plan.tier()); },
          "Name of the loops it runs.")
      .def_prop_ro("threads", &nn::CfcPlan::threads, "How many threads a step takes.");
}

}  // namespace metabonk::bindings
