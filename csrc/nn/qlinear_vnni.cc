// int8 linear layers on products of bytes (AVX512_VNNI): four products per lane and instruction,
// bytes 0..255 of x, moved up by 128, times the signed bytes of the weights.
#if defined(__x86_64__)
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "nn/qlinear_bytes.h"

namespace metabonk::nn {
namespace {

constexpr float kSmallest = 0x1p-100f;
constexpr int kRowsMax = 6;  // 24 sums, 4 weights and one of x: 29 of 32 registers

void TakeRow(const float* x, int inputs, int padded, uint8_t* row, float* scale) {
  __m512i most = _mm512_setzero_si512();
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  int i = 0;
  for (; i + kLanes <= inputs; i += kLanes) {
    most = _mm512_max_epu32(most, _mm512_and_si512(magnitude, _mm512_loadu_si512(x + i)));
  }
  if (i < inputs) {
    const __m512i rest = _mm512_maskz_loadu_epi32(Left(i, inputs), x + i);
    most = _mm512_max_epu32(most, _mm512_and_si512(magnitude, rest));
  }
  const uint32_t bits = _mm512_reduce_max_epu32(most);
  const float largest = std::bit_cast<float>(bits);
  if (bits >= 0x7F800000u || largest < kSmallest) {
    std::memset(row, 128, static_cast<size_t>(padded));
    *scale = bits >= 0x7F800000u ? std::bit_cast<float>(0x7FC00000u) : 0.0f;
    return;
  }
  *scale = largest / 127.0f;
  const __m512 inverse = _mm512_set1_ps(127.0f / largest);
  const __m512i middle = _mm512_set1_epi32(128);
  for (i = 0; i < padded; i += kLanes) {
    const __mmask16 there = i < inputs ? Left(i, inputs) : __mmask16{0};
    const __m512 scaled = _mm512_mul_ps(inverse, _mm512_maskz_loadu_ps(there, x + i));
    const __m512i code = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), middle);
    _mm512_mask_cvtepi32_storeu_epi8(row + i, Left(i, padded), code);
  }
}

// sum += x * weight. The instruction itself: given the intrinsic, g++ 12 stores every sum to memory
// in every round of the loop, at half the speed.
inline void Add(__m512i* sum, __m512i x, __m512i weight) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(weight));
}

// Sums of one row that are added up side by side, so that none waits for the one before: whole
// numbers do not mind the order.
template <int kRows, int kPanels>
constexpr int kChains = kRows > 1     ? 1
                        : kPanels > 1 ? 2
                                      : 4;

template <int kRows, int kPanels>
void Rows(const QTile& t, int row) {
  constexpr int kSums = kChains<kRows, kPanels> * kPanels;
  const uint8_t* codes = t.tile + t.layout->header_bytes(kPanels);
  const uint8_t* starts = t.tile + kPanels * kPanelOutputs * 4;
  const uint8_t* x = t.x + row * t.x_stride;
  __m512i sum[kRows][kSums];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kSums; ++j) {
      sum[i][j] = j < kPanels ? _mm512_loadu_si512(starts + j * 64) : _mm512_setzero_si512();
    }
  }
  const auto add = [&](int chain) {
    __m512i weight[kPanels];
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) weight[j] = _mm512_loadu_si512(codes + j * 64);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      int four;
      std::memcpy(&four, x + i * t.x_stride, 4);
      const __m512i left = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int j = 0; j < kPanels; ++j) Add(&sum[i][chain * kPanels + j], left, weight[j]);
    }
    x += 4;
    codes += kPanels * 64;
  };
  int left = t.layout->units;
  for (; left >= kChains<kRows, kPanels>; left -= kChains<kRows, kPanels>) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains<kRows, kPanels>; ++chain) add(chain);
  }
  for (; left > 0; --left) add(0);
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) {
      __m512i total = sum[i][j];
#pragma GCC unroll 4
      for (int k = j + kPanels; k < kSums; k += kPanels) {
        total = _mm512_add_epi32(total, sum[i][k]);
      }
      Finish(t, row + i, j, total);
    }
  }
}

using RowsFunction = void (*)(const QTile&, int);

template <int kPanels>
constexpr RowsFunction kByRows[kRowsMax + 1] = {
    nullptr,          Rows<1, kPanels>, Rows<2, kPanels>, Rows<3, kPanels>,
    Rows<4, kPanels>, Rows<5, kPanels>, Rows<6, kPanels>};

void Multiply(const QTile& t) {
  for (int row = 0; row < t.rows; row += kRowsMax) {
    const int rows = std::min(kRowsMax, t.rows - row);
    (t.panels == kTilePanels ? kByRows<kTilePanels> : kByRows<1>)[rows](t, row);
  }
}

int64_t NoScratch(const PanelLayout&) { return 0; }

}  // namespace

const QLinearKernels kQInt8Vnni = {"vnni", 1, TakeRow, Multiply, NoScratch};

}  // namespace metabonk::nn
#endif
