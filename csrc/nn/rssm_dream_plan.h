// RssmDreamPlan: dreams bound to memory, for loops that dream many times with the same weights.
// Knows what rssm_imagine.h knows; the memory is the caller's and must outlive it.
#pragma once

#include "nn/rssm_imagine.h"
#include "support/buffer.h"

namespace metabonk::nn {

class RssmDreamPlan {
 public:
  // Chooses the instruction set of now for good, packs the weights and allocates all there will be.
  // threads: at most so many, where there is work for them. What `dream` has for gradients is null.
  RssmDreamPlan(const RssmShape& shape, const RssmWeights& weights, const RssmActor& actor,
                const RssmStarts& starts, const RssmDream& dream, int threads);

  // Dreams from what the starts and the noises hold now. No allocation.
  void Step() { engine_.Dream(*kernels_, shape_, actor_, starts_, dream_); }

  // Packs other weights of the same shapes, or the same memory after it has changed.
  void Load(const RssmWeights& weights, const RssmActor& actor);

  const char* tier() const { return kernels_->name; }
  int threads() const { return engine_.engine_.pool_.threads(); }

 private:
  const RssmKernels* kernels_;
  RssmShape shape_;
  RssmActor actor_;  // whose biases are kept below
  RssmStarts starts_;
  RssmDream dream_;
  RssmImagination engine_;
  Buffer<float> biases_, actor_biases_;
};

}  // namespace metabonk::nn
