// The search for nearest codes, compiled once per instruction set by the files that include this
// and define: V, a vector of kLanes floats, I, as many indices, and kTileRows and kTileVectors,
// how many rows and vectors of codes are taken together.
#include <cstdint>
#include <limits>

#include "nn/vq.h"

namespace metabonk::nn {
namespace {

constexpr int kTileCodes = kTileVectors * V::kLanes;
static_assert(kVqGroupPanels * kVqPanelCodes % kTileCodes == 0);
static_assert(kVqPanelCodes % V::kLanes == 0);

// Where vector j of a tile lies in its panels.
constexpr int64_t Offset(int j, int64_t panel_size) {
  const int code = j * V::kLanes;
  return code / kVqPanelCodes * panel_size + code % kVqPanelCodes;
}

// kRows rows against all panels. The sums of a tile stay in registers from the first dimension to
// the last; the best so far, one per lane, is touched once per tile.
template <int kRows>
void SearchRows(const VqPanels& panels, const float* x, float* score, int32_t* index) {
  const int width = panels.width;
  const int64_t panel_size = int64_t{width} * kVqPanelCodes;
  V best[kRows];
  I at[kRows];
  for (int i = 0; i < kRows; ++i) {
    best[i] = V::Broadcast(-std::numeric_limits<float>::infinity());
    at[i] = I::From(0);
  }
  const int64_t codes = panels.panels * kVqPanelCodes;
  for (int64_t code = 0; code < codes; code += kTileCodes) {
    const int64_t start = code / kVqPanelCodes * panel_size + code % kVqPanelCodes;
    const float* b = panels.codes + start;
    V sum[kRows][kTileVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kTileVectors; ++j) {
      const V offset = V::Load(panels.offset + code + j * V::kLanes);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) sum[i][j] = offset;
    }
    for (int d = 0; d < width; ++d) {
      V right[kTileVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kTileVectors; ++j) {
        right[j] = V::Load(b + Offset(j, panel_size) + d * kVqPanelCodes);
      }
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        const V left = V::Broadcast(x[i * int64_t{width} + d]);
#pragma GCC unroll 4
        for (int j = 0; j < kTileVectors; ++j) sum[i][j] = V::Fma(left, right[j], sum[i][j]);
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < kTileVectors; ++j) {
      const I here = I::From(panels.first_code + static_cast<int32_t>(code) + j * V::kLanes);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) Keep(sum[i][j], here, &best[i], &at[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    float top;
    int32_t code;
    Lowest(best[i], at[i], &top, &code);
    if (top > score[i]) {
      score[i] = top;
      index[i] = code;
    }
  }
}

template <int kRows>
void SearchLast(const VqPanels& panels, const float* x, int64_t rows, float* score,
                int32_t* index) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return SearchRows<kRows>(panels, x, score, index);
    SearchLast<kRows - 1>(panels, x, rows, score, index);
  }
}

void Search(const VqPanels& panels, const float* x, int64_t rows, float* score, int32_t* index) {
  int64_t i = 0;
  for (; i + kTileRows <= rows; i += kTileRows) {
    SearchRows<kTileRows>(panels, x + i * panels.width, score + i, index + i);
  }
  SearchLast<kTileRows - 1>(panels, x + i * panels.width, rows - i, score + i, index + i);
}

}  // namespace
}  // namespace metabonk::nn
