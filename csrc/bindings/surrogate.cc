// metabonk._core.nn: the surrogate. Addresses and sizes come from metabonk/ops/surrogate.py, which
// has checked them.
#include "nn/surrogate.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "bindings/address.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

// In the order of SurrogateBatch, and of SurrogateGradients.
enum Input {
  kParameters,
  kValue,
  kLogStd,
  kHalf,
  kMiddle,
  kBounded,
  kAllowed,
  kTaken,
  kChosen,
  kLogProb,
  kAdvantage,
  kReturns,
  kOldValue,
  kWeight,
  kInputs
};
enum Output { kDParameters, kDValue, kDLogStd, kStatistics, kOutputs };

void Run(int64_t rows, int columns, const std::vector<int>& sizes,
         const std::vector<Address>& inputs, const std::vector<float>& terms,
         const std::vector<Address>& outputs) {
  if (inputs.size() != kInputs || outputs.size() != kOutputs || terms.size() != 5) {
    throw nb::value_error("surrogate: 14 inputs, 5 terms and 4 outputs");
  }
  const int logits = std::accumulate(sizes.begin(), sizes.end(), 0);
  if (columns + logits > nn::kSurrogateOutputs) {
    throw nb::value_error("surrogate: more outputs than it has room for");
  }
  const auto in = [&](Input which) { return Floats(inputs[which]); };
  const nn::SurrogateBatch batch{rows,
                                 columns,
                                 static_cast<int>(sizes.size()),
                                 logits,
                                 sizes.data(),
                                 in(kParameters),
                                 in(kValue),
                                 in(kLogStd),
                                 in(kHalf),
                                 in(kMiddle),
                                 Bytes(inputs[kBounded]),
                                 Bytes(inputs[kAllowed]),
                                 in(kTaken),
                                 inputs[kChosen].To<int64_t>(),
                                 in(kLogProb),
                                 in(kAdvantage),
                                 in(kReturns),
                                 in(kOldValue),
                                 in(kWeight)};
  int64_t outside = -1;
  {
    nb::gil_scoped_release release;
    outside = nn::ChosenOutside(batch);
    if (outside < 0) {
      nn::ActiveSurrogateKernels().run(batch, {terms[0], terms[1], terms[2], terms[3], terms[4]},
                                       {Floats(outputs[kDParameters]), Floats(outputs[kDValue]),
                                        Floats(outputs[kDLogStd]), Floats(outputs[kStatistics])});
    }
  }
  if (outside >= 0) {
    const std::string where = std::to_string(outside);
    throw nb::index_error(("surrogate: chosen[" + where + "] is no choice of its size").c_str());
  }
}

}  // namespace

void BindSurrogate(nb::module_& nn) {
  nn.attr("SURROGATE_OUTPUTS") = nn::kSurrogateOutputs;
  nn.def(
      "surrogate_kernels", [] { return std::string(nn::ActiveSurrogateKernels().name); },
      "Name of the loops in use: portable, avx2 or avx512.");
  nn.def("surrogate", &Run, nb::arg("rows"), nb::arg("columns"), nb::arg("sizes"),
         nb::arg("inputs"), nb::arg("terms"), nb::arg("outputs"),
         "Gradients and statistics of one batch; inputs and outputs by address, 0 for none, in the "
         "order of csrc/nn/surrogate.h. Raises IndexError for a choice out of range.");
}

}  // namespace metabonk::bindings
