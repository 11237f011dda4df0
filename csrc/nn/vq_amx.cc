// Nearest codes by screening in bf16 on tiles (AMX): sixteen times the products of one instruction
// of AVX512_BF16. See vq.h.
#if defined(__x86_64__)
#include <cstdint>
#include <limits>

#include "nn/tiles.h"
#include "nn/vq_screen.h"

namespace metabonk::nn {
namespace {

constexpr int kRows = 2 * kTileRows;
static_assert(kVqPanelCodes == kTileRows);
static_assert(kVqGroupPanels % 2 == 0);
static_assert(kVqTilePairs == kTileRows);

// The scores of 32 rows, each [codes], and the highest of each. Whole tiles of pairs.
void Score(const VqPanels& panels, const VqCoarse& coarse, const uint32_t* x, float* scores,
           float* best) {
  const int64_t pairs = coarse.pairs, codes = panels.panels * kVqPanelCodes;
  const int64_t panel = pairs * kVqPanelCodes * 2, row_bytes = pairs * 4, to_bytes = codes * 4;
  {
    const HeldTiles held;
    WrittenForTiles();
    for (int64_t p = 0; p < panels.panels; p += 2) {
      const uint16_t* b = coarse.codes + p * panel;
      const float* offset = panels.offset + p * kVqPanelCodes;
      _tile_loadd(0, offset, 0);  // the same for every row
      _tile_loadd(1, offset + kVqPanelCodes, 0);
      _tile_loadd(2, offset, 0);
      _tile_loadd(3, offset + kVqPanelCodes, 0);
      for (int64_t d = 0; d < pairs; d += kTileRows) {
        _tile_loadd(4, x + d, row_bytes);
        _tile_loadd(5, x + kTileRows * pairs + d, row_bytes);
        _tile_loadd(6, b + d * 2 * kVqPanelCodes, kTileBytes);
        _tile_loadd(7, b + panel + d * 2 * kVqPanelCodes, kTileBytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      float* to = scores + p * kVqPanelCodes;
      _tile_stored(0, to, to_bytes);
      _tile_stored(1, to + kVqPanelCodes, to_bytes);
      _tile_stored(2, to + kTileRows * codes, to_bytes);
      _tile_stored(3, to + kTileRows * codes + kVqPanelCodes, to_bytes);
    }
  }
  WrittenForTiles();
  for (int i = 0; i < kRows; ++i) {
    __m512 top = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
    for (int64_t k = 0; k < codes; k += kVqPanelCodes) {
      top = _mm512_max_ps(top, _mm512_loadu_ps(scores + i * codes + k));
    }
    best[i] = _mm512_reduce_max_ps(top);
  }
}

void Screen(const VqPanels& panels, const VqCoarse& coarse, const float* x, int64_t rows,
            VqScratch* scratch, float* score, int32_t* index) {
  const int64_t i = ScreenWhole<kRows>(panels, coarse, x, rows, scratch, score, index, Score);
  kVqScreenBf16.screen(panels, coarse, x + i * panels.width, rows - i, scratch, score + i,
                       index + i);
}

}  // namespace

const VqScreen kVqScreenAmx = {"amx", kRows, Screen};

}  // namespace metabonk::nn
#endif
