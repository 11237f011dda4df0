// metabonk._cuda.linear and linear_fp4: layers of few rows on a stream.
#include <nanobind/stl/array.h>

#include <array>

#include "bindings/cuda/kernels.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Sizes = std::array<int, 3>;        // rows, inputs, outputs
using Strided = std::array<int, 4>;      // and inputs that a row of codes has room for
using Weights = std::array<Address, 3>;  // codes, scales or 0, tensor_scale or 0

void Linear(int format, const Strided& sizes, Address x, const Weights& weights, Address bias,
            Address y, Address stream) {
  const auto [rows, inputs, outputs, stride] = sizes;
  const MetabonkCudaLinear linear = {
      .rows = rows,
      .inputs = inputs,
      .outputs = outputs,
      .stride = stride,
      .format = format,
      .x = At<float>(x),
      .codes = At<void>(weights[0]),
      .scales = At<void>(weights[1]),
      .tensor_scale = At<float>(weights[2]),
      .bias = At<float>(bias),
      .y = At<float>(y),
  };
  RaiseUnlessStarted("linear", metabonk_cuda_linear(&linear, At<void>(stream)));
}

void LinearFp4(const Sizes& sizes, Address x, const Weights& weights, Address bias, Address y,
               Address scratch, Address stream) {
  const auto [rows, inputs, outputs] = sizes;
  const MetabonkCudaLinearFp4 linear = {
      .rows = rows,
      .inputs = inputs,
      .outputs = outputs,
      .x = At<float>(x),
      .codes = At<void>(weights[0]),
      .scales = At<void>(weights[1]),
      .tensor_scale = At<float>(weights[2]),
      .bias = At<float>(bias),
      .y = At<float>(y),
      .scratch = At<void>(scratch),
  };
  RaiseUnlessStarted("linear_fp4", metabonk_cuda_linear_fp4(&linear, At<void>(stream)));
}

}  // namespace

void BindCudaLinear(nb::module_& module) {
  module.attr("LINEAR_ROWS") = static_cast<int>(kMetabonkCudaLinearRows);
  module.def("linear", &Linear, nb::arg("format"), nb::arg("sizes"), nb::arg("x"),
             nb::arg("weights"), nb::arg("bias"), nb::arg("y"), nb::arg("stream"));
  module.def("linear_fp4", &LinearFp4, nb::arg("sizes"), nb::arg("x"), nb::arg("weights"),
             nb::arg("bias"), nb::arg("y"), nb::arg("scratch"), nb::arg("stream"));
  module.def("linear_fp4_scratch", &metabonk_cuda_linear_fp4_scratch, nb::arg("inputs"));
}

}  // namespace metabonk::bindings
