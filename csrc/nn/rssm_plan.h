// RssmPlan: one RSSM step or a few, one after the other, bound to memory, for loops that run them
// many times a second. Knows what rssm.h knows and what is carried from step to step; the layers
// are rssm_layers.h's. The memory is the caller's and must outlive it.
#pragma once

#include <memory>

#include "metabonk/status.h"
#include "nn/rssm.h"
#include "nn/rssm_layers.h"
#include "support/buffer.h"

namespace metabonk::nn {

// Where steps read and write: deter and state rows of one batch, all others of T of them. Of one
// step, with out_deter the same memory as deter, and out_index or out_stoch the same as state, the
// state is carried in place.
struct RssmSteps {
  int steps, batch;
  const float* deter;
  RssmState state;
  const float* action;
  const float* embed;  // or null
  const float* keep;   // or null
  const float* noise;
  float* out_deter;
  float* out_stoch;
  int32_t* out_index;
  float* prior;      // or null where there are observations and nobody asks
  float* posterior;  // null without observations
};

class RssmPlan {
 public:
  // Chooses the instruction set of now for good, packs the weights and allocates all there will be.
  // Where `loaded` is a failure there are none to step with.
  RssmPlan(const RssmShape& shape, const RssmWeights& weights, const RssmSteps& steps,
           RssmPrecision precision = RssmPrecision::kFloat);

  const Status& loaded() const { return loaded_; }

  // One thread, no allocation.
  void Step();

  // Packs other weights of the same shape, or the same memory after it has changed. After a failure
  // steps go on with those from before.
  Status Load(const RssmWeights& weights) { return layers_->Load(weights); }

  int64_t macs() const;
  const char* tier() const { return kernels_->name; }

 private:
  void Block(int t, int first, int rows);

  const RssmKernels* kernels_;
  RssmShape shape_;
  RssmSteps steps_;
  std::unique_ptr<RssmLayers> layers_;
  Buffer<float> action_, before_, x_;
  Status loaded_;
};

}  // namespace metabonk::nn
