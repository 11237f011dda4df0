// metabonk._core.nn: merges of flat weights. Addresses and sizes come from metabonk/ops/merge.py,
// which has checked them.
#include "nn/merge.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Address = uintptr_t;  // of contiguous float32

const float* Floats(Address address) { return reinterpret_cast<const float*>(address); }

std::vector<nn::MergeModel> Models(const std::vector<Address>& given,
                                   const std::vector<float>& weights) {
  if (given.size() != weights.size()) throw nb::value_error("weights: one for each of the models");
  std::vector<nn::MergeModel> models;
  models.reserve(given.size());
  for (size_t m = 0; m < given.size(); ++m) {
    models.push_back({Floats(given[m]), weights[m], 0.0f});
  }
  return models;
}

void Weighted(const std::vector<Address>& given, const std::vector<float>& weights, int64_t size,
              Address out) {
  const std::vector<nn::MergeModel> models = Models(given, weights);
  nb::gil_scoped_release release;
  nn::ActiveMergeKernels().weighted(models, size, reinterpret_cast<float*>(out));
}

void Ties(Address base, const std::vector<Address>& given, const std::vector<float>& weights,
          int64_t keep, float scale, int64_t size, Address out) {
  std::vector<nn::MergeModel> models = Models(given, weights);
  if (size > 0 && (keep < 1 || keep > size)) throw nb::value_error("keep: 1 to the size");
  int64_t place = -1;
  size_t m = 0;
  {
    nb::gil_scoped_release release;
    for (; size > 0 && m < models.size(); ++m) {
      place = nn::MergeThreshold(Floats(base), models[m].values, size, keep, &models[m].threshold);
      if (place >= 0) break;
    }
    if (place < 0) {
      nn::ActiveMergeKernels().ties(Floats(base), models, scale, size,
                                    reinterpret_cast<float*>(out));
    }
  }
  if (place < 0) return;
  throw nb::value_error(("ties: models[" + std::to_string(m) + "]: entry " + std::to_string(place) +
                         " less base is not finite")
                            .c_str());
}

}  // namespace

void BindMerge(nb::module_& nn) {
  nn.def(
      "merge_kernels", [] { return std::string(nn::ActiveMergeKernels().name); },
      "Name of the loops in use: portable, avx2 or avx512.");
  nn.def("merge_weighted", &Weighted, nb::arg("models"), nb::arg("weights"), nb::arg("size"),
         nb::arg("out"));
  nn.def("merge_ties", &Ties, nb::arg("base"), nb::arg("models"), nb::arg("weights"),
         nb::arg("keep"), nb::arg("scale"), nb::arg("size"), nb::arg("out"),
         "Raises ValueError where a model less base is not finite; nothing is written then.");
}

}  // namespace metabonk::bindings
