// Quantised linear layers on 16 lanes without VNNI or BF16; see qlinear.inl.
#if defined(__x86_64__)
// g++ 12 takes the undefined lanes that its own intrinsics start from for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <cstdint>

#include "nn/dense.h"

namespace metabonk::nn {
namespace {

struct V;

struct I {
  __m512i v;

  static I Zero() { return {_mm512_setzero_si512()}; }
  static I Broadcast(int x) { return {_mm512_set1_epi32(x)}; }
  static I Load(const void* p) { return {_mm512_loadu_si512(p)}; }
  void Store(int32_t* p) const { _mm512_storeu_si512(p, v); }
  // Four 16-bit numbers, over and over.
  static I Broadcast4(const void* p) {
    return {_mm512_broadcastq_epi64(_mm_loadl_epi64(static_cast<const __m128i*>(p)))};
  }
  // Signed bytes as 16-bit numbers.
  static I Widen(const void* p) {
    return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  // sum + products of 16-bit numbers, two to a lane.
  static I AddPairs(I sum, I a, I b) {
    return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(a.v, b.v))};
  }
  // All ones where it holds.
  static I Less(I a, I b) { return {_mm512_movm_epi32(_mm512_cmplt_epi32_mask(a.v, b.v))}; }
  I ShiftLeft(int n) const { return {_mm512_sll_epi32(v, _mm_cvtsi32_si128(n))}; }
  I ShiftRight(int n) const { return {_mm512_srl_epi32(v, _mm_cvtsi32_si128(n))}; }
  I ShiftRightSigned(int n) const { return {_mm512_sra_epi32(v, _mm_cvtsi32_si128(n))}; }
  inline V AsFloat() const;
  inline V ToFloat() const;
  friend I operator&(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
  friend I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
  friend I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
};

struct V {
  static constexpr int kLanes = 16;
  __m512 v;

  static V Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  // e2m1's magnitudes.
  static V HalfSteps(I index) {
    const __m512 table = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, 0.0f, 0.5f,
                                        1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);
    return {_mm512_permutexvar_ps(index.v, table)};
  }
  I AsInt() const { return {_mm512_castps_si512(v)}; }
  friend V operator-(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend V operator*(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
};

V I::AsFloat() const { return {_mm512_castsi512_ps(v)}; }
V I::ToFloat() const { return {_mm512_cvtepi32_ps(v)}; }

constexpr int kInt8Rows = 4;  // 8 sums, 4 of x and a weight

void MultiplyInto(const Product& product) { kDenseAvx512.multiply(product); }

}  // namespace
}  // namespace metabonk::nn

#include "nn/qlinear.inl"

namespace metabonk::nn {
const QLinearKernels kQInt8Avx512 = {"avx512", 2, TakeInt8, MultiplyInt8, NoScratch};
const QLinearKernels kQFloatAvx512 = {"avx512", 4, TakeFloat, MultiplyFloats, FloatScratch};
}  // namespace metabonk::nn
#endif
