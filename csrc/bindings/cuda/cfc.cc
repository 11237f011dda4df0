// metabonk._cuda.cfc: a sequence of CfC steps on a stream.
#include <nanobind/stl/array.h>

#include <array>

#include "bindings/cuda/kernels.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Sizes = std::array<int, 5>;         // steps, rows, inputs, hidden, backbone
using Sequence = std::array<Address, 4>;  // x, h, dt or 0, keep or 0
using Weights = std::array<Address, 4>;   // in, in_bias, heads, heads_bias
using Outputs = std::array<Address, 3>;   // out, z or 0, heads or 0

void Cfc(const Sizes& sizes, const Sequence& sequence, const Weights& weights, bool bf16_weights,
         const Outputs& outputs, Address stream) {
  const auto [steps, rows, inputs, hidden, backbone] = sizes;
  const MetabonkCudaCfc cfc = {
      .steps = steps,
      .rows = rows,
      .inputs = inputs,
      .hidden = hidden,
      .backbone = backbone,
      .bf16_weights = bf16_weights,
      .x = At<float>(sequence[0]),
      .h = At<float>(sequence[1]),
      .dt = At<float>(sequence[2]),
      .keep = At<float>(sequence[3]),
      .w_in = At<void>(weights[0]),
      .b_in = At<float>(weights[1]),
      .w_heads = At<void>(weights[2]),
      .b_heads = At<float>(weights[3]),
      .out = At<float>(outputs[0]),
      .z = At<float>(outputs[1]),
      .heads = At<float>(outputs[2]),
  };
  RaiseUnlessStarted("cfc", metabonk_cuda_cfc(&cfc, At<void>(stream)));
}

}  // namespace

void BindCudaCfc(nb::module_& module) {
  module.def("cfc", &Cfc, nb::arg("sizes"), nb::arg("sequence"), nb::arg("weights"),
             nb::arg("bf16_weights"), nb::arg("outputs"), nb::arg("stream"));
}

}  // namespace metabonk::bindings
