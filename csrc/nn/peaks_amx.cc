// The peak of products of bytes on tiles (AMX); see peaks.h.
#if defined(__x86_64__)
#include <cstdint>

#include "nn/peaks.h"
#include "nn/tiles.h"

namespace metabonk::nn {
namespace {

int64_t Products(int64_t products) {
  constexpr int64_t kEach = int64_t{4} * kTileRows * kTileRows * kTileBytes;
  const int64_t rounds = (products + kEach - 1) / kEach;
  const HeldTiles held;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int64_t k = 0; k < rounds; ++k) {
    _tile_dpbusd(0, 4, 5);
    _tile_dpbusd(1, 4, 5);
    _tile_dpbusd(2, 4, 5);
    _tile_dpbusd(3, 4, 5);
  }
  return rounds * kEach;
}

}  // namespace

const ProductLoop kBytePeakAmx = Products;

}  // namespace metabonk::nn
#endif
