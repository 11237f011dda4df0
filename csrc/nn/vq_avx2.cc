// Nearest codes on 8 lanes; see vq.inl.
#if defined(__x86_64__)
#include <cstdint>

#include "nn/lanes_avx2.h"

namespace metabonk::nn {
namespace {

struct I {
  __m256i v;

  // first, first + 1, ...
  static I From(int32_t first) {
    return {_mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))};
  }
};

// Takes a score that is higher, and with it the code; NaN never is.
inline void Keep(V score, I code, V* best, I* at) {
  const __m256 higher = _mm256_cmp_ps(score.v, best->v, _CMP_GT_OQ);
  best->v = _mm256_blendv_ps(best->v, score.v, higher);
  at->v = _mm256_blendv_epi8(at->v, code.v, _mm256_castps_si256(higher));
}

// The highest of the lanes and the lowest code that has it.
inline void Lowest(V best, I at, float* score, int32_t* code) {
  alignas(32) float scores[V::kLanes];
  alignas(32) int32_t codes[V::kLanes];
  _mm256_store_ps(scores, best.v);
  _mm256_store_si256(reinterpret_cast<__m256i*>(codes), at.v);
  *score = scores[0];
  *code = codes[0];
  for (int i = 1; i < V::kLanes; ++i) {
    if (scores[i] > *score || (scores[i] == *score && codes[i] < *code)) {
      *score = scores[i];
      *code = codes[i];
    }
  }
}

constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;  // 12 sums, 2 of codes and one of x: 15 of 16 registers

}  // namespace
}  // namespace metabonk::nn

#include "nn/vq.inl"

namespace metabonk::nn {
const VqKernels kVqAvx2 = {"avx2", kTileRows, Search};
}  // namespace metabonk::nn
#endif
