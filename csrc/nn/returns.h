// Returns over batches of trajectories: generalised advantages and lambda-returns, and their
// gradients. Knows pointers and sizes; no networks, no Torch.
//
//   gae:    A_t = delta_t + gamma_t lambda (1 - ended_t) A_{t+1}
//           delta_t = r_t + gamma_t (1 - terminated_t) V_{t+1} - V_t,  both 0 where step t resets
//   lambda: R_t = r_t + d_t ((1 - lambda) V_{t+1} + lambda R_{t+1}),  R_T = V_T
//
// Arrays are [steps, columns], values [steps + 1, columns], float32, row-major and contiguous;
// flags are bytes, 0 for no. What a flag switches off is not read into the result: it may be NaN.
// Every tier computes the same bits (no fused multiply-adds). One thread: all of it is memory.
#pragma once

#include <cstdint>

namespace metabonk::nn {

// Where a batch for advantages lies. is_reset and discount may be null.
struct GaeBatch {
  int64_t steps, columns;
  const float* reward;
  const float* value;
  const uint8_t* terminated;
  const uint8_t* truncated;
  const uint8_t* is_reset;
  const float* discount;  // gamma of each step; null: `gamma` is that of all
  float gamma, lambda;
};

struct LambdaBatch {
  int64_t steps, columns;
  const float* reward;
  const float* value;
  const float* discount;
  float lambda;
};

struct ReturnsKernels {
  const char* name;
  // -> out [steps, columns]
  void (*gae)(const GaeBatch& batch, float* out);
  // The gradient of out -> those of reward [steps, columns] and value [steps + 1, columns].
  void (*gae_gradient)(const GaeBatch& batch, const float* d_out, float* d_reward, float* d_value);
  // -> out [steps, columns]
  void (*lambda_returns)(const LambdaBatch& batch, float* out);
  // out as it was computed; -> the gradients of reward, value and discount.
  void (*lambda_gradient)(const LambdaBatch& batch, const float* out, const float* d_out,
                          float* d_reward, float* d_value, float* d_discount);
};

extern const ReturnsKernels kReturnsPortable;
extern const ReturnsKernels kReturnsAvx2;
extern const ReturnsKernels kReturnsAvx512;

const ReturnsKernels& ActiveReturnsKernels();

}  // namespace metabonk::nn
