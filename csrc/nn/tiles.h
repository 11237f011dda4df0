// Tiles (AMX): sixteen rows of 64 bytes each. For files compiled with them only.
#pragma once

// g++ 12 takes the undefined lanes that its own intrinsics start from for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <cstdint>

namespace metabonk::nn {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // of a row

// As ldtilecfg reads it.
struct alignas(64) TileShapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileShapes) == 64);

// All eight tiles as large as they can be.
constexpr TileShapes kWholeTiles = [] {
  TileShapes shapes{};
  shapes.palette = 1;
  for (int i = 0; i < 8; ++i) {
    shapes.bytes[i] = kTileBytes;
    shapes.rows[i] = kTileRows;
  }
  return shapes;
}();

// Holds the tiles while it lives. Without it the processor would keep them, and everybody's switch
// to and from this thread would move them.
class HeldTiles {
 public:
  HeldTiles() { _tile_loadconfig(&kWholeTiles); }
  ~HeldTiles() { _tile_release(); }
  HeldTiles(const HeldTiles&) = delete;
  HeldTiles& operator=(const HeldTiles&) = delete;
};

// What was written so far is in memory: loads of tiles do not say what they read.
inline void WrittenForTiles() { __asm__ volatile("" ::: "memory"); }

}  // namespace
}  // namespace metabonk::nn
