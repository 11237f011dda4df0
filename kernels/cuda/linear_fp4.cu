// A linear layer of at most sixteen rows where both sides are nvfp4 and the hardware multiplies
// them as they are: tensor memory on sm_100, mma.sync on sm_120.
//
// First every row of x becomes nvfp4 with a scale of its own, as csrc/nn/weights.h does it with a
// matrix of one row. Then a cluster of blocks takes 128 outputs and shares the length of the sum:
// weights are the tall side of the product, so that one instruction takes 128 of them. The blocks
// send each other their sums; each finishes 128 / blocks outputs.
#include <api.h>

#include <device/fp4.cuh>
#include <device/launch.cuh>
#include <device/product.cuh>
#include <device/ptx.cuh>

#pragma nv_diag_suppress 177  // most architectures have no use for most of this file

namespace metabonk::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kLanes;
constexpr int kOutputs = 128;  // of a cluster
constexpr int kK = 64;         // numbers of the sum that one instruction takes
constexpr int kBlock = 16;     // numbers that share a scale
constexpr float kLargestCode = 6.0f, kLargestScale = 448.0f;
constexpr float kTiny = 0x1p-100f;                  // rows whose largest is smaller count as zero
constexpr int kSumColumns = 16, kScaleColumns = 4;  // of tensor memory

// Rows of x as nvfp4, in the caller's scratch: codes [16, inputs / 2], scales [16, inputs / 16],
// one float32 per row.
struct Rows {
  uint8_t *codes, *scales;
  float* factors;
  __host__ __device__ Rows(void* scratch, int inputs)
      : codes(static_cast<uint8_t*>(scratch)),
        scales(codes + kRows * inputs / 2),
        factors(reinterpret_cast<float*>(scales + kRows * inputs / kBlock)) {}
  static int64_t Bytes(int inputs) {
    return kRows * (inputs / 2 + inputs / kBlock + static_cast<int64_t>(sizeof(float)));
  }
};

// One block per row; rows that are not there become zero.
__global__ void __launch_bounds__(kThreads) QuantizeRowsKernel(MetabonkCudaLinearFp4 linear) {
  constexpr float kInfinity = __builtin_huge_valf();
  float* maxima = reinterpret_cast<float*>(SharedMemory());
  const int row = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int inputs = row < linear.rows ? linear.inputs : 0;
  const float* x = linear.x + static_cast<int64_t>(row) * linear.inputs;
  const Rows to(linear.scratch, linear.inputs);
  float largest = 0.0f;
  for (int i = thread; i < inputs; i += kThreads) {
    const float size = x[i] < 0.0f ? -x[i] : x[i];
    largest = size <= largest ? largest : size < kInfinity ? size : kInfinity;  // NaN too
  }
  for (int mask = kLanes / 2; mask > 0; mask /= 2) {
    const float other = ShuffleXor(largest, mask);
    largest = other > largest ? other : largest;
  }
  if (thread % kLanes == 0) maxima[thread / kLanes] = largest;
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) {
    largest = maxima[warp] > largest ? maxima[warp] : largest;
  }
  const float factor = largest < kTiny ? 0.0f : largest / (kLargestCode * kLargestScale);
  if (thread == 0) to.factors[row] = factor;
  const int blocks = linear.inputs / kBlock;
  for (int block = thread; block < blocks; block += kThreads) {
    float numbers[kBlock], most = 0.0f;
    for (int i = 0; i < kBlock; ++i) {
      numbers[i] = inputs > 0 ? x[block * kBlock + i] : 0.0f;
      const float size = numbers[i] < 0.0f ? -numbers[i] : numbers[i];
      most = size > most ? size : most;
    }
    const uint8_t code = factor == 0.0f ? uint8_t{0} : ToE4m3(most / kLargestCode / factor);
    const float scale = MultiplyRounded(FromE4m3(code), factor);
    to.scales[row * blocks + block] = code;
    uint32_t words[2] = {};
    for (int i = 0; i < kBlock; ++i) {
      const uint32_t number = scale == 0.0f ? 0u : ToE2m1(numbers[i] / scale);
      words[i / 8] |= number << i % 8 * 4;
    }
    *reinterpret_cast<uint2*>(to.codes + (row * blocks + block) * 8) = {words[0], words[1]};
  }
}

