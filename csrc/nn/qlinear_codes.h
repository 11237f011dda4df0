// Codes of bf16, fp8, int4, nvfp4 and mxfp8 as pairs of bf16, which every one of them is without
// error, by tables; scales of blocks; rows of x as bf16 and sums as outputs. For files compiled for
// AVX512_BF16 and AVX512_VBMI only.
#pragma once

// g++ 12 takes the undefined lanes that its own intrinsics start from for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "nn/formats.h"
#include "nn/qlinear.h"

namespace metabonk::nn {
namespace {

constexpr int kLanes = 16;
constexpr int kUnit = 8;         // inputs
constexpr int kPairBytes = 256;  // of a unit as bf16, one panel

inline __mmask16 First(int count) { return static_cast<__mmask16>((1u << count) - 1u); }

inline void TakeRow(const float* x, int inputs, int padded, uint8_t* row, float*) {
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

inline void Finish(const QTile& t, int row, int panel, __m512 sum) {
  const int first = panel * kPanelOutputs;
  const __mmask16 there = First(std::min(kLanes, t.outputs - first));
  __m512 y = _mm512_mul_ps(sum, _mm512_loadu_ps(reinterpret_cast<const float*>(t.tile) + first));
  if (t.bias != nullptr) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(there, t.bias + first));
  _mm512_mask_storeu_ps(t.y + row * t.y_stride + first, there, y);
}

}  // namespace
}  // namespace metabonk::nn
