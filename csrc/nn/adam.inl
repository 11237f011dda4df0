// The loops of adam.h, compiled once per instruction set by the files that include this: plain
// enough for the compiler to vectorise.
#include <cmath>
#include <cstdint>

#include "nn/adam.h"

namespace metabonk::nn {
namespace {

constexpr int kSums = 16;  // side by side, so that none waits for the one before

double Squares(const float* values, int64_t count) {
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int j = 0; j < kSums; ++j) {
      const double value = static_cast<double>(values[i + j]);
      sums[j] += value * value;
    }
  }
  for (int j = 0; i < count; ++i, ++j) {
    sums[j] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

void Scale(float* values, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) values[i] *= factor;
}

void Step(const AdamTerms& terms, const float* __restrict g, float* __restrict m,
          float* __restrict v, float* __restrict w, int64_t count) {
  const AdamTerms t = terms;  // no store can change these
  const float new1 = 1.0f - t.beta1, new2 = 1.0f - t.beta2;
  for (int64_t i = 0; i < count; ++i) {
    const float mean = t.beta1 * m[i] + new1 * g[i];
    const float square = t.beta2 * v[i] + new2 * g[i] * g[i];
    m[i] = mean;
    v[i] = square;
    w[i] -= t.rate * mean / (std::sqrt(square) * t.scale + t.epsilon);
  }
}

}  // namespace
}  // namespace metabonk::nn
