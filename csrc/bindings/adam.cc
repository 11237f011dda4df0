// metabonk._core.nn: Adam. Addresses and sizes come from metabonk/ops/adam.py, which has checked
// them.
#include "nn/adam.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <string>

#include "bindings/address.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {

void BindAdam(nb::module_& nn) {
  nn.def(
      "adam_kernels", [] { return std::string(nn::ActiveAdamKernels().name); },
      "Name of the loops in use: portable, avx2 or avx512.");
  nn.def(
      "adam_clip",
      [](Address values, int64_t count, double longest) {
        nb::gil_scoped_release release;
        return nn::Clip(Floats(values), count, longest);
      },
      nb::arg("values"), nb::arg("count"), nb::arg("longest"),
      "Scales to a length if they are longer; returns their length before.");
  nn.def(
      "adam_step",
      [](Address gradient, Address mean, Address square, Address weights, int64_t count,
         double rate, double beta1, double beta2, double epsilon, int64_t step) {
        nb::gil_scoped_release release;
        nn::ActiveAdamKernels().step(nn::TermsOf(rate, beta1, beta2, epsilon, step),
                                     Floats(gradient), Floats(mean), Floats(square),
                                     Floats(weights), count);
      },
      nb::arg("gradient"), nb::arg("mean"), nb::arg("square"), nb::arg("weights"), nb::arg("count"),
      nb::arg("rate"), nb::arg("beta1"), nb::arg("beta2"), nb::arg("epsilon"), nb::arg("step"),
      "One step, the `step`th; see csrc/nn/adam.h.");
}

}  // namespace metabonk::bindings
