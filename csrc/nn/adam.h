// Adam (Kingma and Ba 2015) over one flat vector, and gradients clipped to a length. Knows pointers
// and sizes; no networks, no losses, no Torch.
//
//   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
//   w = w - rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// All are float32 [count]. One thread: for the networks that play games, waking another one costs
// more than it saves, and it stays awake.
#pragma once

#include <cstdint>

namespace metabonk::nn {

// What a step multiplies with, worked out in float64.
struct AdamTerms {
  float beta1, beta2;
  float rate;   // rate / (1 - beta1^t)
  float scale;  // 1 / sqrt(1 - beta2^t)
  float epsilon;
};

AdamTerms TermsOf(double rate, double beta1, double beta2, double epsilon, int64_t step);

struct AdamKernels {
  const char* name;
  // The sum of squares, in float64.
  double (*squares)(const float* values, int64_t count);
  void (*scale)(float* values, int64_t count, float factor);
  void (*step)(const AdamTerms& terms, const float* g, float* m, float* v, float* w, int64_t count);
};

extern const AdamKernels kAdamPortable;
extern const AdamKernels kAdamAvx2;
extern const AdamKernels kAdamAvx512;

const AdamKernels& ActiveAdamKernels();

// Scales values to length `longest` if they are longer; returns their length before.
double Clip(float* values, int64_t count, double longest);

}  // namespace metabonk::nn
