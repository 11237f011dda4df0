#include "nn/rssm_plan.h"

#include <algorithm>

namespace metabonk::nn {

namespace {

// Rows that take a step together: enough that weights beyond the second-level cache are read
// seldom, few enough that what lies between the layers stays in it.
constexpr int kBlockRows = 256;

int RowsOf(const RssmSteps& steps) { return std::min(kBlockRows, steps.batch); }

}  // namespace

RssmPlan::RssmPlan(const RssmShape& shape, const RssmWeights& weights, const RssmSteps& steps,
                   RssmPrecision precision)
    : kernels_(&ActiveRssmKernels()),
      shape_(shape),
      steps_(steps),
      layers_(MakeRssmLayers(precision, shape, *kernels_, steps.state.numbers != nullptr,
                             RowsOf(steps))) {
  const auto room = [&](Buffer<float>& buffer, int columns) {
    buffer.Reserve(static_cast<size_t>(int64_t{RowsOf(steps)} * columns));
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
  return (in + gru + head) * steps_.steps * steps_.batch;
}

void RssmPlan::Step() {
  for (int first = 0; first < steps_.batch; first += kBlockRows) {
    const int rows = std::min(kBlockRows, steps_.batch - first);
    for (int t = 0; t < steps_.steps; ++t) Block(t, first, rows);
  }
}

void RssmPlan::Block(int t, int first, int rows) {
  const int64_t at = int64_t{t} * steps_.batch + first, last = at - steps_.batch;
  const RssmShape& shape = shape_;
  const float* keep = steps_.keep == nullptr ? nullptr : steps_.keep + at;
  const float* action = steps_.action + at * shape.action;
  if (keep != nullptr) {
    CfcForget(action, keep, rows, shape.action, action_.data());
    action = action_.data();
  }
  const float* before =
      t == 0 ? steps_.deter + at * shape.deter : steps_.out_deter + last * shape.deter;
  RssmState state{};
  if (t > 0 && shape.classes > 0) {
    state.index = steps_.out_index + last * shape.groups;
  } else if (t > 0) {
    state.numbers = steps_.out_stoch + last * shape.stoch();
  } else if (steps_.state.numbers != nullptr) {
    state.numbers = steps_.state.numbers + at * shape.stoch();
  } else {
    state.index = steps_.state.index + at * shape.groups;
  }
  layers_->In(state, action, keep, rows, x_.data());

  // The GRU writes units while it reads all of `before`: what is carried in place is copied first.
  CfcForget(before, keep, rows, shape.deter, before_.data());
  float* deter = steps_.out_deter + at * shape.deter;
  layers_->Gru(x_.data(), before_.data(), rows, deter);
  RssmSample sample{shape,
                    rows,
                    nullptr,
                    steps_.noise + at * shape.groups,
                    steps_.out_stoch + at * shape.stoch(),
                    shape.classes > 0 ? steps_.out_index + at * shape.groups : nullptr};
  if (steps_.prior != nullptr) {
    RssmSample of_prior = sample;
    of_prior.parameters = steps_.prior + at * shape.parameters();
    if (steps_.posterior != nullptr) of_prior.noise = nullptr;
    layers_->Prior(deter, rows, of_prior.parameters);
    kernels_->sample(of_prior);
  }
  if (steps_.posterior == nullptr) return;
  sample.parameters = steps_.posterior + at * shape.parameters();
  layers_->Posterior(deter, steps_.embed + at * shape.embed, rows, sample.parameters);
  kernels_->sample(sample);
}

}  // namespace metabonk::nn
