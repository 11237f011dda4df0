// The peak of products of bytes (AVX512_VNNI); see peaks.h.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

#include "nn/peaks.h"

namespace metabonk::nn {
namespace {

// The instruction itself: compilers store sums made by the intrinsic to memory (qlinear_vnni.cc).
inline void Add(__m512i* sum, __m512i a, __m512i b) {
  __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
}

int64_t Products(int64_t products) {
  constexpr int kSums = 12;  // more than are ever under way
  constexpr int64_t kEach = int64_t{kSums} * 64;
  const int64_t rounds = (products + kEach - 1) / kEach;
  const __m512i zero = _mm512_setzero_si512();
  __m512i sums[kSums];
#pragma GCC unroll 12
  for (__m512i& sum : sums) sum = zero;
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) Add(&sums[i], zero, zero);
  }
  return rounds * kEach;
}

}  // namespace

const ProductLoop kBytePeakVnni = Products;

}  // namespace metabonk::nn
#endif