// What a block keeps in shared memory: `steps` times sixty-four numbers of 128 rows of weights and
// of sixteen rows of x, in groups of eight rows by sixteen bytes; their scales, for each step 32
// rows of 16 bytes, four bytes for each of rows i, i + 32, i + 64, i + 96.
struct Fp4Layout {
  int blocks, steps, owned, columns;
  int weights, rows, weight_scales, row_scales, sums, inbox, bytes;
  static constexpr int kScaleBytes = 512;
  static constexpr int kSumStride = kRows + 4;

  __host__ __device__ Fp4Layout(int inputs, int cluster)
      : blocks(cluster),
        steps(DivideUp(inputs / kK, cluster)),
        owned(kOutputs / cluster),
        columns(32) {
    weights = 128;
    rows = weights + steps * kOutputs * kK / 2;
    weight_scales = rows + steps * kRows * kK / 2;
    row_scales = weight_scales + steps * kScaleBytes;
    sums = row_scales + steps * kScaleBytes;
    inbox = sums + kOutputs * kSumStride * 4;
    bytes = inbox + cluster * owned * kRows * 4;
    while (columns < kSumColumns + 2 * kScaleColumns * steps) columns *= 2;
  }
};

struct Fp4Block {
  const MetabonkCudaLinearFp4& linear;
  const Fp4Layout layout;
  uint8_t* const memory;
  const int rank, first_output, first_step, steps;

  __device__ Fp4Block(const MetabonkCudaLinearFp4& arguments, int blocks)
      : linear(arguments),
        layout(arguments.inputs, blocks),
        memory(SharedMemory()),
        rank(static_cast<int>(blockIdx.x) % blocks),
        first_output(static_cast<int>(blockIdx.x) / blocks * kOutputs),
        first_step(rank * layout.steps),
        steps(Steps(arguments.inputs / kK - first_step, layout.steps)) {}

  __device__ static int Steps(int left, int most) {
    return left < 0 ? 0 : left < most ? left : most;
  }
  __device__ static int Thread() { return static_cast<int>(threadIdx.x); }
  template <class T>
  __device__ T* At(int offset) const {
    return reinterpret_cast<T*>(memory + offset);
  }
  __device__ uint64_t* Arrived() const { return At<uint64_t>(0); }
  __device__ uint64_t* Multiplied() const { return At<uint64_t>(8); }

  __device__ void Begin() {
    if (Thread() == 0) {
      InitBarrier(Arrived());
      InitBarrier(Multiplied());
      ExpectBytes(Arrived(), static_cast<uint32_t>(layout.blocks * layout.owned * kRows * 4));
    }
    SyncCluster();
    const Rows rows(linear.scratch, linear.inputs);
    const int there = static_cast<int>(linear.outputs - first_output);
    Take(static_cast<const uint8_t*>(linear.codes), first_output, there, kOutputs, layout.weights);
    Take(rows.codes, 0, kRows, kRows, layout.rows);
    TakeScales(static_cast<const uint8_t*>(linear.scales), first_output, there, kOutputs,
               layout.weight_scales);
    TakeScales(rows.scales, 0, kRows, kRows, layout.row_scales);
    WaitForCopies();
  }

  // Codes of `count` rows from `first`, `there` of which exist, into groups of eight by 16 bytes.
  __device__ void Take(const uint8_t* from, int64_t first, int there, int count, int to) const {
    const int64_t stride = linear.inputs / 2;
    const int pieces = steps * 2;
    for (int i = Thread(); i < count * pieces; i += kThreads) {
      const int row = i / pieces, piece = i % pieces;
      uint8_t* at = memory + to + (piece * (count / 8) + row / 8) * 128 + row % 8 * 16;
      if (row < there) {
        CopyAsync16(at, from + (first + row) * stride + (first_step * 2 + piece) * 16);
      } else {
        *reinterpret_cast<uint4*>(at) = {0, 0, 0, 0};
      }
    }
  }

  __device__ void TakeScales(const uint8_t* from, int64_t first, int there, int count,
                             int to) const {
    const int64_t stride = linear.inputs / kBlock;
    for (int i = Thread(); i < kOutputs * steps; i += kThreads) {
      const int row = i / steps, step = i % steps;
      uint8_t* at = memory + to + step * Fp4Layout::kScaleBytes + row % 32 * 16 + row / 32 * 4;
      if (row < count && row < there) {
        CopyAsync4(at, from + (first + row) * stride + (first_step + step) * 4);
      } else {
        *reinterpret_cast<uint32_t*>(at) = 0;
      }
    }
  }

