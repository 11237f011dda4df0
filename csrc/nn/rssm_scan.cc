#include "nn/rssm_scan.h"

#include "nn/rssm_job.h"

namespace metabonk::nn {

namespace {

constexpr int64_t kShareMacs = int64_t{4} << 20;  // less is not worth waking a thread for

size_t Room(int64_t rows, int64_t columns) { return static_cast<size_t>(rows * columns); }

}  // namespace

int RssmEngine::Shares(const RssmShape& shape, int64_t rows) const {
  const int64_t gru = int64_t{3} * shape.deter * (shape.hidden + shape.deter);
  const int64_t heads = int64_t{shape.hidden} * (shape.deter + shape.parameters() + shape.embed);
  return static_cast<int>(
      std::clamp<int64_t>(rows * (gru + heads) / kShareMacs, 1, pool_.threads()));
}

void RssmEngine::Run(Job* job, void (*body)(Job& job, int share)) {
  struct Call {
    Job* job;
    void (*body)(Job& job, int share);
  } call{job, body};
  pool_.Run(
      job->shares,
      [](void* context, int share, int) {
        const Call& mine = *static_cast<Call*>(context);
        mine.body(*mine.job, share);
      },
      &call);
}

void RssmEngine::Forward(const RssmShape& shape, const RssmWeights& weights,
                         const RssmSequence& sequence, const RssmOutputs& outputs) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  const RssmKernels& kernels = ActiveRssmKernels();
  forward_.Pack(shape, weights, sequence.state.numbers != nullptr, kernels.lanes);
  Job job{this, &kernels, shape, sequence, outputs, 1};
  const int64_t rows = job.rows();
  job.shares = Shares(shape, rows);
  action_.Reserve(Room(rows, shape.action));
  if (outputs.x == nullptr) {
    job.outputs.x = x_.Reserve(Room(rows, shape.hidden));
    job.outputs.prior_hidden = prior_hidden_.Reserve(Room(rows, shape.hidden));
    job.outputs.posterior_hidden =
        shape.observes() ? posterior_hidden_.Reserve(Room(rows, shape.hidden)) : nullptr;
  }
  for (Part& part : parts_) {
    part.before.Reserve(Room(kRssmBlockRows, shape.deter));
    part.stoch.Reserve(Room(kRssmBlockRows, shape.stoch()));
  }
  Run(&job, [](Job& j, int share) { j.engine->Hoist(j, share); });
  Run(&job, [](Job& j, int share) {
    j.Blocks(j.sequence.batch, share, [&](int64_t first, int count) {
      j.engine->Unroll(j, first, count, j.engine->parts_[static_cast<size_t>(share)]);
    });
  });
  if (shape.observes()) Run(&job, [](Job& j, int share) { j.engine->Priors(j, share); });
}

// The parts of the layers that read actions and observations, into where the layers will be.
void RssmEngine::Hoist(const Job& j, int share) const {
  const RssmShape& shape = j.shape;
  j.Blocks(j.rows(), share, [&](int64_t first, int count) {
    j.KeepAction(first, count);
    RssmLayer in = j.Layer(forward_.action, count, action_.data() + first * shape.action,
                           shape.action, j.outputs.x + first * shape.hidden, shape.hidden);
    in.bias = forward_.in_bias;
    j.kernels->layer(in);
    if (!shape.observes()) return;
    RssmLayer embed =
        j.Layer(forward_.posterior.embed, count, j.sequence.embed + first * shape.embed,
                shape.embed, j.outputs.posterior_hidden + first * shape.hidden, shape.hidden);
    embed.bias = forward_.posterior.bias;
    j.kernels->layer(embed);
  });
}

void RssmEngine::Unroll(const Job& j, int64_t first, int count, Part& part) const {
  const RssmShape& shape = j.shape;
  const bool observes = shape.observes();
  for (int t = 0; t < j.sequence.steps; ++t) {
    const int64_t at = j.At(t, first);
    const float* keep = Of(j.sequence.keep, at);
    float* x = j.outputs.x + at * shape.hidden;
    RssmTakeState(*j.kernels, shape, forward_, j.StochBefore(t, first), keep, count,
                  part.stoch.data(), x);
    const float* before = j.DeterBefore(t, first);
    if (keep != nullptr) {
      CfcForget(before, keep, count, shape.deter, part.before.data());
      before = part.before.data();
    }
    float* deter = j.outputs.deter + at * shape.deter;
    j.kernels->gru(forward_.gru, {count, shape.hidden, shape.deter, x, before, deter,
                                  Of(j.outputs.gates, at * kGates * shape.deter)});
    float* hidden =
        (observes ? j.outputs.posterior_hidden : j.outputs.prior_hidden) + at * shape.hidden;
    float* out = (observes ? j.outputs.posterior : j.outputs.prior) + at * shape.parameters();
    RssmRunHead(*j.kernels, shape,
                {observes ? &forward_.posterior : &forward_.prior, count, deter,
                 observes ? hidden : nullptr, hidden, out});
    j.kernels->sample({shape, count, out, j.sequence.noise + at * shape.groups,
                       j.outputs.stoch + at * shape.stoch(),
                       shape.classes > 0 ? j.outputs.index + at * shape.groups : nullptr});
  }
}

void RssmEngine::Priors(const Job& j, int share) const {
  const RssmShape& shape = j.shape;
  j.Blocks(j.rows(), share, [&](int64_t first, int count) {
    float* out = j.outputs.prior + first * shape.parameters();
    RssmRunHead(*j.kernels, shape,
                {&forward_.prior, count, j.outputs.deter + first * shape.deter, nullptr,
                 j.outputs.prior_hidden + first * shape.hidden, out});
    j.kernels->sample({shape, count, out, nullptr, nullptr, nullptr});
  });
}

}  // namespace metabonk::nn
