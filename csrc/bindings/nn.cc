// metabonk._core.nn: dense layers and radars. Pointers and sizes come from metabonk/ops, which has
// checked them; nothing here knows tensors.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/address.h"
#include "bindings/rooms.h"
#include "nn/dense.h"
#include "nn/radar.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Input = std::tuple<Address, Address, int>;  // x, weight, width
using Gradient = std::tuple<Address, Address>;    // of x, of the weight

std::vector<nn::DenseInput> Inputs(const std::vector<Input>& given) {
  std::vector<nn::DenseInput> inputs;
  inputs.reserve(given.size());
  for (const auto& [x, weight, width] : given) inputs.push_back({Floats(x), Floats(weight), width});
  return inputs;
}

void CheckTier() {
  if (nn::ActiveDenseKernels() == nullptr) {
    throw nb::value_error("dense: needs AVX2, see support.active_tier()");
  }
}

void Forward(nn::DenseEngine& engine, int rows, int outputs, Address bias,
             const std::vector<Input>& given, Address y) {
  CheckTier();
  const std::vector<nn::DenseInput> inputs = Inputs(given);
  nb::gil_scoped_release release;
  engine.Forward(rows, outputs, Floats(bias), inputs, Floats(y));
}

void Backward(nn::DenseEngine& engine, int rows, int outputs, Address y, Address dy,
              const std::vector<Input>& given, Address d_bias,
              const std::vector<Gradient>& wanted) {
  CheckTier();
  if (wanted.size() != given.size()) {
    throw nb::value_error("gradients: one pair for each of the inputs");
  }
  const std::vector<nn::DenseInput> inputs = Inputs(given);
  std::vector<nn::DenseGradient> gradients;
  gradients.reserve(wanted.size());
  for (const auto& [d_x, d_weight] : wanted) gradients.push_back({Floats(d_x), Floats(d_weight)});
  nb::gil_scoped_release release;
  engine.Backward(rows, outputs, Floats(y), Floats(dy), inputs, Floats(d_bias), gradients);
}

void Spread(int64_t batch, int things, int features, Address rows, Address mask,
            const std::vector<float>& rings, float reach, Address out) {
  if (rings.empty() || rings.size() > nn::kRadarRingsMax || features < 3 || !(reach > 0.0f)) {
    throw nb::value_error("rings: 1 to 16; features: 3 or more; reach: above 0");
  }
  nb::gil_scoped_release release;
  nn::SpreadRadar({batch, things, features}, Floats(rows), Bytes(mask), rings, reach, Floats(out));
}

}  // namespace

void BindNn(nb::module_& core) {
  nb::module_ module = core.def_submodule("nn", "Kernels of networks on the processor.");
  module.def(
      "dense_kernels",
      [] {
        const nn::DenseKernels* kernels = nn::ActiveDenseKernels();
        return std::string(kernels == nullptr ? "" : kernels->name);
      },
      "Name of the loops in use, avx2 or avx512; empty where there are none.");
  nb::class_<nn::DenseEngine>(
      module, "DenseEngine",
      "tanh of linear layers on threads of its own. Arguments are addresses "
      "of contiguous float32 that the caller has checked.")
      .def(nb::init<int>(), nb::arg("threads"))
      .def("forward", &Forward, nb::arg("rows"), nb::arg("outputs"), nb::arg("bias"),
           nb::arg("inputs"), nb::arg("y"), "inputs: (x, weight, width) each.")
      .def("backward", &Backward, nb::arg("rows"), nb::arg("outputs"), nb::arg("y"), nb::arg("dy"),
           nb::arg("inputs"), nb::arg("d_bias"), nb::arg("gradients"),
           "gradients: (d_x or 0, d_weight) each.");
  module.def(
      "spread_radar", &Spread, nb::arg("batch"), nb::arg("things"), nb::arg("features"),
      nb::arg("rows"), nb::arg("mask"), nb::arg("rings"), nb::arg("reach"), nb::arg("out"),
      "Sums over sectors and rings; addresses of contiguous float32, of uint8 for the mask.");
  BindAdam(module);
  BindCfc(module);
  BindPeaks(module);
  BindVq(module);
  BindReturns(module);
  BindSurrogate(module);
  BindMerge(module);
  BindQLinear(module);
  BindRssm(module);
  BindPolicy(module);
}

}  // namespace metabonk::bindings
