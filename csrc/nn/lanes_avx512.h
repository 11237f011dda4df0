// V: 16 lanes of float32 in one register. For files compiled for this instruction set only, each
// of which gets a V of its own; lanes_portable.h says what the operations are.
#pragma once

// g++ 12 takes the undefined lanes that its own intrinsics start from for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <cstdint>

namespace metabonk::nn {
namespace {

struct V {
  static constexpr int kLanes = 16;
  __m512 v;

  static __mmask16 First(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static V Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static V LoadFirst(const float* p, int n) { return {_mm512_maskz_loadu_ps(First(n), p)}; }
  static void LoadHalves(const uint32_t* p, V* a, V* b) {
    const __m512i words = _mm512_loadu_si512(p);
    a->v = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
    b->v = _mm512_castsi512_ps(
        _mm512_and_si512(words, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u))));
  }
  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  void StoreFirst(float* p, int n) const { _mm512_mask_storeu_ps(p, First(n), v); }
  static V Broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static V Fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static V FmaNegated(V a, V b, V c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
  static V Min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }
  static V Max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
  static V Abs(V a) { return {_mm512_abs_ps(a.v)}; }
  static V Round(V a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT)}; }
  static V PowerOfTwo(V n) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
  }
  static V CopySign(V size, V sign) {
    const __m512 bit = _mm512_set1_ps(-0.0f);
    return {_mm512_or_ps(_mm512_andnot_ps(bit, size.v), _mm512_and_ps(bit, sign.v))};
  }
  friend V operator+(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend V operator-(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend V operator*(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend V operator/(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
};

}  // namespace
}  // namespace metabonk::nn
