#include "nn/cfc_plan.h"

#include <algorithm>

namespace metabonk::nn {

namespace {
constexpr int kBlockRows = 96;  // as in cfc.cc: scratch that stays in the cache
}

CfcPlan::CfcPlan(const CfcShape& shape, const CfcWeights& weights, const CfcSequence& sequence,
                 float* out)
    : kernels_(&ActiveCfcKernels()), shape_(shape), sequence_(sequence), out_(out) {
  const auto rows = static_cast<size_t>(std::min(kBlockRows, sequence.batch));
  before_.Reserve(rows * static_cast<size_t>(shape.hidden));
  z_.Reserve(rows * static_cast<size_t>(shape.backbone));
  Load(weights);
}

void CfcPlan::Load(const CfcWeights& weights) { weights_.Pack(shape_, weights, kernels_->lanes); }

int64_t CfcPlan::macs() const {
  const int64_t wide = shape_.inputs + shape_.hidden + int64_t{kCfcHeads} * shape_.hidden;
  return wide * shape_.backbone * sequence_.batch;
}

void CfcPlan::Step() {
  const int hidden = shape_.hidden;
  for (int first = 0; first < sequence_.batch; first += kBlockRows) {
    const int rows = std::min(kBlockRows, sequence_.batch - first);
    const int64_t state = int64_t{first} * hidden;
    const float* before = sequence_.h + state;
    // The heads write h' when the backbone has read all of h: a copy is needed for `keep` only.
    if (sequence_.keep != nullptr) {
      CfcForget(before, sequence_.keep + first, rows, hidden, before_.data());
      before = before_.data();
    }
    CfcRows r{};
    r.shape = shape_;
    r.rows = rows;
    r.x = sequence_.x + int64_t{first} * shape_.inputs;
    r.before = before;
    r.dt = sequence_.dt == nullptr ? nullptr : sequence_.dt + first;
    r.out = out_ + state;
    r.z = z_.data();
    r.z_stride = shape_.backbone;
    kernels_->step(weights_, r);
  }
}

}  // namespace metabonk::nn
