// CfcPlan: one CfC step bound to memory, for loops that run it many times a second. Knows what
// cfc.h knows; the memory is the caller's and must outlive it.
#pragma once

#include <cstddef>

#include "nn/cfc.h"

namespace metabonk::nn {

class CfcPlan {
 public:
  // Chooses the instruction set of now for good, packs the weights and allocates all there will be.
  // sequence.steps is 1; outputs.z and outputs.heads are not written.
  CfcPlan(const CfcShape& shape, const CfcWeights& weights, const CfcSequence& sequence,
          float* out);

  // out = the cell's next state of x, h, dt, keep as they are now. One thread, no allocation.
  void Step();

  // Packs other weights of the same shape, or the same memory after it has changed.
  void Load(const CfcWeights& weights);

  int64_t macs() const;
  const char* tier() const { return kernels_->name; }

 private:
  const CfcKernels* kernels_;
  CfcShape shape_;
  CfcSequence sequence_;
  float* out_;
  CfcForwardWeights weights_;
  Buffer<float> before_, z_;
};

}  // namespace metabonk::nn
