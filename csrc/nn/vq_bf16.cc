// Nearest codes by screening in bf16 (AVX512_BF16): twice the products per instruction, and then
// few exact ones. See vq.h.
#if defined(__x86_64__)
#include <cstdint>
#include <limits>

#include "nn/vq_screen.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 4;  // 24 sums, 4 of codes and one of x
// Named sums: g++ 12 keeps an array of them in memory.
inline void Multiply(__m512* sum, __m512i a, __m512i b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
}

// The scores of kRows rows, each [codes], and the highest of each.
template <int kRows>
void Score(const VqPanels& panels, const VqCoarse& coarse, const uint32_t* x, float* scores,
           float* best) {
  const int pairs = coarse.pairs;
  const int64_t codes = panels.panels * kVqPanelCodes, panel = int64_t{pairs} * kVqPanelCodes * 2;
  __m512 top[kRows];
  for (int i = 0; i < kRows; ++i) {
    top[i] = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  }
  for (int64_t p = 0; p < panels.panels; p += kTileVectors) {
    const uint16_t* b = coarse.codes + p * panel;
    __m512 sum[kRows][kTileVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kTileVectors; ++j) {
      const __m512 offset = _mm512_loadu_ps(panels.offset + (p + j) * kVqPanelCodes);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) sum[i][j] = offset;
    }
    for (int d = 0; d < pairs; ++d) {
      __m512i right[kTileVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kTileVectors; ++j) {
        right[j] = _mm512_loadu_si512(b + j * panel + d * 2 * kVqPanelCodes);
      }
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        const __m512i left = _mm512_set1_epi32(static_cast<int>(x[i * pairs + d]));
#pragma GCC unroll 4
        for (int j = 0; j < kTileVectors; ++j) Multiply(&sum[i][j], left, right[j]);
      }
    }
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kTileVectors; ++j) {
        _mm512_storeu_ps(scores + i * codes + (p + j) * kVqPanelCodes, sum[i][j]);
        top[i] = _mm512_max_ps(top[i], sum[i][j]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) best[i] = _mm512_reduce_max_ps(top[i]);
}

constexpr int kRows = 6;

template <int kLeft>
void ScreenLast(const VqPanels& panels, const VqCoarse& coarse, const float* x, int64_t rows,
                VqScratch* scratch, float* score, int32_t* index) {
  if constexpr (kLeft > 0) {
    if (rows == kLeft) {
      ScreenRows<kLeft>(panels, coarse, x, scratch, score, index, Score<kLeft>);
    } else {
      ScreenLast<kLeft - 1>(panels, coarse, x, rows, scratch, score, index);
    }
  }
}

void Screen(const VqPanels& panels, const VqCoarse& coarse, const float* x, int64_t rows,
            VqScratch* scratch, float* score, int32_t* index) {
  const int64_t i =
      ScreenWhole<kRows>(panels, coarse, x, rows, scratch, score, index, Score<kRows>);
  ScreenLast<kRows - 1>(panels, coarse, x + i * panels.width, rows - i, scratch, score + i,
                        index + i);
}

}  // namespace

const VqScreen kVqScreenBf16 = {"bf16", kRows, Screen};

}  // namespace metabonk::nn
#endif
