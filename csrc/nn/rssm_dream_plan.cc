#include "nn/rssm_dream_plan.h"

#include <algorithm>

namespace metabonk::nn {

RssmDreamPlan::RssmDreamPlan(const RssmShape& shape, const RssmWeights& weights,
                             const RssmActor& actor, const RssmStarts& starts,
                             const RssmDream& dream, int threads)
    : kernels_(&ActiveRssmKernels()),
      shape_(shape),
      actor_(actor),
      starts_(starts),
      dream_(dream),
      engine_(RssmImagination::Shares(shape, starts, threads)) {
  Load(weights, actor);
}

void RssmDreamPlan::Load(const RssmWeights& weights, const RssmActor& actor) {
  engine_.Prepare(*kernels_, shape_, weights, actor, starts_.state.numbers != nullptr);
  engine_.forward_.KeepBiases(shape_, &biases_);
  float* to = actor_biases_.Reserve(static_cast<size_t>(actor.first(actor.layers)));
  for (int i = 0; i < actor.layers; ++i) {
    std::copy_n(actor.biases[i], actor.units[i], to);
    actor_.biases[i] = to;
    to += actor.units[i];
  }
}

}  // namespace metabonk::nn
