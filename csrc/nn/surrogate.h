// The clipped surrogate of PPO (Schulman et al. 2017) over hybrid actions: its gradients by the
// network's outputs and its statistics, in one pass over samples. Knows pointers and sizes; no
// networks, no rollouts, no Torch.
//
//   log pi = sum over columns of log N(x; middle + half f(u), half exp(s)) + sum over choices of
//            log softmax(allowed logits)[chosen],   f = tanh where bounded, else the identity
//   r      = exp(log pi - log pi_old),   gain = min(r A, clamp(r, 1 - clip, 1 + clip) A)
//   e      = (v - R)^2, or the larger of it and that of v clamped to v_old +- value_clip
//   loss   = -share sum w (gain - value_coef / 2 e + entropy_coef H)
//
// Arrays are row-major and contiguous; flags are bytes, 0 for no. Sums run in an order that follows
// from the number of rows alone.
#pragma once

#include <cstdint>

namespace metabonk::nn {

constexpr int kSurrogateOutputs = 256;  // columns and logits of a sample, at most

struct SurrogateTerms {
  float clip;
  float value_clip;  // 0: none
  float value_coef;
  float entropy_coef;
  float share;
};

// What was done in each of `rows` samples and how it turned out.
struct SurrogateBatch {
  int64_t rows;
  int columns;              // continuous ones
  int choices;              // categorical ones
  int logits;               // of all choices together
  const int* sizes;         // [choices]: logits of each, one after the other
  const float* parameters;  // [rows, columns + logits]: u, then the logits
  const float* value;       // [rows]
  const float* log_std;     // [columns], s
  const float* half;        // [columns], 1 where unbounded
  const float* middle;      // [columns], 0 where unbounded
  const uint8_t* bounded;   // [columns]
  const uint8_t* allowed;   // [rows, logits]; null: all are
  const float* taken;       // [rows, columns], x
  const int64_t* chosen;    // [rows, choices]
  const float* log_prob;    // [rows], when it was done
  const float* advantage;
  const float* returns;
  const float* old_value;
  const float* weight;
};

constexpr int kSurrogateStatistics = 5;

// Gradients of the loss, and share sum w (-gain, e / 2, H, r - 1 - log r, whether |r - 1| > clip):
// the third but last is Schulman's estimator k3 of the divergence.
struct SurrogateGradients {
  float* parameters;  // [rows, columns + logits]
  float* value;       // [rows]
  float* log_std;     // [columns]
  float* statistics;  // [kSurrogateStatistics]
};

struct SurrogateKernels {
  const char* name;
  // Every `chosen` must be in range.
  void (*run)(const SurrogateBatch& batch, const SurrogateTerms& terms,
              const SurrogateGradients& out);
};

extern const SurrogateKernels kSurrogatePortable;
extern const SurrogateKernels kSurrogateAvx2;
extern const SurrogateKernels kSurrogateAvx512;

const SurrogateKernels& ActiveSurrogateKernels();

// The first sample with a choice out of range, or -1.
int64_t ChosenOutside(const SurrogateBatch& batch);

}  // namespace metabonk::nn
