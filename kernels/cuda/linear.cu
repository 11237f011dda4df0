// A linear layer of few rows over weights in few bits: what it costs is reading the weights.
//
// A cluster of blocks takes some tiles of eight outputs and shares the length of the sum, so that
// every block reads its own part of x only; a warp reads sixteen bytes of eight rows of weights at
// a time, several such ahead, and makes operands of them in registers (decode.cuh). The blocks then
// send each other their sums. Formats other than int8 meet x rounded to bf16; int8 meets rows of x
// as codes with a scale, and gives the same bits as metabonk/ops/qlinear.py.
#include <api.h>

#include <device/decode.cuh>
#include <device/launch.cuh>
#include <device/product.cuh>
#include <device/ptx.cuh>
#include <linear_layout.cuh>

namespace metabonk::cuda {
namespace {

constexpr int kAhead = 4;  // loads of sixteen bytes that a lane has under way
constexpr float kLargestCode = 127.0f;
constexpr float kTiny = 0x1p-100f;  // rows whose largest is smaller count as zero

template <class Codes, bool kClustered>
struct LinearBlock {
  using Layout = LinearLayout<Codes>;
  using Math = Arithmetic<kIsInt8<Codes>>;
  using Sum = typename Math::Sum;
  static constexpr int kChunk = Layout::kChunk;

  const MetabonkCudaLinear& linear;
  const Layout layout;
  uint8_t* const memory;
  const int rank, first_tile, first_row, first_input;

  __device__ LinearBlock(const MetabonkCudaLinear& arguments, int blocks, int multiprocessors)
      : linear(arguments),
        layout(arguments.inputs, arguments.outputs, blocks, multiprocessors),
        memory(SharedMemory()),
        rank(static_cast<int>(blockIdx.x) % blocks),
        first_tile(static_cast<int>(blockIdx.x) / blocks % layout.groups * layout.tiles),
        first_row(static_cast<int>(blockIdx.x) / blocks / layout.groups * kRows),
        first_input(rank * layout.depth) {}

  template <class T>
  __device__ T* At(int offset) const {
    return reinterpret_cast<T*>(memory + offset);
  }
  __device__ static int Thread() { return static_cast<int>(threadIdx.x); }
  __device__ static int Lane() { return Thread() % kLanes; }
  __device__ uint64_t* Barrier(int i) const { return At<uint64_t>(8 * i); }
  __device__ int Columns() const { return layout.tiles * kTile; }

  __device__ void Run() {
    if constexpr (kClustered) {
      if (Thread() == 0) {
        InitBarrier(Barrier(0));
        InitBarrier(Barrier(1));
        ExpectBytes(Barrier(0), static_cast<uint32_t>(layout.depth_blocks * kRows * 4));
        const int sums = layout.depth_blocks * kRows * layout.owned * 4;
        ExpectBytes(Barrier(1), static_cast<uint32_t>(sums));
      }
      SyncCluster();
    }
    Weights weights(*this);
    weights.Prime();
    TakeRows();
    __syncthreads();
    weights.Multiply();
    __syncthreads();
    AddUp();
  }

  // What a warp reads: its part of the chunks of its tiles, tile by tile.
  struct Weights {
    const LinearBlock& block;
    int tile, tile_step, chunk_begin, chunk_end, count;
    struct Load {
      uint4 codes;
      uint32_t factors[Codes::kCodes / 16 > 0 ? Codes::kCodes / 16 : 1];
    } ahead[kAhead];

    __device__ explicit Weights(const LinearBlock& of) : block(of) {
      const int warp = Thread() / kLanes, splits = block.layout.splits;
      tile = warp / splits;
      tile_step = kWarps / splits;
      const int split = warp % splits, chunks = block.layout.chunks;
      chunk_begin = chunks * split / splits;
      chunk_end = chunks * (split + 1) / splits;
      const int tiles = tile < block.layout.tiles && warp / splits < tile_step
                            ? DivideUp(block.layout.tiles - tile, tile_step)
                            : 0;
      count = tiles * (chunk_end - chunk_begin);
    }

