// Nearest codes on 16 lanes; see vq.inl.
#if defined(__x86_64__)
#include <cstdint>

#include "nn/lanes_avx512.h"

namespace metabonk::nn {
namespace {

struct I {
  __m512i v;

  // first, first + 1, ...
  static I From(int32_t first) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm512_add_epi32(_mm512_set1_epi32(first), lane)};
  }
};

// Takes a score that is higher, and with it the code; NaN never is.
inline void Keep(V score, I code, V* best, I* at) {
  const __mmask16 higher = _mm512_cmp_ps_mask(score.v, best->v, _CMP_GT_OQ);
  best->v = _mm512_mask_mov_ps(best->v, higher, score.v);
  at->v = _mm512_mask_mov_epi32(at->v, higher, code.v);
}

// The highest of the lanes and the lowest code that has it.
inline void Lowest(V best, I at, float* score, int32_t* code) {
  *score = _mm512_reduce_max_ps(best.v);
  const __mmask16 has = _mm512_cmp_ps_mask(best.v, _mm512_set1_ps(*score), _CMP_EQ_OQ);
  *code = _mm512_mask_reduce_min_epi32(has, at.v);
}

constexpr int kTileRows = 6;
constexpr int kTileVectors = 4;  // 24 sums, 4 of codes and one of x: 29 of 32 registers

}  // namespace
}  // namespace metabonk::nn

#include "nn/vq.inl"

namespace metabonk::nn {
const VqKernels kVqAvx512 = {"avx512", kTileRows, Search};
}  // namespace metabonk::nn
#endif
