// RSSM over sequences on threads, and its gradients. Knows what rssm.h knows, and that whatever
// does not wait for the step before is one product over all steps: the action's and the embedded
// observation's parts of the layers, the prior, and every weight's gradient.
#pragma once

#include <mutex>
#include <vector>

#include "nn/rssm.h"
#include "support/buffer.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

struct RssmSequence {
  int steps, batch;
  const float* deter;   // [B, deter], before the first step
  RssmState state;      // the same, of B rows
  const float* action;  // [T, B, action]: what led to each step
  const float* embed;   // [T, B, embed], or null
  const float* keep;    // [T, B] or null
  const float* noise;   // [T, B, groups]
};

// What a forward pass writes; those for the gradient may be null, all or none.
struct RssmOutputs {
  float* deter;             // [T, B, deter]
  float* stoch;             // [T, B, stoch]
  float* prior;             // [T, B, parameters]
  float* posterior;         // the same, with observations
  int32_t* index;           // [T, B, groups], of categoricals
  float* x;                 // [T, B, hidden]
  float* gates;             // [T, B, 4 deter]
  float* prior_hidden;      // [T, B, hidden]
  float* posterior_hidden;  // the same, with observations
};

// Gradients of what a forward pass writes; any may be null.
struct RssmGiven {
  const float *deter, *stoch, *prior, *posterior;
};

struct RssmGradients {
  float* deter;
  float* stoch;  // [B, stoch], or null where the state was one of indices
  float* action;
  float* embed;
  // As in RssmWeights.
  float *in, *in_bias, *ih, *hh, *ih_bias, *hh_bias;
  float *prior, *prior_bias, *prior_out, *prior_out_bias;
  float *posterior, *posterior_bias, *posterior_out, *posterior_out_bias;
};

// Weights for steps backwards.
struct RssmBackward {
  struct Head {
    Panels out, deter, embed;
  };
  Head prior, posterior;
  Panels ih, hh, stoch, action;

  void Pack(const RssmShape& shape, const RssmWeights& weights, int lanes);
};

// Keeps scratch memory, which grows to the largest sequence seen and is then reused. Calls from
// several threads wait for each other.
class RssmEngine {
 public:
  explicit RssmEngine(int threads) : pool_(threads), parts_(static_cast<size_t>(pool_.threads())) {}

  void Forward(const RssmShape& shape, const RssmWeights& weights, const RssmSequence& sequence,
               const RssmOutputs& outputs);
  // saved: all that Forward wrote.
  void Backward(const RssmShape& shape, const RssmWeights& weights, const RssmSequence& sequence,
                const RssmOutputs& saved, const RssmGiven& given, const RssmGradients& gradients);

 private:
  friend class RssmImagination;  // whose backward pass is one of these, with more between steps
  friend class RssmDreamPlan;

  struct Part {  // of one thread
    Buffer<float> before, stoch, carry, carry_stoch;
  };
  struct Job;
  struct Back;

  int Shares(const RssmShape& shape, int64_t rows) const;
  void Run(Job* job, void (*body)(Job& job, int share));
  void Hoist(const Job& job, int share) const;
  void Unroll(const Job& job, int64_t first, int count, Part& part) const;
  void Priors(const Job& job, int share) const;
  void RunBack(const RssmWeights& weights, Back* whole);

  std::mutex one_caller_;
  ThreadPool pool_;
  std::vector<Part> parts_;
  RssmForward forward_;
  RssmBackward backward_;
  Buffer<float> x_, prior_hidden_, posterior_hidden_;
  Buffer<float> action_, before_, stoch_before_;  // as `keep` leaves them
  Buffer<float> d_deter_, d_gates_, d_x_, d_rows_;
  Buffer<float> d_hidden_[2], d_out_[2];  // of the head inside the loop, and of the prior outside
};

}  // namespace metabonk::nn
