// Products of matrices in tiles that stay in registers, compiled once per instruction set by files
// that define before: V, a vector of kLanes floats, and kTileVectors, how many make a tile (2 or
// 4).
#include <algorithm>
#include <cstdint>

#include "nn/product.h"

namespace metabonk::nn {
namespace {

constexpr int kTileRows = 6;

// c[kRows, columns] += a b for one tile of up to kVectors vectors, the last of which may be
// partial: `last` of its lanes are there. All sums stay in registers from the first term to the
// last.
template <int kRows, int kVectors>
inline void Tile(const Product& p, const float* a, const float* b, float* c, int last) {
  V sum[kRows][kVectors];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const float* from = c + i * p.ldc + j * V::kLanes;
      sum[i][j] = j + 1 < kVectors ? V::Load(from) : V::LoadFirst(from, last);
    }
  }
  for (int k = 0; k < p.depth; ++k) {
    V right[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const float* from = b + k * p.ldb + j * V::kLanes;
      right[j] = j + 1 < kVectors ? V::Load(from) : V::LoadFirst(from, last);
    }
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const V left = V::Broadcast(a[i * p.row + k * p.step]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = V::Fma(left, right[j], sum[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      float* to = c + i * p.ldc + j * V::kLanes;
      if (j + 1 < kVectors) {
        sum[i][j].Store(to);
      } else {
        sum[i][j].StoreFirst(to, last);
      }
    }
  }
}

using TileFunction = void (*)(const Product&, const float*, const float*, float*, int);

template <int kVectors>
constexpr TileFunction kByRows[kTileRows + 1] = {
    nullptr,           Tile<1, kVectors>, Tile<2, kVectors>, Tile<3, kVectors>,
    Tile<4, kVectors>, Tile<5, kVectors>, Tile<6, kVectors>};

TileFunction TileOf(int rows, int vectors) {
  if constexpr (kTileVectors == 4) {
    if (vectors == 4) return kByRows<4>[rows];
    if (vectors == 3) return kByRows<3>[rows];
  }
  return vectors == 2 ? kByRows<2>[rows] : kByRows<1>[rows];
}

void Multiply(const Product& p) {
  constexpr int kWidest = kTileVectors * V::kLanes;
  for (int n = 0; n < p.columns; n += kWidest) {
    const int columns = std::min(kWidest, p.columns - n);
    const int vectors = (columns + V::kLanes - 1) / V::kLanes;
    const int last = columns - (vectors - 1) * V::kLanes;
    for (int m = 0; m < p.rows; m += kTileRows) {
      const int rows = std::min(kTileRows, p.rows - m);
      TileOf(rows, vectors)(p, p.a + m * p.row, p.b + n, p.c + m * p.ldc + n, last);
    }
  }
}

}  // namespace
}  // namespace metabonk::nn