  // An output's sums for all rows of x, to the block that finishes it.
  __device__ void Send(int output, int first_row, const float* four) const {
    float* inbox = At<float>(layout.inbox) + (rank * layout.owned + output % layout.owned) * kRows;
    union {
      float sums[4];
      uint4 words;
    } both = {{four[0], four[1], four[2], four[3]}};
    Send16(inbox + first_row, Arrived(), static_cast<unsigned>(output / layout.owned), both.words);
  }

  __device__ void Finish() const {
    WaitForBytes(Arrived(), 0);
    const Rows rows(linear.scratch, linear.inputs);
    for (int i = Thread(); i < layout.owned * kRows; i += kThreads) {
      const int row = i / layout.owned, mine = i % layout.owned;
      const int64_t output = first_output + rank * layout.owned + mine;
      if (row >= linear.rows || output >= linear.outputs) continue;
      float y = 0.0f;
      for (int from = 0; from < layout.blocks; ++from) {
        y += At<float>(layout.inbox)[(from * layout.owned + mine) * kRows + row];
      }
      y *= rows.factors[row] * *linear.tensor_scale;
      if (linear.bias != nullptr) y = AddRounded(y, linear.bias[output]);
      linear.y[row * static_cast<int64_t>(linear.outputs) + output] = y;
    }
  }
};

#ifdef METABONK_FP4_WARPS
// sm_120: every warp takes 32 outputs. Rows of x are the instruction's tall side.
__device__ inline void MultiplyByWarps(const Fp4Block& block) {
  __syncthreads();
  const int lane = Fp4Block::Thread() % kLanes, warp = Fp4Block::Thread() / kLanes;
  const int r = lane / 4, q = lane % 4;
  const Fp4Layout& layout = block.layout;
  float sum[4][4] = {};
  for (int step = 0; step < block.steps; ++step) {
    // Sixteen bytes of eight rows are 128; a step is two such of every eight rows.
    const auto word = [&](int base, int groups, int row, int half) {
      const int at = ((step * 2 + half) * groups + row / 8) * 128 + row % 8 * 16 + q * 4;
      return *block.At<uint32_t>(base + at);
    };
    const auto scales = [&](int base, int row) {
      const int at = step * Fp4Layout::kScaleBytes + row % 32 * 16 + row / 32 * 4;
      return *block.At<uint32_t>(base + at);
    };
    const uint32_t a[4] = {word(layout.rows, 2, r, 0), word(layout.rows, 2, r + 8, 0),
                           word(layout.rows, 2, r, 1), word(layout.rows, 2, r + 8, 1)};
    const uint32_t a_scales = scales(layout.row_scales, r + q % 2 * 8);
#pragma unroll
    for (int tile = 0; tile < 4; ++tile) {
      const int output = warp * 32 + tile * kTile + r;
      const uint32_t b[2] = {word(layout.weights, 16, output, 0),
                             word(layout.weights, 16, output, 1)};
      MmaFp4(sum[tile], a, b, a_scales, scales(layout.weight_scales, output));
    }
  }
  float* sums = block.At<float>(layout.sums);  // of each thread's own output after this
  for (int tile = 0; tile < 4; ++tile) {
    for (int i = 0; i < 4; ++i) {
      const int output = warp * 32 + tile * kTile + q * 2 + i % 2;
      sums[output * Fp4Layout::kSumStride + r + i / 2 * 8] = sum[tile][i];
    }
  }
  SyncWarp();
  for (int row = 0; row < kRows; row += 4) {
    block.Send(Fp4Block::Thread(), row, sums + Fp4Block::Thread() * Fp4Layout::kSumStride + row);
  }
}
#endif

