// Linear layers over bf16, fp8, int4, nvfp4 and mxfp8 weights on products of bf16 (AVX512_BF16):
// two products per lane and instruction, summed in float32. Every element of these formats is a
// bf16 number, so that codes become pairs of bf16 without error, by tables; the scales of blocks
// multiply the blocks' sums.
#if defined(__x86_64__)
#include <cstdint>
#include <cstring>

#include "nn/qlinear_codes.h"

namespace metabonk::nn {
namespace {

constexpr int kRowsMax = 6;       // 24 sums, 4 weights and one of x
constexpr int kBlockRowsMax = 3;  // 12 sums of blocks and 12 of all; or decoding beside 12

// Where a tile's blocks lie: as packed, or made ready in scratch memory but for the scales.
struct Source {
  const uint8_t* codes;
  int64_t codes_step;  // from block to block
  const uint8_t* scales;
  int64_t scales_step;
};

inline __m512 Dot(__m512 sum, const uint8_t* x, __m512i weight) {
  int pair;
  std::memcpy(&pair, x, 4);
  return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)weight);
}

// The same, with the pair read where it is used: g++ 12 keeps those of all rows in registers
// otherwise, and the sums in memory.
using Word = uint32_t __attribute__((may_alias));
inline void DotFromMemory(__m512* sum, const uint8_t* x, __m512i weight) {
  __asm__("vdpbf16ps %2%{1to16%}, %1, %0"
          : "+v"(*sum)
          : "v"(weight), "m"(*reinterpret_cast<const Word*>(x)));
}

// One unit of all panels into the sums of kRows rows.
template <typename Codes, int kRows, int kPanels>
inline void AddUnit(const Codes& codes, const uint8_t* at, const uint8_t* x, int64_t x_stride,
                    __m512 (&sum)[kRows][kPanels]) {
  if constexpr (Codes::kBytes == kPairBytes) {
    // Nothing to decode: as few loads for as many products as there can be.
#pragma GCC unroll 4
    for (int pair = 0; pair < 4; ++pair) {
      __m512i weight[kPanels];
#pragma GCC unroll 4
      for (int j = 0; j < kPanels; ++j) {
        weight[j] = _mm512_loadu_si512(at + j * kPairBytes + pair * 64);
      }
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kPanels; ++j) {
          sum[i][j] = Dot(sum[i][j], x + i * x_stride + pair * 4, weight[j]);
        }
      }
    }
  } else {
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) {
      const Pairs pairs = codes.Load(at + j * Codes::kBytes);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        const uint8_t* from = x + i * x_stride;
        DotFromMemory(&sum[i][j], from, pairs.a);
        DotFromMemory(&sum[i][j], from + 4, pairs.b);
        DotFromMemory(&sum[i][j], from + 8, pairs.c);
        DotFromMemory(&sum[i][j], from + 12, pairs.d);
      }
    }
  }
}

template <typename Codes, typename Scales, int kRows, int kPanels>
void Rows(const QTile& t, const Source& source, int row) {
  const Codes codes;
  const uint8_t* x = t.x + row * t.x_stride;
  const int units = t.layout->units;
  __m512 total[kRows][kPanels], sum[kRows][kPanels];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) total[i][j] = sum[i][j] = _mm512_setzero_ps();
  }
  for (int b = 0; b < t.layout->blocks; ++b) {
    const uint8_t* at = source.codes + b * source.codes_step;
    for (int u = 0; u < units; ++u, x += kUnit * 2, at += kPanels * Codes::kBytes) {
      AddUnit(codes, at, x, t.x_stride, sum);
    }
    if constexpr (Scales::kBytes != 0) {
      const uint8_t* scales = source.scales + b * source.scales_step;
#pragma GCC unroll 4
      for (int j = 0; j < kPanels; ++j) {
        const __m512 scale = Scales::Load(scales + j * Scales::kBytes);
#pragma GCC unroll 6
        for (int i = 0; i < kRows; ++i) {
          total[i][j] = _mm512_fmadd_ps(sum[i][j], scale, total[i][j]);
          sum[i][j] = _mm512_setzero_ps();
        }
      }
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) {
      Finish(t, row + i, j, Scales::kBytes != 0 ? total[i][j] : sum[i][j]);
    }
  }
}

