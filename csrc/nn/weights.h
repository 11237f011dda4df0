// A matrix of weights [outputs, inputs] in one of six formats: numbers to codes and scales, and
// back. Knows the arrays as they are stored in files; not how kernels want them (panels.h).
//
//   format   codes, one row per output          scales                      weight
//   int8     int8 [inputs]                      float32 [outputs]           code s
//   int4     two per byte, the even one low     bf16 per 32 inputs          code s, code -7..7
//   bf16     bf16 [inputs]                      none                        code
//   fp8      e4m3 [inputs]                      float32 [outputs]           code s
//   nvfp4    e2m1, two per byte, even one low   e4m3 per 16 inputs, one     code (s t)
//                                               float32 t for the matrix
//   mxfp8    e4m3 [inputs]                      e8m0 per 32 inputs          code s
//
// Scales follow from the largest |weight| of what they cover: it becomes 127, 7, 448 or 6, and in
// mxfp8 at most 448 by the next power of two above (Mishra et al. 2025, "Recipes for pre-training
// LLMs with MXFP8": rounding down, as OCP's example does, would clip). nvfp4: t = largest / (6
// 448), so that the block scales fill e4m3. What a scale of zero covers is zero.
#pragma once

#include <cstdint>

#include "metabonk/status.h"

namespace metabonk::nn {

enum class WeightFormat : int { kInt8, kInt4, kBf16, kFp8, kNvfp4, kMxfp8, kCount };

struct WeightShape {
  WeightFormat format;
  int outputs, inputs;
};

constexpr int kInputsMax = 1 << 16;  // sums of int8 products stay within 32 bits
constexpr int kOutputsMax = 1 << 24;

// Inputs that share a scale; 0 where there is one per output or none.
constexpr int BlockInputs(WeightFormat format) {
  switch (format) {
    case WeightFormat::kInt4:
    case WeightFormat::kMxfp8:
      return 32;
    case WeightFormat::kNvfp4:
      return 16;
    default:
      return 0;
  }
}

// Bytes of one output's codes and of its scales.
int64_t CodeBytes(WeightFormat format, int inputs);
int64_t ScaleBytes(WeightFormat format, int inputs);

// Where a matrix lies. tensor_scale: of nvfp4, null for others. Any alignment will do for codes;
// scales are aligned to their type.
struct WeightArrays {
  uint8_t* codes;
  uint8_t* scales;
  float* tensor_scale;
};

// Sizes within bounds.
Status CheckWeights(const WeightShape& shape);
// weight [outputs, inputs] -> codes and scales; refuses NaN and infinity before it writes anything.
Status QuantizeWeights(const WeightShape& shape, const float* weight, const WeightArrays& to);
// Codes and scales -> [outputs, inputs].
void DequantizeWeights(const WeightShape& shape, const WeightArrays& from, float* weight);
// No NaN among the codes and scales: what kernels rely on.
Status CheckCodes(const WeightShape& shape, const WeightArrays& weights);

}  // namespace metabonk::nn
