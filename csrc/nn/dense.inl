// The loops of a dense layer, compiled once per instruction set by dense_avx2.cc and
// dense_avx512.cc, which define the vector type V and how many of them make a tile.
#include <algorithm>
#include <cstdint>

#include "nn/dense.h"

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

// tanh x = e / (e + 2) with e = exp(2 |x|) - 1 and the sign of x. e is 2^n p(f) + (2^n - 1) where
// n + f = 2 |x| log2(e), |f| <= 1/2, and p(f) = 2^f - 1 as a polynomial without constant term
// (interpolated at Chebyshev's nodes, relative error 3e-10): accurate near 0 too, where a formula
// with a sum around 1 is not. Within 3 ulp everywhere; NaN stays NaN.
inline V Tanh(V x) {
  const V z = V::Min(V::Broadcast(30.0f), V::Abs(x) * V::Broadcast(2.885390081777927f));
  const V n = V::Round(z);
  const V f = z - n;
  V p = V::Broadcast(1.5297323732e-05f);
  p = V::Fma(p, f, V::Broadcast(1.5461444703e-04f));
  p = V::Fma(p, f, V::Broadcast(1.3333502386e-03f));
  p = V::Fma(p, f, V::Broadcast(9.6180566785e-03f));
  p = V::Fma(p, f, V::Broadcast(5.5504108839e-02f));
  p = V::Fma(p, f, V::Broadcast(2.4022650922e-01f));
  p = V::Fma(p, f, V::Broadcast(6.9314718056e-01f));
  const V scale = V::PowerOfTwo(n);
  const V e = V::Fma(scale, p * f, scale - V::Broadcast(1.0f));
  return V::CopySign(e / (e + V::Broadcast(2.0f)), x);
}

void TanhAll(float* values, int64_t count) {
  int64_t i = 0;
  for (; i + V::kLanes <= count; i += V::kLanes) Tanh(V::Load(values + i)).Store(values + i);
  if (const int rest = static_cast<int>(count - i); rest > 0) {
    Tanh(V::LoadFirst(values + i, rest)).StoreFirst(values + i, rest);
  }
}

void TanhGradient(const float* y, const float* dy, float* g, int64_t count) {
  const V one = V::Broadcast(1.0f);
  int64_t i = 0;
  for (; i + V::kLanes <= count; i += V::kLanes) {
    const V out = V::Load(y + i);
    (V::Load(dy + i) * V::FmaNegated(out, out, one)).Store(g + i);
  }
  if (const int rest = static_cast<int>(count - i); rest > 0) {
    const V out = V::LoadFirst(y + i, rest);
    (V::LoadFirst(dy + i, rest) * V::FmaNegated(out, out, one)).StoreFirst(g + i, rest);
  }
}

}  // namespace
}  // namespace metabonk::nn