    __device__ Load Take(int item) const {
      const int chunks = chunk_end - chunk_begin;
      Load load = {};
      const int64_t row =
          (block.first_tile + tile + item / chunks * tile_step) * kTile + Lane() / 4;
      const int input =
          block.first_input + (chunk_begin + item % chunks) * kChunk + Lane() % 4 * Codes::kCodes;
      const MetabonkCudaLinear& linear = block.linear;
      if (item >= count || row >= linear.outputs || input >= linear.inputs) return load;
      load.codes = block.TakeCodes(row, input);
      if constexpr (Codes::kBlock > 0) {
        const int64_t blocks = DivideUp(linear.stride, Codes::kBlock);
        for (int i = 0; i < static_cast<int>(sizeof load.factors / 4); ++i) {
          const int from = input / Codes::kBlock + i;
          if (from < blocks) {
            load.factors[i] =
                Codes::Factor(static_cast<const uint8_t*>(linear.scales), row * blocks + from);
          }
        }
      }
      return load;
    }

    __device__ void Prime() {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) ahead[i] = Take(i);
    }

    __device__ void Multiply() {
      Sum sum[4] = {};
      const int chunks = chunk_end - chunk_begin;
      for (int first = 0; first < count; first += kAhead) {
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          const int item = first + i;
          const Load load = ahead[i];
          ahead[i] = Take(item + kAhead);
          if (item >= count) continue;
          block.MultiplyChunk(load, chunk_begin + item % chunks, sum);
          if (item % chunks + 1 < chunks) continue;
          block.Store(sum, tile + item / chunks * tile_step,
                      Thread() / kLanes % block.layout.splits);
          for (Sum& s : sum) s = 0;
        }
      }
    }
  };

