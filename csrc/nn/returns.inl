// The loops of returns.h, compiled once per instruction set by the files that include this: plain
// enough for the compiler to vectorise over columns.
#include <algorithm>
#include <cstdint>

#include "nn/returns.h"

namespace metabonk::nn {
namespace {

// One step of a batch for advantages: rows of `columns`.
struct GaeRow {
  explicit GaeRow(const GaeBatch& batch, int64_t t)
      : reward(batch.reward + t * batch.columns),
        value(batch.value + t * batch.columns),
        next(value + batch.columns),
        terminated(batch.terminated + t * batch.columns),
        truncated(batch.truncated + t * batch.columns),
        is_reset(batch.is_reset == nullptr ? nullptr : batch.is_reset + t * batch.columns),
        discount(batch.discount == nullptr ? nullptr : batch.discount + t * batch.columns) {}

  const float* reward;
  const float* value;
  const float* next;
  const uint8_t* terminated;
  const uint8_t* truncated;
  const uint8_t* is_reset;
  const float* discount;
};

// All that a lane may need is loaded before it is chosen from, or the compiler sees branches.
// Where there is no row, another one stands in and `cut` keeps it out.

template <bool kResets, bool kDiscounts>
void GaeStep(const GaeBatch& batch, int64_t t, float* out) {
  const GaeRow row(batch, t);
  const bool last = t + 1 == batch.steps;
  const float even = batch.gamma, lambda = batch.lambda;  // no store can change these
  const float* __restrict reward = row.reward;
  const float* __restrict value = row.value;
  const float* __restrict next = row.next;
  const float* __restrict discount = kDiscounts ? row.discount : reward;
  const uint8_t* __restrict terminated = row.terminated;
  const uint8_t* __restrict truncated = row.truncated;
  const uint8_t* __restrict is_reset = kResets ? row.is_reset : terminated;
  float* __restrict to = out + t * batch.columns;
  const float* after = last ? next : to + batch.columns;
  for (int64_t n = 0; n < batch.columns; ++n) {
    const float gamma = kDiscounts ? discount[n] : even;
    const float bootstrap = gamma * next[n], later = gamma * lambda * after[n];
    const uint8_t cut = static_cast<uint8_t>(terminated[n] | truncated[n] | last);
    const float delta = reward[n] + (terminated[n] != 0 ? 0.0f : bootstrap) - value[n];
    const float sum = delta + (cut != 0 ? 0.0f : later);
    to[n] = kResets && is_reset[n] != 0 ? 0.0f : sum;
  }
}

void Gae(const GaeBatch& batch, float* out) {
  for (int64_t t = batch.steps - 1; t >= 0; --t) {
    if (batch.is_reset == nullptr) {
      (batch.discount == nullptr ? GaeStep<false, false> : GaeStep<false, true>)(batch, t, out);
    } else {
      (batch.discount == nullptr ? GaeStep<true, false> : GaeStep<true, true>)(batch, t, out);
    }
  }
}

// The gradient flows forwards: what step t gets, it passes on to step t + 1 faded. d_reward holds
// it.
template <bool kResets, bool kDiscounts>
void GaeGradientStep(const GaeBatch& batch, int64_t t, const float* d_out, float* d_reward,
                     float* d_value) {
  const int64_t columns = batch.columns;
  const bool first = t == 0;
  const float even = batch.gamma, lambda = batch.lambda;
  const GaeRow row(batch, t), before(batch, first ? 0 : t - 1);
  const float* __restrict dy = d_out + t * columns;
  const float* __restrict gammas = kDiscounts ? row.discount : dy;
  const float* __restrict earlier = kDiscounts ? before.discount : dy;
  const uint8_t* __restrict terminated = row.terminated;
  const uint8_t* __restrict is_reset = kResets ? row.is_reset : terminated;
  const uint8_t* __restrict was_terminated = before.terminated;
  const uint8_t* __restrict was_truncated = before.truncated;
  const uint8_t* __restrict was_reset = kResets ? before.is_reset : terminated;
  float* __restrict g = d_reward + t * columns;
  const float* __restrict passes = first ? dy : g - columns;
  float* __restrict dv = d_value + t * columns;
  float* __restrict dv_next = dv + columns;
  for (int64_t n = 0; n < columns; ++n) {
    const float gamma = kDiscounts ? gammas[n] : even;
    const float passed = (kDiscounts ? earlier[n] : even) * lambda * passes[n];
    const uint8_t reset_before = kResets ? was_reset[n] : uint8_t{0};
    const uint8_t cut =
        static_cast<uint8_t>(was_terminated[n] | was_truncated[n] | reset_before | first);
    const float sum = dy[n] + (cut != 0 ? 0.0f : passed);
    const float all = kResets && is_reset[n] != 0 ? 0.0f : sum;
    g[n] = all;
    dv[n] -= all;
    dv_next[n] = terminated[n] != 0 ? 0.0f : all * gamma;
  }
}

void GaeGradient(const GaeBatch& batch, const float* d_out, float* d_reward, float* d_value) {
  std::fill_n(d_value, batch.columns, 0.0f);
  const auto step =
      batch.is_reset == nullptr
          ? batch.discount == nullptr ? GaeGradientStep<false, false> : GaeGradientStep<false, true>
      : batch.discount == nullptr ? GaeGradientStep<true, false>
                                  : GaeGradientStep<true, true>;
  for (int64_t t = 0; t < batch.steps; ++t) step(batch, t, d_out, d_reward, d_value);
}

void LambdaReturns(const LambdaBatch& batch, float* out) {
  const int64_t columns = batch.columns;
  const float lambda = batch.lambda;
  for (int64_t t = batch.steps - 1; t >= 0; --t) {
    const float* __restrict reward = batch.reward + t * columns;
    const float* __restrict next = batch.value + (t + 1) * columns;
    const float* __restrict discount = batch.discount + t * columns;
    const float* after = t + 1 == batch.steps ? next : out + (t + 1) * columns;
    float* __restrict to = out + t * columns;
    for (int64_t n = 0; n < columns; ++n) {
      const float follow = (1.0f - lambda) * next[n] + lambda * after[n];
      to[n] = reward[n] + discount[n] * follow;
    }
  }
}

void LambdaGradient(const LambdaBatch& batch, const float* out, const float* d_out, float* d_reward,
                    float* d_value, float* d_discount) {
  const int64_t columns = batch.columns;
  const float lambda = batch.lambda;
  std::fill_n(d_value, columns, 0.0f);
  for (int64_t t = 0; t < batch.steps; ++t) {
    const bool first = t == 0, last = t + 1 == batch.steps;
    const float* __restrict dy = d_out + t * columns;
    const float* __restrict next = batch.value + (t + 1) * columns;
    const float* __restrict discount = batch.discount + t * columns;
    const float* __restrict before = first ? discount : discount - columns;
    const float* __restrict after = last ? next : out + (t + 1) * columns;
    float* __restrict g = d_reward + t * columns;
    float* __restrict dv = d_value + (t + 1) * columns;
    float* __restrict dd = d_discount + t * columns;
    const float* __restrict passes = first ? dy : g - columns;
    const float own = last ? 1.0f : 1.0f - lambda;
    for (int64_t n = 0; n < columns; ++n) {
      const float passed = before[n] * lambda * passes[n];
      const float all = dy[n] + (first ? 0.0f : passed);
      g[n] = all;
      dv[n] = all * discount[n] * own;
      dd[n] = all * ((1.0f - lambda) * next[n] + lambda * after[n]);
    }
  }
}

}  // namespace
}  // namespace metabonk::nn
