#include "nn/rssm_plan.h"

#include <algorithm>

namespace metabonk::nn {

namespace {
constexpr int kBlockRows = 48;  // as in rssm_job.h: scratch that stays in the cache
}

RssmPlan::RssmPlan(const RssmShape& shape, const RssmWeights& weights, const RssmStep& step,
                   bool half)
    : kernels_(&ActiveRssmKernels()), shape_(shape), step_(step), half_(half) {
  const auto rows = static_cast<size_t>(std::min(kBlockRows, step.batch));
  const auto room = [&](Buffer<float>& buffer, int columns) {
    buffer.Reserve(rows * static_cast<size_t>(columns));
  };
  room(action_, shape.action);
  room(before_, shape.deter);
  room(stoch_, shape.stoch());
  room(x_, shape.hidden);
  room(hidden_, shape.hidden);
  Load(weights);
}

void RssmPlan::Load(const RssmWeights& weights) {
  weights_.Pack(shape_, weights, step_.state.numbers != nullptr, kernels_->lanes);
  if (half_) weights_.Halve();
  weights_.KeepBiases(shape_, &biases_);
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
  RssmLayer in{};
  in.weights = &weights_.action;
  in.rows = rows;
  in.x = action;
  in.x_stride = in.depth = shape.action;
  in.bias = weights_.in_bias;
  in.y = x_.data();
  in.y_stride = shape.hidden;
  kernels_->layer(in);
  RssmState state{};
  if (step_.state.numbers != nullptr) {
    state.numbers = step_.state.numbers + at * shape.stoch();
  } else {
    state.index = step_.state.index + at * shape.groups;
  }
  RssmTakeState(*kernels_, shape, weights_, state, keep, rows, stoch_.data(), x_.data());

  // The GRU writes units while it reads all of `before`: what is carried in place is copied first.
  CfcForget(step_.deter + at * shape.deter, keep, rows, shape.deter, before_.data());
  float* deter = step_.out_deter + at * shape.deter;
  kernels_->gru(weights_.gru,
                {rows, shape.hidden, shape.deter, x_.data(), before_.data(), deter, nullptr});
  RssmSample sample{shape,
                    rows,
                    nullptr,
                    step_.noise + at * shape.groups,
                    step_.out_stoch + at * shape.stoch(),
                    shape.classes > 0 ? step_.out_index + at * shape.groups : nullptr};
  if (step_.prior != nullptr) {
    float* prior = step_.prior + at * shape.parameters();
    RssmRunHead(*kernels_, shape, {&weights_.prior, rows, deter, nullptr, hidden_.data(), prior});
    RssmSample of_prior = sample;
    of_prior.parameters = prior;
    if (step_.posterior != nullptr) of_prior.noise = nullptr;
    kernels_->sample(of_prior);
  }
  if (step_.posterior == nullptr) return;
  RssmLayer embed{};
  embed.weights = &weights_.posterior.embed;
  embed.rows = rows;
  embed.x = step_.embed + at * shape.embed;
  embed.x_stride = embed.depth = shape.embed;
  embed.bias = weights_.posterior.bias;
  embed.y = hidden_.data();
  embed.y_stride = shape.hidden;
  kernels_->layer(embed);
  sample.parameters = step_.posterior + at * shape.parameters();
  RssmRunHead(
      *kernels_, shape,
      {&weights_.posterior, rows, deter, hidden_.data(), hidden_.data(), sample.parameters});
  kernels_->sample(sample);
}

}  // namespace metabonk::nn
