#include "nn/cfc_plan.h"

#include <algorithm>

namespace metabonk::nn {

namespace {
constexpr int kBlockRows = 96;  // as in cfc.cc: scratch that stays in the cache
}

CfcPlan::CfcPlan(const CfcShape& shape, const CfcWeights& weights, const CfcSequence& sequence,
                 float* out, bool half, int threads)
    : kernels_(&ActiveCfcKernels()),
      shape_(shape),
      sequence_(sequence),
      out_(out),
      half_(half),
      pool_(CfcShares(shape, int64_t{sequence.steps} * sequence.batch,
                      std::min(threads, sequence.batch))),
      parts_(static_cast<size_t>(pool_.threads())) {
  const auto rows = static_cast<size_t>(std::min(kBlockRows, sequence.batch));
  for (Part& part : parts_) {
    part.before.Reserve(rows * static_cast<size_t>(shape.hidden));
    part.z.Reserve(rows * static_cast<size_t>(shape.backbone));
  }
  Load(weights);
}

void CfcPlan::Load(const CfcWeights& weights) {
  weights_.Pack(shape_, weights, kernels_->lanes);
  if (half_) half_weights_.Pack(weights_, kernels_->lanes);
}

int64_t CfcPlan::macs() const {
  const int64_t wide = shape_.inputs + shape_.hidden + int64_t{kCfcHeads} * shape_.hidden;
  return wide * shape_.backbone * sequence_.steps * sequence_.batch;
}

void CfcPlan::Step() {
  pool_.Run(
      pool_.threads(),
      [](void* context, int share, int) { static_cast<const CfcPlan*>(context)->Share(share); },
      this);
}

void CfcPlan::Share(int share) const {
  const auto begin = [&](int64_t i) {
    return static_cast<int>(sequence_.batch * i / pool_.threads());
  };
  const int end = begin(share + 1);
  for (int first = begin(share); first < end; first += kBlockRows) {
    const int rows = std::min(kBlockRows, end - first);
    for (int step = 0; step < sequence_.steps; ++step) {
      Block(step, first, rows, parts_[static_cast<size_t>(share)]);
    }
  }
}

void CfcPlan::Block(int step, int first, int rows, const Part& part) const {
  const int hidden = shape_.hidden;
  const int64_t at = int64_t{step} * sequence_.batch + first;
  const float* before =
      step == 0 ? sequence_.h + int64_t{first} * hidden : out_ + (at - sequence_.batch) * hidden;
  // The heads write h' when the backbone has read all of h: a copy is needed for `keep` only.
  if (sequence_.keep != nullptr) {
    CfcForget(before, sequence_.keep + at, rows, hidden, part.before.data());
    before = part.before.data();
  }
  CfcRows r{};
  r.shape = shape_;
  r.rows = rows;
  r.x = sequence_.x + at * shape_.inputs;
  r.before = before;
  r.dt = sequence_.dt == nullptr ? nullptr : sequence_.dt + at;
  r.out = out_ + at * hidden;
  r.z = part.z.data();
  r.z_stride = shape_.backbone;
  if (half_) {
    kernels_->step_half(half_weights_, r);
  } else {
    kernels_->step(weights_, r);
  }
}

}  // namespace metabonk::nn
