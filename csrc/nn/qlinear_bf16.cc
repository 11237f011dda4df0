// Linear layers over bf16, fp8, int4, nvfp4 and mxfp8 weights on products of bf16 (AVX512_BF16):
// two products per lane and instruction, summed in float32. Every element of these formats is a
// bf16 number, so that codes become pairs of bf16 without error, by tables; the scales of blocks
// multiply the blocks' sums.
#if defined(__x86_64__)
// g++ 12 takes the undefined lanes that its own intrinsics start from for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "nn/formats.h"
#include "nn/qlinear.h"

namespace metabonk::nn {
namespace {

constexpr int kLanes = 16;
constexpr int kUnit = 8;          // inputs
constexpr int kPairBytes = 256;   // of a unit as bf16, one panel
constexpr int kRowsMax = 6;       // 24 sums, 4 weights and one of x
constexpr int kBlockRowsMax = 3;  // 12 sums of blocks and 12 of all; or decoding beside 12

__mmask16 First(int count) { return static_cast<__mmask16>((1u << count) - 1u); }

void TakeRow(const float* x, int inputs, int padded, uint8_t* row, float*) {
  for (int i = 0; i < padded; i += kLanes) {
    const __mmask16 there = First(std::clamp(inputs - i, 0, kLanes));
    const __m512 values = _mm512_maskz_loadu_ps(there, x + i);
    // Not vcvtneps2bf16, which takes subnormal numbers for zero.
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    const __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    const __m512i up =
        _mm512_mask_or_epi32(_mm512_add_epi32(bits, half), nan, bits, _mm512_set1_epi32(0x400000));
    _mm512_mask_cvtepi32_storeu_epi16(row + i * 2, First(std::min(kLanes, padded - i)),
                                      _mm512_srli_epi32(up, 16));
  }
}

// A unit of one panel as pairs of bf16: inputs 0 1, 2 3, 4 5, 6 7.
struct Pairs {
  __m512i a, b, c, d;
};

struct Bf16Codes {
  static constexpr int kBytes = kPairBytes;
  Pairs Load(const uint8_t* p) const {
    return {_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64), _mm512_loadu_si512(p + 128),
            _mm512_loadu_si512(p + 192)};
  }
};

// The bytes of the bf16 number that each magnitude of e4m3 is.
struct E4m3Table {
  alignas(64) std::array<uint8_t, 128> low{}, high{};
};

constexpr E4m3Table kE4m3Table = [] {
  E4m3Table table;
  for (int i = 0; i < 128; ++i) {
    const uint16_t value = Bf16FromFloat(FloatFromE4m3(static_cast<uint8_t>(i)));
    table.low[static_cast<size_t>(i)] = static_cast<uint8_t>(value & 0xFF);
    table.high[static_cast<size_t>(i)] = static_cast<uint8_t>(value >> 8);
  }
  return table;
}();

struct E4m3Codes {
  static constexpr int kBytes = 128;
  __m512i low0 = _mm512_load_si512(kE4m3Table.low.data());
  __m512i low1 = _mm512_load_si512(kE4m3Table.low.data() + 64);
  __m512i high0 = _mm512_load_si512(kE4m3Table.high.data());
  __m512i high1 = _mm512_load_si512(kE4m3Table.high.data() + 64);

  // Four inputs, which lie as 0 2 1 3.
  void Four(const uint8_t* p, __m512i* first, __m512i* second) const {
    const __m512i code = _mm512_loadu_si512(p);
    const __m512i even = _mm512_set1_epi32(0x00FF00FF);
    const __m512i low = _mm512_permutex2var_epi8(low0, code, low1);
    const __m512i unsigned_high = _mm512_permutex2var_epi8(high0, code, high1);
    // (sign & code) | (~sign & high)
    const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80808080u));
    const __m512i high = _mm512_ternarylogic_epi32(sign, code, unsigned_high, 0xCA);
    *first = _mm512_ternarylogic_epi32(even, low, _mm512_slli_epi32(high, 8), 0xCA);
    *second = _mm512_ternarylogic_epi32(even, _mm512_srli_epi32(low, 8), high, 0xCA);
  }
  Pairs Load(const uint8_t* p) const {
    Pairs pairs;
    Four(p, &pairs.a, &pairs.b);
    Four(p + 64, &pairs.c, &pairs.d);
    return pairs;
  }
};

