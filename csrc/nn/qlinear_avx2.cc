// Quantised linear layers on 8 lanes; see qlinear.inl.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

#include "nn/dense.h"

namespace metabonk::nn {
namespace {

struct V;

struct I {
  __m256i v;

  static I Zero() { return {_mm256_setzero_si256()}; }
  static I Broadcast(int x) { return {_mm256_set1_epi32(x)}; }
  static I Load(const void* p) { return {_mm256_loadu_si256(static_cast<const __m256i*>(p))}; }
  void Store(int32_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  // Four 16-bit numbers, over and over.
  static I Broadcast4(const void* p) {
    return {_mm256_broadcastq_epi64(_mm_loadl_epi64(static_cast<const __m128i*>(p)))};
  }
  // Signed bytes as 16-bit numbers.
  static I Widen(const void* p) {
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
  }
  // sum + products of 16-bit numbers, two to a lane.
  static I AddPairs(I sum, I a, I b) {
    return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(a.v, b.v))};
  }
  static I Less(I a, I b) { return {_mm256_cmpgt_epi32(b.v, a.v)}; }  // all ones where it holds
  I ShiftLeft(int n) const { return {_mm256_slli_epi32(v, n)}; }
  I ShiftRight(int n) const { return {_mm256_srli_epi32(v, n)}; }
  I ShiftRightSigned(int n) const { return {_mm256_srai_epi32(v, n)}; }
  inline V AsFloat() const;
  inline V ToFloat() const;
  friend I operator&(I a, I b) { return {_mm256_and_si256(a.v, b.v)}; }
  friend I operator|(I a, I b) { return {_mm256_or_si256(a.v, b.v)}; }
  friend I operator+(I a, I b) { return {_mm256_add_epi32(a.v, b.v)}; }
};

struct V {
  static constexpr int kLanes = 8;
  __m256 v;

  static V Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void Store(float* p) const { _mm256_storeu_ps(p, v); }
  // e2m1's magnitudes.
  static V HalfSteps(I index) {
    const __m256 table = _mm256_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);
    return {_mm256_permutevar8x32_ps(table, index.v)};
  }
  I AsInt() const { return {_mm256_castps_si256(v)}; }
  friend V operator-(V a, V b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend V operator*(V a, V b) { return {_mm256_mul_ps(a.v, b.v)}; }
};

V I::AsFloat() const { return {_mm256_castsi256_ps(v)}; }
V I::ToFloat() const { return {_mm256_cvtepi32_ps(v)}; }

constexpr int kInt8Rows = 2;  // 8 sums, 2 of x and a weight

void MultiplyInto(const Product& product) { kDenseAvx2.multiply(product); }

}  // namespace
}  // namespace metabonk::nn

#include "nn/qlinear.inl"

namespace metabonk::nn {
const QLinearKernels kQInt8Avx2 = {"avx2", 2, TakeInt8, MultiplyInt8, NoScratch};
const QLinearKernels kQFloatAvx2 = {"avx2", 4, TakeFloat, MultiplyFloats, FloatScratch};
}  // namespace metabonk::nn
#endif
