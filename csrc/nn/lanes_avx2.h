// V: 8 lanes of float32 in one register. For files compiled for this instruction set only, each
// of which gets a V of its own; lanes_portable.h says what the operations are.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace metabonk::nn {
namespace {

struct V {
  static constexpr int kLanes = 8;
  __m256 v;

  static __m256i First(int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
  }
  static V Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static V LoadFirst(const float* p, int n) { return {_mm256_maskload_ps(p, First(n))}; }
  static void LoadHalves(const uint32_t* p, V* a, V* b) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    a->v = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    b->v = _mm256_castsi256_ps(_mm256_blend_epi16(_mm256_setzero_si256(), words, 0xaa));
  }
  void Store(float* p) const { _mm256_storeu_ps(p, v); }
  void StoreFirst(float* p, int n) const { _mm256_maskstore_ps(p, First(n), v); }
  static V Broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static V Fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static V FmaNegated(V a, V b, V c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
  static V Min(V a, V b) { return {_mm256_min_ps(a.v, b.v)}; }
  static V Max(V a, V b) { return {_mm256_max_ps(a.v, b.v)}; }
  static V Abs(V a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
  static V Round(V a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static V PowerOfTwo(V n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(biased, 23))};
  }
  static V CopySign(V size, V sign) {
    const __m256 bit = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_andnot_ps(bit, size.v), _mm256_and_ps(bit, sign.v))};
  }
  friend V operator+(V a, V b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend V operator-(V a, V b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend V operator*(V a, V b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend V operator/(V a, V b) { return {_mm256_div_ps(a.v, b.v)}; }
};

}  // namespace
}  // namespace metabonk::nn
