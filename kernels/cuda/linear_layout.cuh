// How blocks share a linear layer over weights in few bits: which tiles of outputs and which part
// of the sum a block takes, the numbers it multiplies, and where its shared memory keeps what. What
// the block does with that is linear.cu's; the processor asks for the same before a launch.
#pragma once

#include <device/decode.cuh>
#include <device/product.cuh>
#include <device/ptx.cuh>

namespace metabonk::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kLanes;

template <class Codes>
constexpr bool kIsInt8 = false;
template <>
constexpr bool kIsInt8<Int8Codes> = true;

template <bool kInt8>
struct Arithmetic {
  using Sum = float;
  static constexpr int kBytes = 2;  // of a number of x
  __device__ static void Mma(Sum (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    MmaBf16(sum, a, b);
  }
};
template <>
struct Arithmetic<true> {
  using Sum = int;
  static constexpr int kBytes = 1;
  __device__ static void Mma(Sum (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    MmaInt8(sum, a, b);
  }
};

// How `depth_blocks` blocks share the sum over the inputs of a group of tiles.
template <class Codes>
struct LinearLayout {
  static constexpr int kChunk = 4 * Codes::kCodes;  // inputs that a warp takes at once
  static constexpr int kBytes = Arithmetic<kIsInt8<Codes>>::kBytes;
  int depth_blocks, tiles, groups;
  int depth, chunks, splits;  // inputs of a block; of them at once; warps that share them
  int owned;                  // columns that a block adds up in the end
  int row, x, sums, inbox, maxima, bytes;  // of shared memory

  __host__ __device__ LinearLayout(int inputs, int outputs, int blocks, int multiprocessors)
      : depth_blocks(blocks) {
    const int all = DivideUp(outputs, kTile);
    const int wanted = multiprocessors / blocks > 0 ? multiprocessors / blocks : 1;
    tiles = DivideUp(all, wanted < all ? wanted : all);
    groups = DivideUp(all, tiles);
    depth = RoundUp(DivideUp(inputs, blocks), kChunk);
    chunks = depth / kChunk;
    splits = tiles >= kWarps ? 1 : kWarps / tiles;
    if (splits > chunks) splits = chunks;
    owned = RoundUp(DivideUp(tiles * kTile, blocks), 4);
    row = depth * kBytes + 16;  // no two of eight rows share banks
    x = 128;
    sums = RoundUp(x + kRows * row, 128);
    inbox = RoundUp(sums + splits * kRows * tiles * kTile * 4, 128);
    maxima = RoundUp(inbox + (blocks > 1 ? blocks * kRows * owned * 4 : 0), 128);
    bytes = maxima + (blocks + 2) * kRows * 4;
  }
};

}  // namespace
}  // namespace metabonk::cuda
