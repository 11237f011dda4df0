// Products of matrices in tiles that stay in registers, compiled once per instruction set by files
// that define before: V, a vector of kLanes floats, and kTileVectors, how many make a tile (2 or
// 4).
#include <algorithm>
#include <cstdint>

#include "nn/product.h"

namespace metabonk::nn {
namespace {

// Of a tile of one vector, and of wider ones: enough sums under way to hide what one takes.
constexpr int kNarrowRows = 12, kTileRows = 6;

// c[kRows, columns] += a b for one tile of up to kVectors vectors, the last of which may be
// partial: `last` of its lanes are there. All sums stay in registers from the first term to the
// last.
template <int kRows, int kVectors>
inline void Tile(const Product& p, const float* a, const float* b, float* c, int last) {
  V sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const float* from = c + i * p.ldc + j * V::kLanes;
      sum[i][j] = j + 1 < kVectors ? V::Load(from) : V::LoadFirst(from, last);
    }
  }
  for (int piece = 0; piece < p.pieces; ++piece, a += p.apart, b += p.depth * p.ldb) {
    for (int k = 0; k < p.depth; ++k) {
      V right[kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        const float* from = b + k * p.ldb + j * V::kLanes;
        right[j] = j + 1 < kVectors ? V::Load(from) : V::LoadFirst(from, last);
      }
#pragma GCC unroll 12
      for (int i = 0; i < kRows; ++i) {
        const V left = V::Broadcast(a[i * p.row + k * p.step]);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) sum[i][j] = V::Fma(left, right[j], sum[i][j]);
      }
    }
  }
#pragma GCC unroll 12
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

constexpr TileFunction kNarrow[kNarrowRows + 1] = {
    nullptr,    Tile<1, 1>, Tile<2, 1>, Tile<3, 1>,  Tile<4, 1>,  Tile<5, 1>, Tile<6, 1>,
    Tile<7, 1>, Tile<8, 1>, Tile<9, 1>, Tile<10, 1>, Tile<11, 1>, Tile<12, 1>};

TileFunction TileOf(int rows, int vectors) {
  if constexpr (kTileVectors == 4) {
    if (vectors == 4) return kByRows<4>[rows];
    if (vectors == 3) return kByRows<3>[rows];
  }
  return vectors == 2 ? kByRows<2>[rows] : kNarrow[rows];
}

void Multiply(const Product& p) {
  constexpr int kWidest = kTileVectors * V::kLanes;
  for (int n = 0; n < p.columns; n += kWidest) {
    const int columns = std::min(kWidest, p.columns - n);
    const int vectors = (columns + V::kLanes - 1) / V::kLanes;
    const int last = columns - (vectors - 1) * V::kLanes;
    const int most = vectors == 1 ? kNarrowRows : kTileRows;
    const int tiles = (p.rows + most - 1) / most;  // as equal as can be
    for (int tile = 0; tile < tiles; ++tile) {
      const int m = static_cast<int>(int64_t{p.rows} * tile / tiles);
      const int rows = static_cast<int>(int64_t{p.rows} * (tile + 1) / tiles) - m;
      TileOf(rows, vectors)(p, p.a + m * p.row, p.b + n, p.c + m * p.ldc + n, last);
    }
  }
}

}  // namespace
}  // namespace metabonk::nn
