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
// last. kAlong: a's steps are 1, else its rows are: addresses that are worked out beside the
// products take their places.
template <int kRows, int kVectors, bool kAlong>
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
  const int64_t row = p.row, step = p.step, ldb = p.ldb;
  for (int piece = 0; piece < p.pieces; ++piece, a += p.apart) {
    const float* column = a;
    for (int k = 0; k < p.depth; ++k, column += step, b += ldb) {
      V right[kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        const float* from = b + j * V::kLanes;
        right[j] = j + 1 < kVectors ? V::Load(from) : V::LoadFirst(from, last);
      }
#pragma GCC unroll 12
      for (int i = 0; i < kRows; ++i) {
        const V left = V::Broadcast(kAlong ? a[i * row + k] : column[i]);
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

template <int kVectors, bool kAlong>
constexpr TileFunction kByRows[kTileRows + 1] = {nullptr,
                                                 Tile<1, kVectors, kAlong>,
                                                 Tile<2, kVectors, kAlong>,
                                                 Tile<3, kVectors, kAlong>,
                                                 Tile<4, kVectors, kAlong>,
                                                 Tile<5, kVectors, kAlong>,
                                                 Tile<6, kVectors, kAlong>};

template <bool kAlong>
constexpr TileFunction kNarrow[kNarrowRows + 1] = {nullptr,
                                                   Tile<1, 1, kAlong>,
                                                   Tile<2, 1, kAlong>,
                                                   Tile<3, 1, kAlong>,
                                                   Tile<4, 1, kAlong>,
                                                   Tile<5, 1, kAlong>,
                                                   Tile<6, 1, kAlong>,
                                                   Tile<7, 1, kAlong>,
                                                   Tile<8, 1, kAlong>,
                                                   Tile<9, 1, kAlong>,
                                                   Tile<10, 1, kAlong>,
                                                   Tile<11, 1, kAlong>,
                                                   Tile<12, 1, kAlong>};

template <bool kAlong>
TileFunction TileOf(int rows, int vectors) {
  if constexpr (kTileVectors == 4) {
    if (vectors == 4) return kByRows<4, kAlong>[rows];
    if (vectors == 3) return kByRows<3, kAlong>[rows];
  }
  return vectors == 2 ? kByRows<2, kAlong>[rows] : kNarrow<kAlong>[rows];
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
      const TileFunction multiply =
          p.step == 1 ? TileOf<true>(rows, vectors) : TileOf<false>(rows, vectors);
      multiply(p, p.a + m * p.row, p.b + n, p.c + m * p.ldc + n, last);
    }
  }
}

}  // namespace
}  // namespace metabonk::nn