  // Sixteen bytes of a row of codes; what is beyond the row is zero.
  __device__ uint4 TakeCodes(int64_t row, int input) const {
    const int64_t length = Codes::kCodes == 32  ? (linear.stride + 1) / 2
                           : Codes::kCodes == 8 ? 2 * static_cast<int64_t>(linear.stride)
                                                : linear.stride;
    const int64_t at = static_cast<int64_t>(input) * 16 / Codes::kCodes;
    const uint8_t* from = static_cast<const uint8_t*>(linear.codes) + row * length + at;
    if (length % 16 == 0) return LoadStreaming16(from);
    uint32_t words[4] = {};
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      if (at + i < length) words[i / 4] |= static_cast<uint32_t>(from[i]) << i % 4 * 8;
    }
    return {words[0], words[1], words[2], words[3]};
  }

  __device__ void MultiplyChunk(const typename Weights::Load& load, int chunk,
                                Sum (&sum)[4]) const {
    // As many bytes of two rows of x as the codes stand for: eight rows apart.
    constexpr int kWords = Codes::kCodes * Layout::kBytes / 4;
    const uint8_t* near = memory + layout.x + Lane() / 4 * layout.row +
                          (chunk * kChunk + Lane() % 4 * Codes::kCodes) * Layout::kBytes;
    const uint8_t* far = near + 8 * layout.row;
    const uint32_t codes[4] = {load.codes.x, load.codes.y, load.codes.z, load.codes.w};
#pragma unroll
    for (int quad = 0; quad < kWords / 4; ++quad) {
      const uint4 low = reinterpret_cast<const uint4*>(near)[quad];
      const uint4 high = reinterpret_cast<const uint4*>(far)[quad];
      const uint32_t first[4] = {low.x, high.x, low.y, high.y};
      const uint32_t second[4] = {low.z, high.z, low.w, high.w};
      uint32_t b[2];
      Codes::Operands(codes, 2 * quad, load.factors, b);
      Math::Mma(sum, first, b);
      Codes::Operands(codes, 2 * quad + 1, load.factors, b);
      Math::Mma(sum, second, b);
    }
  }

  __device__ void Store(const Sum (&sum)[4], int tile, int split) const {
    Sum* to = At<Sum>(layout.sums) + (split * kRows + Lane() / 4) * Columns() + tile * kTile +
              Lane() % 4 * 2;
    for (int i = 0; i < 4; ++i) to[i / 2 * 8 * Columns() + i % 2] = sum[i];
  }

  __device__ float X(int row, int k) const {
    const int input = first_input + k;
    if (first_row + row >= linear.rows || input >= linear.inputs) return 0.0f;
    return linear.x[static_cast<int64_t>(first_row + row) * linear.inputs + input];
  }

  // The block's part of x in the order of the operands.
  __device__ void TakeRows() {
    if constexpr (kIsInt8<Codes>) FindScales();
    for (int i = Thread(); i < kRows * layout.depth; i += kThreads) {
      const int row = i / layout.depth, k = i % layout.depth;
      const int place = k / Codes::kCodes * Codes::kCodes + Codes::Place(k % Codes::kCodes);
      uint8_t* to = memory + layout.x + row * layout.row + place * Layout::kBytes;
      if constexpr (kIsInt8<Codes>) {
        *to = static_cast<uint8_t>(RoundToInt(MultiplyRounded(X(row, k), Factor(row))));
      } else {
        *reinterpret_cast<uint16_t*>(to) = static_cast<uint16_t>(PackBf16(X(row, k), 0.0f));
      }
    }
  }

  // Of int8: what a row of x is multiplied by to give codes, and what codes are worth.
  __device__ float Factor(int row) const { return Scales()[row]; }
  __device__ float Scale(int row) const { return Scales()[kRows + row]; }
  __device__ float* Scales() const {
    return At<float>(layout.maxima) + layout.depth_blocks * kRows;
  }

  __device__ void FindScales() {
    constexpr float kInfinity = __builtin_huge_valf();
    const int warp = Thread() / kLanes;
    float* maxima = At<float>(layout.maxima);
    for (int row = warp; row < kRows; row += kWarps) {
      float largest = 0.0f;
      for (int k = Lane(); k < layout.depth; k += kLanes) {
        const float x = X(row, k), size = x < 0.0f ? -x : x;
        largest = size <= largest ? largest : size < kInfinity ? size : kInfinity;  // NaN too
      }
      for (int mask = kLanes / 2; mask > 0; mask /= 2) {
        const float other = ShuffleXor(largest, mask);
        largest = other > largest ? other : largest;
      }
      if (Lane() == 0) Scales()[row] = largest;
    }
    __syncthreads();
    ShareMaxima();
    if (Thread() < kRows) {
      float largest = 0.0f;
      for (int i = 0; i < layout.depth_blocks; ++i) {
        const float other = maxima[i * kRows + Thread()];
        largest = other > largest ? other : largest;
      }
      const bool small = largest < kTiny, infinite = largest == kInfinity;
      Scales()[Thread()] = small || infinite ? 0.0f : kLargestCode / largest;
      Scales()[kRows + Thread()] = small      ? 0.0f
                                   : infinite ? __builtin_nanf("")
                                              : largest / kLargestCode;
    }
    __syncthreads();
  }

  // Every block's largest of its part, in all blocks.
  __device__ void ShareMaxima() {
    float* maxima = At<float>(layout.maxima);
    if constexpr (kClustered) {
      if (Thread() < 4 * layout.depth_blocks) {
        const int quad = Thread() % 4;
        Send16(maxima + rank * kRows + 4 * quad, Barrier(0), static_cast<unsigned>(Thread() / 4),
               reinterpret_cast<const uint4*>(Scales())[quad]);
      }
      WaitForBytes(Barrier(0), 0);
      __syncthreads();  // all have sent what Scales() held
    } else {
      if (Thread() < kRows) maxima[Thread()] = Scales()[Thread()];
      __syncthreads();
    }
  }

  // Sums of all warps, then of all blocks, and what remains of the formula.
  __device__ void AddUp() {
    if constexpr (kClustered) {
      const int quads = layout.owned / 4;
      for (int i = Thread(); i < layout.depth_blocks * kRows * quads; i += kThreads) {
        const int to = i % layout.depth_blocks, quad = i / layout.depth_blocks % quads;
        const int row = i / layout.depth_blocks / quads;
        Sum four[4];
        for (int j = 0; j < 4; ++j) four[j] = Local(row, to * layout.owned + 4 * quad + j);
        Sum* inbox = At<Sum>(layout.inbox) + (rank * kRows + row) * layout.owned + 4 * quad;
        Send16(inbox, Barrier(1), static_cast<unsigned>(to), AsWords(four));
      }
      WaitForBytes(Barrier(1), 0);
    }
    const int owned = kClustered ? layout.owned : Columns();
    for (int i = Thread(); i < kRows * owned; i += kThreads) {
      const int row = i / owned, column = (kClustered ? rank * owned : 0) + i % owned;
      Sum sum = 0;
      if constexpr (kClustered) {
        for (int from = 0; from < layout.depth_blocks; ++from) {
          sum += At<Sum>(layout.inbox)[(from * kRows + row) * owned + i % owned];
        }
      } else {
        sum = Local(row, column);
      }
      Finish(row, column, sum);
    }
  }

  __device__ static uint4 AsWords(const Sum (&four)[4]) {
    union {
      Sum sums[4];
      uint4 words;
    } both = {{four[0], four[1], four[2], four[3]}};
    return both.words;
  }

  __device__ Sum Local(int row, int column) const {
    Sum sum = 0;
    if (column >= Columns()) return sum;
    for (int split = 0; split < layout.splits; ++split) {
      sum += At<Sum>(layout.sums)[(split * kRows + row) * Columns() + column];
    }
    return sum;
  }

  __device__ void Finish(int row, int column, Sum sum) const {
    const int64_t output = static_cast<int64_t>(first_tile) * kTile + column;
    if (column >= Columns() || output >= linear.outputs || first_row + row >= linear.rows) return;
    float y = static_cast<float>(sum) * Codes::kLeft;
    if constexpr (kIsInt8<Codes>) {
      const float scale = static_cast<const float*>(linear.scales)[output];
      y = MultiplyRounded(y, MultiplyRounded(Scale(row), scale));
    } else if (linear.format == kMetabonkCudaFp8) {
      y *= static_cast<const float*>(linear.scales)[output];
    } else if (linear.format == kMetabonkCudaNvfp4) {
      y *= *linear.tensor_scale;
    }
    if (linear.bias != nullptr) y = AddRounded(y, linear.bias[output]);
    linear.y[static_cast<int64_t>(first_row + row) * linear.outputs + output] = y;
  }
};

