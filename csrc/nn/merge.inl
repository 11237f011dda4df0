// The loops of merge.h, compiled once per instruction set by the files that include this: plain
// enough for the compiler to vectorise. Blocks stay in the first-level cache between models.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "nn/merge.h"

namespace metabonk::nn {
namespace {

constexpr int64_t kBlock = 512;

// Sums grow where they will stay: a block of them is in the first-level cache.
void Weighted(std::span<const MergeModel> models, int64_t size, float* out) {
  for (int64_t first = 0; first < size; first += kBlock) {
    const int64_t count = std::min(kBlock, size - first);
    float* __restrict sum = out + first;
    std::fill_n(sum, count, 0.0f);
    for (const MergeModel& model : models) {
      const float* __restrict x = model.values + first;
      const float weight = model.weight;
      for (int64_t i = 0; i < count; ++i) sum[i] += weight * x[i];
    }
  }
}

inline float Trimmed(float x, float base, float threshold) {
  const float t = x - base;
  return std::fabs(t) >= threshold ? t : 0.0f;
}

void Ties(const float* base, std::span<const MergeModel> models, float scale, int64_t size,
          float* out) {
  for (int64_t first = 0; first < size; first += kBlock) {
    const int64_t count = std::min(kBlock, size - first);
    const float* from = base + first;
    float elected[kBlock] = {}, sum[kBlock] = {}, mass[kBlock] = {};
    for (const MergeModel& model : models) {
      const float* x = model.values + first;
      const float weight = model.weight, threshold = model.threshold;
      for (int64_t i = 0; i < count; ++i) {
        elected[i] += weight * Trimmed(x[i], from[i], threshold);
      }
    }
    for (const MergeModel& model : models) {
      const float* x = model.values + first;
      const float weight = model.weight, threshold = model.threshold;
      for (int64_t i = 0; i < count; ++i) {
        const float t = Trimmed(x[i], from[i], threshold);
        const float sign = elected[i] > 0.0f ? t : elected[i] < 0.0f ? -t : 0.0f;
        const float agrees = sign > 0.0f ? weight : 0.0f;
        sum[i] += agrees * t;
        mass[i] += agrees;
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      const float mean = sum[i] / (mass[i] > 0.0f ? mass[i] : 1.0f);
      out[first + i] = from[i] + scale * mean;
    }
  }
}

}  // namespace
}  // namespace metabonk::nn
