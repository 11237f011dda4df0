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

template <int kRows, int kPanels>
void Rows(const QTile& t, int row) {
  const uint8_t* codes = t.tile + t.layout->header_bytes(kPanels);
  const uint8_t* starts = t.tile + kPanels * kPanelOutputs * 4;
  const uint8_t* x = t.x + row * t.x_stride;
  __m512i sum[kRows][kPanels];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) sum[i][j] = _mm512_loadu_si512(starts + j * 64);
  }
  const int units = t.layout->units;
  for (int u = 0; u < units; ++u, x += 4, codes += kPanels * 64) {
    __m512i weight[kPanels];
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) weight[j] = _mm512_loadu_si512(codes + j * 64);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      int four;
      std::memcpy(&four, x + i * t.x_stride, 4);
      const __m512i left = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int j = 0; j < kPanels; ++j) Add(&sum[i][j], left, weight[j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) Finish(t, row + i, j, sum[i][j]);
  }
}

// One row: several sums of each output side by side, so that none waits for the one before. Whole
// numbers do not mind the order.
template <int kPanels>
void Row(const QTile& t, int row) {
  constexpr int kSums = 8 / kPanels;
  const uint8_t* codes = t.tile + t.layout->header_bytes(kPanels);
  const uint8_t* starts = t.tile + kPanels * kPanelOutputs * 4;
  const uint8_t* x = t.x + row * t.x_stride;
  __m512i sum[kSums][kPanels];
#pragma GCC unroll 8
  for (int k = 0; k < kSums; ++k) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) {
      sum[k][j] = k == 0 ? _mm512_loadu_si512(starts + j * 64) : _mm512_setzero_si512();
    }
  }
  int left = t.layout->units;
  for (; left >= kSums; left -= kSums) {
#pragma GCC unroll 8
    for (int k = 0; k < kSums; ++k, x += 4, codes += kPanels * 64) {
      int four;
      std::memcpy(&four, x, 4);
#pragma GCC unroll 4
      for (int j = 0; j < kPanels; ++j) {
        Add(&sum[k][j], _mm512_set1_epi32(four), _mm512_loadu_si512(codes + j * 64));
      }
    }
  }
  for (; left > 0; --left, x += 4, codes += kPanels * 64) {
    int four;
    std::memcpy(&four, x, 4);
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) {
      Add(&sum[0][j], _mm512_set1_epi32(four), _mm512_loadu_si512(codes + j * 64));
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < kPanels; ++j) {
#pragma GCC unroll 8
    for (int k = 1; k < kSums; ++k) sum[0][j] = _mm512_add_epi32(sum[0][j], sum[k][j]);
    Finish(t, row, j, sum[0][j]);
  }
}

using RowsFunction = void (*)(const QTile&, int);

template <int kPanels>
constexpr RowsFunction kByRows[kRowsMax + 1] = {
    nullptr,          Row<kPanels>,     Rows<2, kPanels>, Rows<3, kPanels>,
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
