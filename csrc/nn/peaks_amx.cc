// The peaks of products of bytes and of bf16 on tiles (AMX); see peaks.h.
#if defined(__x86_64__)
#include <cstdint>

#include "nn/peaks.h"
#include "nn/tiles.h"

namespace metabonk::nn {
namespace {

constexpr int kSums = 4;

// Rounds of kSums tiles of products that are at least `products`, `each` products a tile.
int64_t Rounds(int64_t products, int64_t each) {
  return (products + kSums * each - 1) / (kSums * each);
}

void Clear() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
}

int64_t Bytes(int64_t products) {
  constexpr int64_t kEach = int64_t{kTileRows} * kTileRows * kTileBytes;
  const int64_t rounds = Rounds(products, kEach);
  const HeldTiles held;
  Clear();
  for (int64_t k = 0; k < rounds; ++k) {
    _tile_dpbusd(0, 4, 5);
    _tile_dpbusd(1, 4, 5);
    _tile_dpbusd(2, 4, 5);
    _tile_dpbusd(3, 4, 5);
  }
  return rounds * kSums * kEach;
}

int64_t Bf16(int64_t products) {
  constexpr int64_t kEach = int64_t{kTileRows} * kTileRows * kTileBytes / 2;
  const int64_t rounds = Rounds(products, kEach);
  const HeldTiles held;
  Clear();
  for (int64_t k = 0; k < rounds; ++k) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  return rounds * kSums * kEach;
}

}  // namespace

const ProductLoop kBytePeakAmx = Bytes, kBf16PeakAmx = Bf16;

}  // namespace metabonk::nn
#endif
