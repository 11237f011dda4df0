#include "nn/rssm_plan.h"

#include <algorithm>

namespace metabonk::nn {

namespace {

constexpr int kBlockRows = 48;  // as in rssm_job.h: scratch that stays in the cache

int RowsOf(const RssmStep& step) { return std::min(kBlockRows, step.batch); }

}  // namespace

RssmPlan::RssmPlan(const RssmShape& shape, const RssmWeights& weights, const RssmStep& step,
                   RssmPrecision precision)
    : kernels_(&ActiveRssmKernels()),
      shape_(shape),
      step_(step),
      layers_(MakeRssmLayers(precision, shape, *kernels_, step.state.numbers != nullptr,
                             RowsOf(step))) {
  const auto room = [&](Buffer<float>& buffer, int columns) {
    buffer.Reserve(static_cast<size_t>(int64_t{RowsOf(step)} * columns));
  };
  room(action_, shape.action);
  room(before_, shape.deter);
  room(x_, shape.hidden);
  loaded_ = Load(weights);
}

int64_t RssmPlan::macs() const {
  const int64_t in = int64_t{shape_.hidden} * (shape_.action + shape_.groups);
  const int64_t gru = int64_t{3} * shape_.deter * (shape_.hidden + shape_.deter);
  const int64_t head = int64_t{shape_.hidden} * (shape_.deter + shape_.parameters());
  return (in + gru + head) * step_.batch;
}

void RssmPlan::Step() {
  for (int first = 0; first < step_.batch; first += kBlockRows) {
    Block(first, std::min(kBlockRows, step_.batch - first));
  }
}

void RssmPlan::Block(int first, int rows) {
  const int64_t at = first;
  const RssmShape& shape = shape_;
  const float* keep = step_.keep == nullptr ? nullptr : step_.keep + at;
  const float* action = step_.action + at * shape.action;
  if (keep != nullptr) {
    CfcForget(action, keep, rows, shape.action, action_.data());
    action = action_.data();
  }
  RssmState state{};
  if (step_.state.numbers != nullptr) {
    state.numbers = step_.state.numbers + at * shape.stoch();
  } else {
    state.index = step_.state.index + at * shape.groups;
  }
  layers_->In(state, action, keep, rows, x_.data());

  // The GRU writes units while it reads all of `before`: what is carried in place is copied first.
  CfcForget(step_.deter + at * shape.deter, keep, rows, shape.deter, before_.data());
  float* deter = step_.out_deter + at * shape.deter;
  layers_->Gru(x_.data(), before_.data(), rows, deter);
  RssmSample sample{shape,
                    rows,
                    nullptr,
                    step_.noise + at * shape.groups,
                    step_.out_stoch + at * shape.stoch(),
                    shape.classes > 0 ? step_.out_index + at * shape.groups : nullptr};
  if (step_.prior != nullptr) {
    RssmSample of_prior = sample;
    of_prior.parameters = step_.prior + at * shape.parameters();
    if (step_.posterior != nullptr) of_prior.noise = nullptr;
    layers_->Prior(deter, rows, of_prior.parameters);
    kernels_->sample(of_prior);
  }
  if (step_.posterior == nullptr) return;
  sample.parameters = step_.posterior + at * shape.parameters();
  layers_->Posterior(deter, step_.embed + at * shape.embed, rows, sample.parameters);
  kernels_->sample(sample);
}

}  // namespace metabonk::nn