// All rows, as many at a time as registers allow.
template <typename Codes, typename Scales, int kPanels>
void AllRows(const QTile& t, const Source& source) {
  constexpr bool kPlain = Scales::kBytes == 0 && Codes::kBytes == kPairBytes;
  constexpr int kMost = kPlain ? kRowsMax : kBlockRowsMax;
  int row = 0;
  for (; row + kMost <= t.rows; row += kMost) Rows<Codes, Scales, kMost, kPanels>(t, source, row);
  const int left = t.rows - row;
  if constexpr (kMost > 3) {
    if (left == 5) return Rows<Codes, Scales, 5, kPanels>(t, source, row);
    if (left == 4) return Rows<Codes, Scales, 4, kPanels>(t, source, row);
    if (left == 3) return Rows<Codes, Scales, 3, kPanels>(t, source, row);
  }
  if (left == 2) Rows<Codes, Scales, 2, kPanels>(t, source, row);
  if (left == 1) Rows<Codes, Scales, 1, kPanels>(t, source, row);
}

// Makes bf16 of a whole tile's codes.
template <typename Codes>
void Expand(const QTile& t, const Source& source, uint8_t* to) {
  const Codes codes;
  for (int b = 0; b < t.layout->blocks; ++b) {
    const uint8_t* at = source.codes + b * source.codes_step;
    for (int u = 0; u < t.layout->units * t.panels; ++u, at += Codes::kBytes, to += kPairBytes) {
      const Pairs pairs = codes.Load(at);
      _mm512_storeu_si512(to, pairs.a);
      _mm512_storeu_si512(to + 64, pairs.b);
      _mm512_storeu_si512(to + 128, pairs.c);
      _mm512_storeu_si512(to + 192, pairs.d);
    }
  }
}

template <typename Codes, typename Scales>
void MultiplyFormat(const QTile& t) {
  const int64_t scale_bytes = int64_t{t.panels} * Scales::kBytes;
  const int64_t code_bytes = int64_t{t.panels} * t.layout->units * Codes::kBytes;
  const uint8_t* blocks = t.tile + t.layout->header_bytes(t.panels);
  Source source{blocks + scale_bytes, scale_bytes + code_bytes, blocks, scale_bytes + code_bytes};
  if (Codes::kBytes == kPairBytes || t.rows <= kBlockRowsMax) {
    return t.panels == kTilePanels ? AllRows<Codes, Scales, kTilePanels>(t, source)
                                   : AllRows<Codes, Scales, 1>(t, source);
  }
  Expand<Codes>(t, source, t.scratch);
  source.codes = t.scratch;
  source.codes_step = int64_t{t.panels} * t.layout->units * kPairBytes;
  return t.panels == kTilePanels ? AllRows<Bf16Codes, Scales, kTilePanels>(t, source)
                                 : AllRows<Bf16Codes, Scales, 1>(t, source);
}

void Multiply(const QTile& t) {
  switch (t.layout->format) {
    case WeightFormat::kInt4:
      return MultiplyFormat<Int4Codes, Bf16Scales>(t);
    case WeightFormat::kBf16:
      return MultiplyFormat<Bf16Codes, NoScales>(t);
    case WeightFormat::kFp8:
      return MultiplyFormat<E4m3Codes, NoScales>(t);
    case WeightFormat::kNvfp4:
      return MultiplyFormat<E2m1Codes, E4m3Scales>(t);
    case WeightFormat::kMxfp8:
      return MultiplyFormat<E4m3Codes, E8m0Scales>(t);
    default:
      return;  // int8 has kernels of its own
  }
}

int64_t Scratch(const PanelLayout& layout) {
  if (layout.format == WeightFormat::kBf16) return 0;
  return int64_t{layout.padded_inputs} * kTilePanels * kPanelOutputs * 2;
}

}  // namespace

const QLinearKernels kQFloatBf16 = {"bf16", 2, TakeRow, Multiply, Scratch};

}  // namespace metabonk::nn
#endif