template <class Codes, bool kClustered>
__global__ void __launch_bounds__(kThreads, 1)
    LinearKernel(MetabonkCudaLinear linear, int blocks, int multiprocessors) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  if constexpr (!kClustered) LinearBlock<Codes, false>(linear, blocks, multiprocessors).Run();
#else
  LinearBlock<Codes, kClustered>(linear, blocks, multiprocessors).Run();
#endif
}

// Blocks that share the sum: as many as have some chunks each, where the device has clusters.
template <class Codes>
int Start(const MetabonkCudaLinear& linear, void* stream) {
  Limits limits;
  if (const int e = LimitsOfDevice(&limits)) return e;
  const int chunks = DivideUp(linear.inputs, LinearLayout<Codes>::kChunk);
  int blocks = 1;
  while (limits.major >= 9 && blocks < 8 && 2 * blocks <= chunks) blocks *= 2;
  const int available = limits.multiprocessors;
  const LinearLayout<Codes> layout(linear.inputs, linear.outputs, blocks, available);
  if (layout.bytes > limits.shared_bytes) return kMetabonkCudaNoRoom;
  const LaunchShape shape{DivideUp(linear.rows, kRows) * layout.groups * blocks, kThreads,
                          static_cast<size_t>(layout.bytes), blocks};
  return blocks > 1 ? Launch(LinearKernel<Codes, true>, shape, stream, linear, blocks, available)
                    : Launch(LinearKernel<Codes, false>, shape, stream, linear, blocks, available);
}

}  // namespace
}  // namespace metabonk::cuda

int metabonk_cuda_linear(const MetabonkCudaLinear* linear, void* stream) {
  using namespace metabonk::cuda;
  constexpr int kMostInputs = 1 << 16, kMostOutputs = 1 << 24;
  if (linear->rows < 1 || linear->rows > kMetabonkCudaLinearRows || linear->inputs < 1 ||
      linear->inputs > kMostInputs || linear->outputs < 1 || linear->outputs > kMostOutputs ||
      linear->stride < linear->inputs) {
    return kMetabonkCudaBadSize;
  }
  switch (linear->format) {
    case kMetabonkCudaInt8:
      return Start<Int8Codes>(*linear, stream);
    case kMetabonkCudaBf16:
      return Start<Bf16Codes>(*linear, stream);
    case kMetabonkCudaFp8:
      return Start<Fp8Codes>(*linear, stream);
    case kMetabonkCudaMxfp8:
      return Start<Mxfp8Codes>(*linear, stream);
    case kMetabonkCudaNvfp4:
      return Start<Nvfp4Codes>(*linear, stream);
    default:
      return kMetabonkCudaBadSize;
  }
}