// Sixteen bf16 numbers, twice, so that the fifth bit of an index does not matter.
using NibbleTable = std::array<uint16_t, 32>;

constexpr NibbleTable TableOf(bool integers) {
  NibbleTable table{};
  for (int i = 0; i < 32; ++i) {
    const float value = integers ? static_cast<float>(((i & 15) ^ 8) - 8)
                                 : FloatFromE2m1(static_cast<uint8_t>(i & 15));
    table[static_cast<size_t>(i)] = Bf16FromFloat(value);
  }
  return table;
}

alignas(64) constexpr NibbleTable kInt4Table = TableOf(true);
alignas(64) constexpr NibbleTable kE2m1Table = TableOf(false);

struct NibbleCodes {
  static constexpr int kBytes = 64;
  __m512i table;

  explicit NibbleCodes(const NibbleTable& numbers) : table(_mm512_load_si512(numbers.data())) {}
  Pairs Load(const uint8_t* p) const {
    const __m512i code = _mm512_loadu_si512(p);
    return {_mm512_permutexvar_epi16(code, table),
            _mm512_permutexvar_epi16(_mm512_srli_epi16(code, 4), table),
            _mm512_permutexvar_epi16(_mm512_srli_epi16(code, 8), table),
            _mm512_permutexvar_epi16(_mm512_srli_epi16(code, 12), table)};
  }
};

struct Int4Codes : NibbleCodes {
  Int4Codes() : NibbleCodes(kInt4Table) {}
};
struct E2m1Codes : NibbleCodes {
  E2m1Codes() : NibbleCodes(kE2m1Table) {}
};

// Scales of 16 outputs in one block.
struct NoScales {
  static constexpr int kBytes = 0;
  static __m512 Load(const uint8_t*) { return _mm512_set1_ps(1.0f); }
};
struct Bf16Scales {
  static constexpr int kBytes = 32;
  static __m512 Load(const uint8_t* p) {
    const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(code), 16));
  }
};
struct E4m3Scales {
  static constexpr int kBytes = 16;
  // As float16, whose exponents are 8 higher; it knows subnormals.
  static __m512 Load(const uint8_t* p) {
    const __m128i code = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i wide = _mm256_cvtepi8_epi16(code);  // the sign goes all the way up
    const __m256i half = _mm256_and_si256(_mm256_slli_epi16(wide, 7),
                                          _mm256_set1_epi16(static_cast<int16_t>(0xBF80)));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
  }
};
struct E8m0Scales {
  static constexpr int kBytes = 16;
  static __m512 Load(const uint8_t* p) {
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m512i bits = _mm512_slli_epi32(code, 23);
    return _mm512_castsi512_ps(_mm512_max_epu32(bits, _mm512_set1_epi32(0x400000)));
  }
};

// Where a tile's blocks lie: as packed, or made ready in scratch memory but for the scales.
struct Source {
  const uint8_t* codes;
  int64_t codes_step;  // from block to block
  const uint8_t* scales;
  int64_t scales_step;
};

inline void Finish(const QTile& t, int row, int panel, __m512 sum) {
  const int first = panel * kPanelOutputs;
  const __mmask16 there = First(std::min(kLanes, t.outputs - first));
  __m512 y = _mm512_mul_ps(sum, _mm512_loadu_ps(reinterpret_cast<const float*>(t.tile) + first));
  if (t.bias != nullptr) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(there, t.bias + first));
  _mm512_mask_storeu_ps(t.y + row * t.y_stride + first, there, y);
}

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
