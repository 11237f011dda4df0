// How sums of products of bytes become outputs of an int8 layer. For files compiled for AVX-512
// only.
#pragma once

// g++ 12 takes the undefined lanes that its own intrinsics start from for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "nn/qlinear.h"

namespace metabonk::nn {
namespace {

constexpr int kLanes = 16;

inline __mmask16 First(int count) { return static_cast<__mmask16>((1u << count) - 1u); }

// Masks of what is left of `count` at i, 16 at most.
inline __mmask16 Left(int i, int count) { return First(std::min(kLanes, count - i)); }

// y = sum (x_scale scale) + bias, not fused: the same bits as on every other instruction set.
inline void Finish(const QTile& t, int row, int panel, __m512i sum) {
  const int first = panel * kPanelOutputs;
  const __mmask16 there = Left(first, t.outputs);
  const __m512 scale =
      _mm512_mul_ps(_mm512_set1_ps(t.x_scale[row]),
                    _mm512_loadu_ps(reinterpret_cast<const float*>(t.tile) + first));
  __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
  if (t.bias != nullptr) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(there, t.bias + first));
  _mm512_mask_storeu_ps(t.y + row * t.y_stride + first, there, y);
}

}  // namespace
}  // namespace metabonk::nn
