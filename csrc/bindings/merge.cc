// metabonk._core.nn: merges of flat weights. Addresses and sizes come from metabonk/ops/merge.py,
// which has checked them.
#include "nn/merge.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bindings/address.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

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

// A merge bound to its memory.
class WeightedPlan {
 public:
  WeightedPlan(const std::vector<Address>& given, const std::vector<float>& weights, int64_t size,
               Address out, nb::handle /* held */)
      : models_(Models(given, weights)), size_(size), out_(Floats(out)) {}

  void Step() const {
    nb::gil_scoped_release release;
    nn::ActiveMergeKernels().weighted(models_, size_, out_);
  }

 private:
  std::vector<nn::MergeModel> models_;
  int64_t size_;
  float* out_;
};

class TiesPlan {
 public:
  TiesPlan(Address base, const std::vector<Address>& given, const std::vector<float>& weights,
           int64_t keep, float scale, int64_t size, Address out, nb::handle /* held */)
      : base_(Floats(base)),
        models_(Models(given, weights)),
        keep_(keep),
        scale_(scale),
        size_(size),
        out_(Floats(out)) {
    if (size > 0 && (keep < 1 || keep > size)) throw nb::value_error("keep: 1 to the size");
  }

  void Step() {
    int64_t place = -1;
    size_t m = 0;
    {
      nb::gil_scoped_release release;
      for (; size_ > 0 && m < models_.size(); ++m) {
        place = nn::MergeThreshold(base_, models_[m].values, size_, keep_, &models_[m].threshold);
        if (place >= 0) break;
      }
      if (place < 0) nn::ActiveMergeKernels().ties(base_, models_, scale_, size_, out_);
    }
    if (place < 0) return;
    throw nb::value_error(("ties: models[" + std::to_string(m) + "]: entry " +
                           std::to_string(place) + " less base is not finite")
                              .c_str());
  }

 private:
  const float* base_;
  std::vector<nn::MergeModel> models_;
  int64_t keep_;
  float scale_;
  int64_t size_;
  float* out_;
};

}  // namespace

void BindMerge(nb::module_& nn) {
  nn.def(
      "merge_kernels", [] { return std::string(nn::ActiveMergeKernels().name); },
      "Name of the loops in use: portable, avx2 or avx512.");
  nb::class_<WeightedPlan>(nn, "WeightedPlan", "A weighted sum bound to its memory.")
      .def(nb::init<const std::vector<Address>&, const std::vector<float>&, int64_t, Address,
                    nb::handle>(),
           nb::keep_alive<1, 6>(), nb::arg("models"), nb::arg("weights"), nb::arg("size"),
           nb::arg("out"), nb::arg("held"), "held: whose memory it is, kept as long as the plan.")
      .def("step", &WeightedPlan::Step, "Allocates nothing.");
  nb::class_<TiesPlan>(nn, "TiesPlan", "A TIES merge bound to its memory.")
      .def(nb::init<Address, const std::vector<Address>&, const std::vector<float>&, int64_t, float,
                    int64_t, Address, nb::handle>(),
           nb::keep_alive<1, 9>(), nb::arg("base"), nb::arg("models"), nb::arg("weights"),
           nb::arg("keep"), nb::arg("scale"), nb::arg("size"), nb::arg("out"), nb::arg("held"),
           "held: whose memory it is, kept as long as the plan.")
      .def("step", &TiesPlan::Step,
           "Allocates nothing. Raises ValueError where a model less base is not finite; nothing is "
           "written then.");
}

}  // namespace metabonk::bindings
