// Screening for nearest codes: rows as pairs of bf16, which codes are left by a bound, and which of
// those it is. For files compiled for AVX512_BF16, which score in ways of their own.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "nn/lanes_avx512.h"
#include "nn/vq.h"

namespace metabonk::nn {
namespace {

constexpr int kMostCandidates = 16;      // more, and a row is searched
constexpr int kSearchedRows = 90;        // at once, where screening was in vain
constexpr float kEps = 5.9604645e-08f;   // 2^-24
constexpr float kTiny = 1.1754944e-38f;  // below it the instruction takes numbers for 0

// How long a row is, and how long what rounding took from it. Both a little more than they are, NaN
// or infinite where the row is.
struct Length {
  float norm, residual;
};

// One row as `count` pairs of bf16, zeros behind the last.
inline Length TakeRow(const float* x, int width, uint32_t* pairs, int count) {
  const int own = (width + 1) / 2;
  for (int i = own; i < count; ++i) pairs[i] = 0;
  __m512 norm = _mm512_setzero_ps(), residual = norm;
  for (int d = 0; d < width; d += 16) {
    const int some = std::min(16, width - d);
    const __mmask16 there = V::First(some);
    const __m512 values = _mm512_maskz_loadu_ps(there, x + d);
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i near =
        _mm512_and_si512(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))),
                         _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
    const __m512 off = _mm512_sub_ps(values, _mm512_castsi512_ps(near));
    norm = _mm512_fmadd_ps(values, values, norm);
    residual = _mm512_fmadd_ps(off, off, residual);
    const __mmask16 stored = V::First((some + 1) / 2 * 2);
    _mm512_mask_cvtepi32_storeu_epi16(reinterpret_cast<uint16_t*>(pairs) + d, stored,
                                      _mm512_srli_epi32(near, 16));
  }
  const float more = 1.0f + static_cast<float>(width + 32) * kEps;
  return {std::sqrt(_mm512_reduce_add_ps(norm)) * more,
          std::sqrt(_mm512_reduce_add_ps(residual)) * more};
}

// How far a score in bf16 and the one in float32 may be apart, for any code: what rounding took
// from x and from c, by Cauchy and Schwarz; the roundings of both sums, whose parts are no larger
// than offset + |x| |c|; and numbers that were taken for 0.
inline float Bound(const Length& x, const VqCoarse& coarse, int width) {
  const float more = 1.0f + 16.0f * kEps, terms = static_cast<float>(width + 2);
  const float norm = (coarse.norm + kTiny) * more, residual = coarse.residual * more;
  const float rounded = x.residual * norm + (x.norm + x.residual) * residual;
  const float sums = 2.1f * terms * kEps * (coarse.offset + 1.02f * x.norm * norm);
  return (rounded + sums + 4.0f * terms * kTiny * (1.0f + x.norm + norm)) * more;
}

// The score in float32, by the same operations as in the search.
inline float Exact(const VqPanels& panels, const float* x, int32_t code) {
  const int64_t panel = code / kVqPanelCodes, lane = code % kVqPanelCodes;
  const float* from = panels.codes + panel * panels.width * kVqPanelCodes + lane;
  float sum = panels.offset[code];
  for (int d = 0; d < panels.width; ++d) sum = std::fma(x[d], from[d * kVqPanelCodes], sum);
  return sum;
}

// Codes that score `least` or more in bf16, in ascending order; how many, or kMostCandidates + 1.
inline int Candidates(const float* scores, int64_t codes, float least, int32_t* found) {
  const __m512 edge = _mm512_set1_ps(least);
  int count = 0;
  for (int64_t k = 0; k < codes; k += kVqPanelCodes) {
    const __mmask16 mask = _mm512_cmp_ps_mask(_mm512_loadu_ps(scores + k), edge, _CMP_GE_OQ);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
      if (count == kMostCandidates) return kMostCandidates + 1;
      found[count++] = static_cast<int32_t>(k) + __builtin_ctz(left);
    }
  }
  return count;
}

// Whether screening was enough for this row; it is searched where not.
inline bool Decide(const VqPanels& panels, const VqCoarse& coarse, const float* x,
                   const Length& length, const float* scores, float best, float* score,
                   int32_t* index) {
  const float bound = Bound(length, coarse, panels.width);
  int32_t found[kMostCandidates];
  int count = 0;
  // Far from where bf16 or the bound could have overflowed.
  if (std::fabs(best) < 1e37f && bound < 1e37f) {
    count = Candidates(scores, panels.panels * kVqPanelCodes, best - 2.0f * bound, found);
  }
  if (count == 0 || count > kMostCandidates) {
    kVqAvx512.search(panels, x, 1, score, index);
    return false;
  }
  *score = best;
  *index = found[0];
  if (count == 1) return true;
  *score = Exact(panels, x, found[0]);
  for (int i = 1; i < count; ++i) {
    const float other = Exact(panels, x, found[i]);
    if (other > *score) {
      *score = other;
      *index = found[i];
    }
  }
  return true;
}

// Takes kRows rows, has `score` write how all codes score, [kRows, codes] in scratch->scores, and
// the highest of each row, and decides; of how many rows that was enough.
template <int kRows, typename Score>
int ScreenRows(const VqPanels& panels, const VqCoarse& coarse, const float* x, VqScratch* scratch,
               float* score, int32_t* index, const Score& score_rows) {
  Length length[kRows];
  float best[kRows];
  for (int i = 0; i < kRows; ++i) {
    length[i] = TakeRow(x + int64_t{i} * panels.width, panels.width,
                        scratch->pairs.data() + i * coarse.pairs, coarse.pairs);
  }
  score_rows(panels, coarse, scratch->pairs.data(), scratch->scores.data(), best);
  int enough = 0;
  for (int i = 0; i < kRows; ++i) {
    enough += Decide(panels, coarse, x + int64_t{i} * panels.width, length[i],
                     scratch->scores.data() + i * panels.panels * kVqPanelCodes, best[i], score + i,
                     index + i);
  }
  return enough;
}

// Screens rows from the first on, kRows at a time, and searches the next ones at once where that
// was in vain; how many it did, all but less than kRows.
template <int kRows, typename Score>
int64_t ScreenWhole(const VqPanels& panels, const VqCoarse& coarse, const float* x, int64_t rows,
                    VqScratch* scratch, float* score, int32_t* index, const Score& score_rows) {
  int64_t i = 0;
  while (i + kRows <= rows) {
    const int enough = ScreenRows<kRows>(panels, coarse, x + i * panels.width, scratch, score + i,
                                         index + i, score_rows);
    i += kRows;
    if (2 * enough < kRows) {
      const int64_t plain = std::min<int64_t>(kSearchedRows, rows - i);
      kVqAvx512.search(panels, x + i * panels.width, plain, score + i, index + i);
      i += plain;
    }
  }
  return i;
}

}  // namespace
}  // namespace metabonk::nn
