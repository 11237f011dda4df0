// int8 linear layers on tiles (AMX): sixteen rows of x by sixteen outputs, 64 inputs at a time.
// Sums are those of integers, so that the bits are qlinear_vnni.cc's, which takes rows that fill no
// tile and products that are done before tiles would be set up.
#if defined(__x86_64__)
#include <cstring>

#include "nn/qlinear_bytes.h"
#include "nn/tiles.h"

namespace metabonk::nn {
namespace {

constexpr int kUnit = 4;  // inputs
constexpr int kPairRows = 2 * kTileRows;
constexpr int64_t kFewProducts = int64_t{4} * kTileRows * kTileRows * kTileBytes;  // four tiles'
static_assert(kPanelOutputs == kTileRows);

void TakeRow(const float* x, int inputs, int padded, uint8_t* row, float* scale) {
  kQInt8Vnni.take_row(x, inputs, padded, row, scale);
}

// The last units of two panels and of 32 rows, where they fill no tile: zeros behind them.
struct Rest {
  alignas(64) uint8_t codes[2][kTileRows * kTileBytes];
  alignas(64) uint8_t x[kPairRows * kTileBytes];

  void TakeCodes(const QTile& t, const uint8_t* from, int panels, int units) {
    std::memset(codes, 0, sizeof codes);
    for (int u = 0; u < units; ++u) {
      for (int j = 0; j < panels; ++j) {
        std::memcpy(codes[j] + u * kTileBytes, from + (u * t.panels + j) * kTileBytes, kTileBytes);
      }
    }
  }
  void TakeRows(const QTile& t, const uint8_t* from, int rows, int units) {
    std::memset(x, 0, sizeof x);
    for (int i = 0; i < rows; ++i) {
      std::memcpy(x + i * kTileBytes, from + i * t.x_stride, static_cast<size_t>(units) * kUnit);
    }
  }
};

// Tiles 4 and 5 are of rows, 6 and 7 of outputs; 0 to 3 add up their products.
template <bool kTwoRows, bool kTwoPanels>
inline void Add(const uint8_t* x, int64_t x_stride, const uint8_t* codes, int64_t codes_stride,
                int64_t next_panel) {
  _tile_loadd(4, x, x_stride);
  _tile_loadd(6, codes, codes_stride);
  _tile_dpbusd(0, 4, 6);
  if constexpr (kTwoRows) {
    _tile_loadd(5, x + kTileRows * x_stride, x_stride);
    _tile_dpbusd(2, 5, 6);
  }
  if constexpr (kTwoPanels) {
    _tile_loadd(7, codes + next_panel, codes_stride);
    _tile_dpbusd(1, 4, 7);
    if constexpr (kTwoRows) _tile_dpbusd(3, 5, 7);
  }
}

// One or two tiles of rows from `row` on by one or two panels.
template <bool kTwoRows, bool kTwoPanels>
void Block(const QTile& t, int row, int panel, Rest* rest) {
  const uint8_t* starts = t.tile + t.panels * kPanelOutputs * 4 + panel * kTileBytes;
  const uint8_t* codes = t.tile + t.layout->header_bytes(t.panels) + panel * kTileBytes;
  const uint8_t* x = t.x + row * t.x_stride;
  const int64_t stride = int64_t{t.panels} * kTileBytes;
  _tile_loadd(0, starts, 0);  // the same for every row
  if constexpr (kTwoPanels) _tile_loadd(1, starts + kTileBytes, 0);
  if constexpr (kTwoRows) {
    _tile_loadd(2, starts, 0);
    if constexpr (kTwoPanels) _tile_loadd(3, starts + kTileBytes, 0);
  }
  const int left = t.layout->units % kTileRows;
  for (int u = 0; u + kTileRows <= t.layout->units; u += kTileRows) {
    Add<kTwoRows, kTwoPanels>(x, t.x_stride, codes, stride, kTileBytes);
    x += kTileRows * kUnit;
    codes += kTileRows * stride;
  }
  if (left > 0) {
    rest->TakeRows(t, x, kTwoRows ? kPairRows : kTileRows, left);
    WrittenForTiles();
    Add<kTwoRows, kTwoPanels>(rest->x, kTileBytes, rest->codes[0], kTileBytes,
                              sizeof rest->codes[0]);
  }
  alignas(64) int32_t sums[4][kTileRows * kPanelOutputs];
  _tile_stored(0, sums[0], kTileBytes);
  if constexpr (kTwoPanels) _tile_stored(1, sums[1], kTileBytes);
  if constexpr (kTwoRows) {
    _tile_stored(2, sums[2], kTileBytes);
    if constexpr (kTwoPanels) _tile_stored(3, sums[3], kTileBytes);
  }
  WrittenForTiles();
  for (int i = 0; i < (kTwoRows ? kPairRows : kTileRows); ++i) {
    for (int j = 0; j < (kTwoPanels ? 2 : 1); ++j) {
      const int32_t* sum = sums[i / kTileRows * 2 + j] + i % kTileRows * kPanelOutputs;
      Finish(t, row + i, panel + j, _mm512_load_si512(sum));
    }
  }
}

template <bool kTwoPanels>
void AllRows(const QTile& t, int rows, int panel) {
  Rest rest;
  const int left = t.layout->units % kTileRows;
  if (left > 0) {
    const int64_t whole = int64_t{t.layout->units - left} * t.panels * kTileBytes;
    rest.TakeCodes(t, t.tile + t.layout->header_bytes(t.panels) + panel * kTileBytes + whole,
                   kTwoPanels ? 2 : 1, left);
  }
  int row = 0;
  for (; row + kPairRows <= rows; row += kPairRows) Block<true, kTwoPanels>(t, row, panel, &rest);
  if (row < rows) Block<false, kTwoPanels>(t, row, panel, &rest);
}

void Multiply(const QTile& t) {
  const int64_t products = int64_t{t.rows} * t.panels * kPanelOutputs * t.layout->units * kUnit;
  const int rows = products < kFewProducts ? 0 : t.rows / kTileRows * kTileRows;
  if (rows > 0) {
    const HeldTiles held;
    int panel = 0;
    for (; panel + 2 <= t.panels; panel += 2) AllRows<true>(t, rows, panel);
    if (panel < t.panels) AllRows<false>(t, rows, panel);
  }
  if (rows == t.rows) return;
  QTile rest = t;
  rest.rows -= rows;
  rest.x += rows * t.x_stride;
  rest.x_scale += rows;
  rest.y += rows * t.y_stride;
  kQInt8Vnni.multiply(rest);
}

int64_t NoScratch(const PanelLayout&) { return 0; }

}  // namespace

const QLinearKernels kQInt8Amx = {"amx", 1, TakeRow, Multiply, NoScratch};

}  // namespace metabonk::nn
#endif
