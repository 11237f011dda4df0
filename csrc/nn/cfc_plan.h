// CfcPlan: one CfC step or a few, one after the other, bound to memory, for loops that run them
// many times a second. Knows what cfc.h knows; the memory is the caller's and must outlive it.
#pragma once

#include <cstddef>
#include <vector>

#include "nn/cfc.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

class CfcPlan {
 public:
  // Chooses the instruction set of now for good, packs the weights and allocates all there will be.
  // out [T, B, hidden]; of one step it may be the sequence's h.
  // half: keeps the weights in bf16. threads: at most so many, for large batches only.
  CfcPlan(const CfcShape& shape, const CfcWeights& weights, const CfcSequence& sequence, float* out,
          bool half, int threads);

  // out = the cell's states after every step, of x, h, dt, keep as they are now. No allocation.
  void Step();

  // Packs other weights of the same shape, or the same memory after it has changed.
  void Load(const CfcWeights& weights);

  int64_t macs() const;
  const char* tier() const { return kernels_->name; }
  int threads() const { return pool_.threads(); }

 private:
  struct Part {  // of one thread
    Buffer<float> before, z;
  };

  void Share(int share) const;
  void Block(int step, int first, int rows, const Part& part) const;

  const CfcKernels* kernels_;
  CfcShape shape_;
  CfcSequence sequence_;
  float* out_;
  bool half_;
  CfcForwardWeights weights_;
  CfcHalfWeights half_weights_;
  ThreadPool pool_;
  std::vector<Part> parts_;
};

}  // namespace metabonk::nn