#ifdef METABONK_FP4_TENSOR_MEMORY
// sm_100: one thread starts all products; every thread then has one output's row of sums.
__device__ inline void MultiplyInTensorMemory(const Fp4Block& block) {
  const Fp4Layout& layout = block.layout;
  uint32_t* where = block.At<uint32_t>(16);
  if (Fp4Block::Thread() < kLanes) ReserveTensorMemory(where, layout.columns);
  PublishToTensorCores();
  BeforeTensorBarrier();
  __syncthreads();
  AfterTensorBarrier();
  const uint32_t sums = *where;
  if (Fp4Block::Thread() == 0) {
    for (int step = 0; step < block.steps; ++step) {
      const uint32_t a_scales = sums + kSumColumns + 2 * kScaleColumns * step;
      const uint32_t b_scales = a_scales + kScaleColumns;
      const int scales = step * Fp4Layout::kScaleBytes;
      CopyScales(a_scales, MatrixDescriptor(block.memory + layout.weight_scales + scales, 0, 128));
      CopyScales(b_scales, MatrixDescriptor(block.memory + layout.row_scales + scales, 0, 128));
      constexpr int kTall = kOutputs * 16, kFlat = kRows * 16;  // bytes of sixteen of every row
      MmaTensorFp4(sums,
                   MatrixDescriptor(block.memory + layout.weights + 2 * step * kTall, kTall, 128),
                   MatrixDescriptor(block.memory + layout.rows + 2 * step * kFlat, kFlat, 128),
                   Fp4Instruction(kRows), a_scales, b_scales, step > 0);
    }
    CommitTensor(block.Multiplied());
  }
  WaitForBytes(block.Multiplied(), 0);
  AfterTensorBarrier();
  float row[kRows] = {};
  if (block.steps > 0) LoadTensor(row, sums);
#pragma unroll
  for (int i = 0; i < kRows; i += 4) block.Send(Fp4Block::Thread(), i, row + i);
  BeforeTensorBarrier();
  __syncthreads();
  AfterTensorBarrier();
  if (Fp4Block::Thread() < kLanes) ReleaseTensorMemory(sums, layout.columns);
}
#endif

enum class Way { kByWarps, kInTensorMemory };

template <Way kWay>
__global__ void __launch_bounds__(kThreads)
    LinearFp4Kernel(MetabonkCudaLinearFp4 linear, int blocks) {
#ifdef METABONK_FP4_WARPS
  if constexpr (kWay == Way::kByWarps) {
    Fp4Block block(linear, blocks);
    block.Begin();
    MultiplyByWarps(block);
    block.Finish();
  }
#endif
#ifdef METABONK_FP4_TENSOR_MEMORY
  if constexpr (kWay == Way::kInTensorMemory) {
    Fp4Block block(linear, blocks);
    block.Begin();
    MultiplyInTensorMemory(block);
    block.Finish();
  }
#endif
}

}  // namespace
}  // namespace metabonk::cuda

int64_t metabonk_cuda_linear_fp4_scratch(int inputs) {
  return inputs < 1 ? 0 : metabonk::cuda::Rows::Bytes(inputs);
}

int metabonk_cuda_linear_fp4(const MetabonkCudaLinearFp4* linear, void* stream) {
  using namespace metabonk::cuda;
  constexpr int kMostInputs = 1 << 16, kMostOutputs = 1 << 24, kMostColumns = 512;
  if (linear->rows < 1 || linear->rows > kRows || linear->inputs < kK ||
      linear->inputs > kMostInputs || linear->inputs % kK != 0 || linear->outputs < 1 ||
      linear->outputs > kMostOutputs) {
    return kMetabonkCudaBadSize;
  }
  Limits limits;
  if (const int e = LimitsOfDevice(&limits)) return e;
  if (limits.major != 10 && limits.major != 12) return kMetabonkCudaBadDevice;
  constexpr int kBlocks = 8;
  const Fp4Layout layout(linear->inputs, kBlocks);
  if (layout.bytes > limits.shared_bytes || layout.columns > kMostColumns) {
    return kMetabonkCudaNoRoom;
  }
  if (const int e =
          Launch(QuantizeRowsKernel, {kRows, kThreads, kWarps * sizeof(float)}, stream, *linear))
    return e;
  const LaunchShape shape{DivideUp(linear->outputs, kOutputs) * kBlocks, kThreads,
                          static_cast<size_t>(layout.bytes), kBlocks};
  return limits.major == 10
             ? Launch(LinearFp4Kernel<Way::kInTensorMemory>, shape, stream, *linear, kBlocks)
             : Launch(LinearFp4Kernel<Way::kByWarps>, shape, stream, *linear, kBlocks);
}
