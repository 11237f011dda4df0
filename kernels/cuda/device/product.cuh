// Sixteen rows in shared memory times a slice of weights, by all warps of a block: what the
// recurrent kernels have in common.
//
// Rows are bf16 [16, stride], weights bf16 [8 tiles, stride] in shared memory, or where they do not
// fit, float32 or bf16 in global memory as torch keeps them. Sums go to shared memory as float32
// [splits, 16, 8 tiles]: warps share the columns first, then the length of the sum, because a batch
// of one step leaves them nothing else to share.
#pragma once

#include <device/ptx.cuh>

namespace metabonk::cuda {

constexpr int kRows = 16;   // of one tile of mma
constexpr int kTile = 8;    // its columns
constexpr int kDepth = 16;  // numbers of a row that one mma takes
constexpr int kPad = 8;     // bf16 between rows in shared memory: no two of eight rows share banks

__host__ __device__ constexpr int RoundUp(int n, int to) { return (n + to - 1) / to * to; }
__host__ __device__ constexpr int DivideUp(int n, int by) { return (n + by - 1) / by; }

// Splits that give every one of `warps` some of `tiles`, but no more than there are depths.
__host__ __device__ constexpr int SplitsFor(int tiles, int depth, int warps) {
  const int pairs = DivideUp(tiles, 2);
  const int splits = warps / (pairs < warps ? pairs : warps);
  const int most = depth / kDepth;
  return splits < 1 ? 1 : splits < most ? splits : most;
}

// Weights of a slice in shared memory, [8 tiles, stride].
struct SharedWeights {
  const uint16_t* at;
  int stride;
  __device__ void Load(int tile, int depth, uint32_t (&b)[2]) const {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    LoadMatrices(b, at + (tile * kTile + lane % 8) * stride + depth + lane / 8 % 2 * 8);
  }
};

// Two neighbours of a row, zero from `length` on.
__device__ inline uint32_t LoadPair(const float* row, int k, int length) {
  return PackBf16(k < length ? row[k] : 0.0f, k + 1 < length ? row[k + 1] : 0.0f);
}

__device__ inline uint32_t LoadPair(const uint16_t* row, int k, int length) {
  const uint32_t low = k < length ? row[k] : 0u;
  const uint32_t high = k + 1 < length ? row[k + 1] : 0u;
  return low | high << 16;
}

// Weights where torch has them: row(r) is the row in global memory of row r of the slice, or -1.
template <class Weight, class Row>
struct GlobalWeights {
  const Weight* at;
  int64_t stride;
  int length;  // of a row, from `at`
  Row row;
  __device__ void Load(int tile, int depth, uint32_t (&b)[2]) const {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const int r = row(tile * kTile + lane / 4);
    const int k = depth + lane % 4 * 2;
    const Weight* from = at + (r < 0 ? 0 : r) * stride;
    b[0] = r < 0 ? 0u : LoadPair(from, k, length);
    b[1] = r < 0 ? 0u : LoadPair(from, k + 8, length);
  }
};

// rows [16, depth] x the slice's first `tiles` tiles -> sums. All warps; no barrier at the end.
template <class Weights>
__device__ inline void MultiplyRows(const uint16_t* rows, int stride, int depth,
                                    const Weights& weights, int tiles, int splits, float* sums) {
  const int warps = static_cast<int>(blockDim.x) / kLanes;
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int pairs = DivideUp(tiles, 2), steps = depth / kDepth, columns = tiles * kTile;
  for (int job = warp; job < pairs * splits; job += warps) {
    const int first = job % pairs * 2, split = job / pairs;
    const bool two = first + 1 < tiles;
    float low[4] = {}, high[4] = {};
    for (int step = steps * split / splits; step < steps * (split + 1) / splits; ++step) {
      uint32_t a[4], b[2];
      LoadMatrices(a, rows + lane % 16 * stride + step * kDepth + lane / 16 * 8);
      weights.Load(first, step * kDepth, b);
      MmaBf16(low, a, b);
      weights.Load(two ? first + 1 : first, step * kDepth, b);
      MmaBf16(high, a, b);
    }
    float* to = sums + (split * kRows + lane / 4) * columns + first * kTile + lane % 4 * 2;
    for (int half = 0; half < 2; ++half, to += 8 * columns) {
      to[0] = low[2 * half];
      to[1] = low[2 * half + 1];
      if (two) {
        to[kTile] = high[2 * half];
        to[kTile + 1] = high[2 * half + 1];
      }
    }
  }
}

// What all splits found for one row and column.
__device__ inline float SumOver(const float* sums, int splits, int columns, int row, int column) {
  float sum = 0.0f;
  for (int split = 0; split < splits; ++split) {
    sum += sums[(split * kRows + row) * columns + column];
  }
  return sum;
}

// Rows [row(r), columns first.. of length] of global memory -> bf16 [count, stride] at `to`; zeros
// where there are none, up to `depth`.
template <class Weight, class Row>
__device__ inline void TakeWeights(const Weight* from, int64_t from_stride, int length,
                                   const Row& row, int count, int depth, uint16_t* to, int stride) {
  const int pairs = depth / 2;
  for (int i = static_cast<int>(threadIdx.x); i < count * pairs;
       i += static_cast<int>(blockDim.x)) {
    const int r = row(i / pairs), k = i % pairs * 2;
    const uint32_t pair = r < 0 ? 0u : LoadPair(from + r * from_stride, k, length);
    *reinterpret_cast<uint32_t*>(to + i / pairs * stride + k) = pair;
  }
}

}  // namespace metabonk::cuda
