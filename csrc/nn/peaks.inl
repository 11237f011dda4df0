// The loops of peaks.h, compiled once per instruction set by files that define V before.
#include <cstdint>

#include "nn/peaks.h"

namespace metabonk::nn {
namespace {

constexpr int kSums =
    12;  // more than any processor has multiply-adds under way, fewer than registers

inline float Collapse(const V (&sums)[kSums]) {
  V all = sums[0];
#pragma GCC unroll 12
  for (int i = 1; i < kSums; ++i) all = all + sums[i];
  float lanes[V::kLanes];
  all.Store(lanes);
  float total = 0.0f;
  for (const float lane : lanes) total += lane;
  return total;
}

int64_t MultiplyAdd(int64_t macs) {
  constexpr int64_t kEach = int64_t{kSums} * V::kLanes;
  const int64_t rounds = (macs + kEach - 1) / kEach;
  V sums[kSums];
  V factor = V::Broadcast(0.999f), more = V::Broadcast(0.001f);
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = V::Broadcast(static_cast<float>(i));
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = V::Fma(sums[i], factor, more);
  }
  volatile float used = Collapse(sums);
  (void)used;
  return rounds * kEach;
}

float Read(const float* values, int64_t count) {
  constexpr int64_t kEach = int64_t{kSums} * V::kLanes;
  V sums[kSums];
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) sums[j] = V::Broadcast(0.0f);
  int64_t i = 0;
  for (; i + kEach <= count; i += kEach) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) sums[j] = sums[j] + V::Load(values + i + j * V::kLanes);
  }
  float rest = 0.0f;
  for (; i < count; ++i) rest += values[i];
  return Collapse(sums) + rest;
}

}  // namespace
}  // namespace metabonk::nn
