// Linear layers over bf16, fp8 and nvfp4 weights on tiles (AMX), for many rows: sixteen rows of x
// by sixteen outputs, 32 inputs at a time, summed in float32. Codes are made bf16 first; scales of
// nvfp4's blocks too, as an element times its scale has six bits. What has more is
// qlinear_bf16.cc's.
#if defined(__x86_64__)
#include <cstring>

#include "nn/qlinear_codes.h"
#include "nn/tiles.h"

namespace metabonk::nn {
namespace {

constexpr int kStepInputs = 32;
constexpr int kStepBytes = kTileRows * kTileBytes;  // of one panel
static_assert(kPanelOutputs == kTileRows);
static_assert(kStepInputs / kUnit * kPairBytes == kStepBytes);

int Steps(const PanelLayout& layout) {
  return (layout.padded_inputs + kStepInputs - 1) / kStepInputs;
}

// A pair of inputs of 16 outputs, times the outputs' scales.
inline __m512i Scaled(__m512i pair, __m512 scale) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int32_t>(0xFFFF0000u));
  const __m512 first = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)), scale);
  const __m512 second = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_and_si512(pair, upper)), scale);
  return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(first), 16),
                         _mm512_and_si512(_mm512_castps_si512(second), upper));
}

// A tile's weights as bf16, panel after panel, zeros behind the last input.
template <typename Codes, typename Scales>
void Expand(const QTile& t, uint8_t* to) {
  const Codes codes;
  const int64_t panel_bytes = int64_t{Steps(*t.layout)} * kStepBytes;
  const int64_t own_bytes = int64_t{t.layout->padded_inputs} / kUnit * kPairBytes;
  const uint8_t* at = t.tile + t.layout->header_bytes(t.panels);
  int64_t unit = 0;
  for (int b = 0; b < t.layout->blocks; ++b) {
    const uint8_t* scales = at;
    at += t.panels * Scales::kBytes;
    for (int u = 0; u < t.layout->units; ++u, unit += kPairBytes) {
      for (int j = 0; j < t.panels; ++j, at += Codes::kBytes) {
        Pairs pairs = codes.Load(at);
        if constexpr (Scales::kBytes != 0) {
          const __m512 scale = Scales::Load(scales + j * Scales::kBytes);
          pairs = {Scaled(pairs.a, scale), Scaled(pairs.b, scale), Scaled(pairs.c, scale),
                   Scaled(pairs.d, scale)};
        }
        uint8_t* unit_to = to + j * panel_bytes + unit;
        _mm512_store_si512(unit_to, pairs.a);
        _mm512_store_si512(unit_to + 64, pairs.b);
        _mm512_store_si512(unit_to + 128, pairs.c);
        _mm512_store_si512(unit_to + 192, pairs.d);
      }
    }
  }
  for (int j = 0; j < t.panels; ++j) {
    std::memset(to + j * panel_bytes + own_bytes, 0, static_cast<size_t>(panel_bytes - own_bytes));
  }
}

// Tiles 4 and 5 are of rows, 6 and 7 of outputs; 0 to 3 add up their products.
template <bool kTwoRows, bool kTwoPanels>
inline void Add(const uint8_t* x, int64_t x_stride, const uint8_t* codes, int64_t next_panel) {
  _tile_loadd(4, x, x_stride);
  _tile_loadd(6, codes, kTileBytes);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (kTwoRows) {
    _tile_loadd(5, x + kTileRows * x_stride, x_stride);
    _tile_dpbf16ps(2, 5, 6);
  }
  if constexpr (kTwoPanels) {
    _tile_loadd(7, codes + next_panel, kTileBytes);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwoRows) _tile_dpbf16ps(3, 5, 7);
  }
}

// One or two tiles of rows from `row` on by one or two panels. Rows behind the last are read, see
// QLinearKernels, and left out.
template <bool kTwoRows, bool kTwoPanels>
void Block(const QTile& t, const uint8_t* codes, int row, int panel) {
  const int64_t panel_bytes = int64_t{Steps(*t.layout)} * kStepBytes;
  const uint8_t* x = t.x + row * t.x_stride;
  codes += panel * panel_bytes;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int whole = t.layout->padded_inputs / kStepInputs;
  for (int k = 0; k < whole; ++k, x += kTileBytes, codes += kStepBytes) {
    Add<kTwoRows, kTwoPanels>(x, t.x_stride, codes, panel_bytes);
  }
  if (whole < Steps(*t.layout)) {
    alignas(64) uint8_t rest[2 * kStepBytes] = {};
    const int left = t.layout->padded_inputs % kStepInputs * 2;
    for (int i = 0; i < (kTwoRows ? 2 : 1) * kTileRows; ++i) {
      std::memcpy(rest + i * kTileBytes, x + i * t.x_stride, static_cast<size_t>(left));
    }
    WrittenForTiles();
    Add<kTwoRows, kTwoPanels>(rest, kTileBytes, codes, panel_bytes);
  }
  alignas(64) float sums[4][kTileRows * kPanelOutputs];
  _tile_stored(0, sums[0], kTileBytes);
  if constexpr (kTwoPanels) _tile_stored(1, sums[1], kTileBytes);
  if constexpr (kTwoRows) {
    _tile_stored(2, sums[2], kTileBytes);
    if constexpr (kTwoPanels) _tile_stored(3, sums[3], kTileBytes);
  }
  WrittenForTiles();
  const int rows = std::min(t.rows - row, (kTwoRows ? 2 : 1) * kTileRows);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < (kTwoPanels ? 2 : 1); ++j) {
      const float* sum = sums[i / kTileRows * 2 + j] + i % kTileRows * kPanelOutputs;
      Finish(t, row + i, panel + j, _mm512_load_ps(sum));
    }
  }
}

template <bool kTwoPanels>
void AllRows(const QTile& t, int panel) {
  int row = 0;
  for (; row + kTileRows < t.rows; row += 2 * kTileRows) {
    Block<true, kTwoPanels>(t, t.scratch, row, panel);
  }
  if (row < t.rows) Block<false, kTwoPanels>(t, t.scratch, row, panel);
}

template <typename Codes, typename Scales>
void MultiplyFormat(const QTile& t) {
  Expand<Codes, Scales>(t, t.scratch);
  const HeldTiles held;
  WrittenForTiles();
  int panel = 0;
  for (; panel + 2 <= t.panels; panel += 2) AllRows<true>(t, panel);
  if (panel < t.panels) AllRows<false>(t, panel);
}

void Multiply(const QTile& t) {
  switch (t.layout->format) {
    case WeightFormat::kBf16:
      return MultiplyFormat<Bf16Codes, NoScales>(t);
    case WeightFormat::kFp8:
      return MultiplyFormat<E4m3Codes, NoScales>(t);
    case WeightFormat::kNvfp4:
      return MultiplyFormat<E2m1Codes, E4m3Scales>(t);
    default:
      return;  // ActiveQLinearKernels gives others to kQFloatBf16
  }
}

int64_t Scratch(const PanelLayout& layout) {
  return int64_t{Steps(layout)} * kStepBytes * kTilePanels;
}

}  // namespace

const QLinearKernels kQFloatAmx = {"amx", 2, TakeRow, Multiply, Scratch};

}  // namespace metabonk::nn
#endif
