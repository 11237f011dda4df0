// The closed-form continuous-time cell over T steps, weights stationary in the shared memory of a
// cluster of blocks (sm_90 and up), or streamed from the second cache where they do not fit.
//
// A cluster takes sixteen rows. Each of its blocks owns a slice of the backbone's units and of the
// state's, and all four heads of the latter; twice a step every block sends what it has found to
// all others, 16 bytes at a time, counted by the receivers' barriers. One buffer for z and one for
// h are enough: a block sends h(t) only when it has all of z(t), which every other block sends only
// when it is done with h(t-1); and likewise for z. So every block must own some of both. What a
// step's input adds is multiplied while the state is on its way. Before sm_90 a cluster is one
// block.
#include <api.h>

#include <device/launch.cuh>
#include <device/product.cuh>
#include <device/ptx.cuh>

namespace metabonk::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kLanes;

// How a cluster of `blocks` shares the units, and what a block keeps in shared memory.
struct CfcLayout {
  int blocks;
  int x_depth, h_depth, z_depth;  // sizes rounded to what an mma takes
  int z_tiles, h_tiles;           // eights of units that there are
  int z_share, h_share;           // of them, of one block
  int x_splits, h_splits, z_splits;
  int rows_x, rows_h, rows_z, w_in, w_heads, staged, sums_z, sums_h, slice, bytes;  // offsets

  __host__ __device__ CfcLayout(int inputs, int hidden, int backbone, int cluster, bool resident)
      : blocks(cluster),
        x_depth(RoundUp(inputs, kDepth)),
        h_depth(RoundUp(hidden, kDepth)),
        z_depth(RoundUp(backbone, kDepth)),
        z_tiles(DivideUp(backbone, kTile)),
        h_tiles(DivideUp(hidden, kTile)),
        z_share(DivideUp(z_tiles, cluster)),
        h_share(DivideUp(h_tiles, cluster)),
        x_splits(SplitsFor(z_share, x_depth, kWarps)),
        h_splits(SplitsFor(z_share, h_depth, kWarps)),
        z_splits(SplitsFor(4 * h_share, z_depth, kWarps)) {
    int at = 128;  // the barriers
    rows_x = Take(&at, kRows * (x_depth + kPad) * 2);
    rows_h = Take(&at, kRows * (h_depth + kPad) * 2);
    rows_z = Take(&at, kRows * (z_depth + kPad) * 2);
    staged = Take(&at, kRows * x_depth * 4);
    sums_z = Take(&at, (x_splits + h_splits) * kRows * z_share * kTile * 4);
    sums_h = Take(&at, z_splits * kRows * 4 * h_share * kTile * 4);
    slice = Take(&at, kRows * (z_share > h_share ? z_share : h_share) * kTile * 2);
    w_in = Take(&at, resident ? z_share * kTile * (x_depth + h_depth + kPad) * 2 : 0);
    w_heads = Take(&at, resident ? 4 * h_share * kTile * (z_depth + kPad) * 2 : 0);
    bytes = at;
  }

 private:
  __host__ __device__ static int Take(int* at, int size) {
    const int here = *at;
    *at = RoundUp(here + size, 128);
    return here;
  }
};

// A block's part of the units: tiles first.. of `count`, which end before unit `end`.
struct Share {
  int first, count, end;
  __device__ Share(int tiles, int rank, int blocks, int units)
      : first(tiles * rank / blocks), count(tiles * (rank + 1) / blocks - first) {
    end = (first + count) * kTile < units ? (first + count) * kTile : units;
  }
  // The unit that a column of the block's slice is, or -1.
  __device__ int Unit(int column) const {
    const int unit = first * kTile + column;
    return unit < end ? unit : -1;
  }
};

// Sixteen rows on one block of a cluster.
template <class Weight, bool kResident, bool kClustered>
struct CfcBlock {
  const MetabonkCudaCfc& cfc;
  const CfcLayout layout;
  uint8_t* const memory;
  const int first_row;
  const Share z, h;

  __device__ CfcBlock(const MetabonkCudaCfc& arguments, int cluster)
      : cfc(arguments),
        layout(arguments.inputs, arguments.hidden, arguments.backbone, cluster, kResident),
        memory(SharedMemory()),
        first_row(static_cast<int>(blockIdx.x) / cluster * kRows),
        z(layout.z_tiles, static_cast<int>(blockIdx.x) % cluster, cluster, arguments.backbone),
        h(layout.h_tiles, static_cast<int>(blockIdx.x) % cluster, cluster, arguments.hidden) {}

  template <class T>
  __device__ T* At(int offset) const {
    return reinterpret_cast<T*>(memory + offset);
  }
  __device__ uint64_t* ZBarrier() const { return At<uint64_t>(0); }
  __device__ uint64_t* HBarrier() const { return At<uint64_t>(8); }
  __device__ static int Thread() { return static_cast<int>(threadIdx.x); }
  __device__ bool Exists(int row) const { return first_row + row < cfc.rows; }
  __device__ int64_t At(int step, int row) const {
    return static_cast<int64_t>(step) * cfc.rows + first_row + row;
  }
  __device__ float Keep(int step, int row) const {
    return cfc.keep == nullptr || !Exists(row) ? 1.0f : cfc.keep[At(step, row)];
  }

  // Rows of the weights in global memory that rows of the block's slices are.
  __device__ auto ZRow() const {
    return [share = z](int r) { return share.Unit(r); };
  }
  __device__ auto HeadRow() const {
    return [share = h, columns = layout.h_share * kTile, hidden = cfc.hidden](int r) {
      const int unit = share.Unit(r % columns);
      return unit < 0 ? -1 : r / columns * hidden + unit;
    };
  }

  __device__ void Run() {
    Begin();
    MultiplyInput();
    for (int step = 0; step < cfc.steps; ++step) {
      Arm(step);
      if (step + 1 < cfc.steps) StageInput(step + 1);
      if (step > 0) Wait(HBarrier(), step - 1);
      MultiplyState();
      __syncthreads();
      FinishBackbone(step);
      __syncthreads();
      Send(At<uint16_t>(layout.rows_z), layout.z_depth, layout.z_share, z, ZBarrier());
      Wait(ZBarrier(), step);
      MultiplyHeads();
      __syncthreads();
      FinishState(step);
      WaitForCopies();
      __syncthreads();
      if (step + 1 == cfc.steps) break;
      Send(At<uint16_t>(layout.rows_h), layout.h_depth, layout.h_share, h, HBarrier());
      TakeInput();
      __syncthreads();
      MultiplyInput();
    }
  }

  // Weights, the first state and the first input; everything else zero.
  __device__ void Begin() {
    const int words = layout.w_in / 4;
    for (int i = Thread(); i < words; i += kThreads) At<uint32_t>(0)[i] = 0;
    __syncthreads();
    if constexpr (kClustered) {
      if (Thread() == 0) {
        InitBarrier(ZBarrier());
        InitBarrier(HBarrier());
      }
    }
    StageInput(0);
    if constexpr (kResident) TakeAllWeights();
    uint16_t* rows = At<uint16_t>(layout.rows_h);
    const int pairs = layout.h_depth / 2, stride = layout.h_depth + kPad;
    for (int i = Thread(); i < kRows * pairs; i += kThreads) {
      const int row = i / pairs, k = i % pairs * 2;
      if (!Exists(row)) continue;
      const float* from = cfc.h + static_cast<int64_t>(first_row + row) * cfc.hidden;
      const float keep = Keep(0, row);
      const float low = k < cfc.hidden ? from[k] * keep : 0.0f;
      const float high = k + 1 < cfc.hidden ? from[k + 1] * keep : 0.0f;
      *reinterpret_cast<uint32_t*>(rows + row * stride + k) = PackBf16(low, high);
    }
    WaitForCopies();
    if constexpr (kClustered) {
      SyncCluster();  // nobody sends before all barriers are there, nor before h is taken
    }
    __syncthreads();
    TakeInput();
    __syncthreads();
  }

  __device__ void TakeAllWeights() {
    const Weight* w_in = static_cast<const Weight*>(cfc.w_in);
    const int64_t width = cfc.inputs + cfc.hidden;
    const int stride = layout.x_depth + layout.h_depth + kPad;
    uint16_t* to = At<uint16_t>(layout.w_in);
    TakeWeights(w_in, width, cfc.inputs, ZRow(), layout.z_share * kTile, layout.x_depth, to,
                stride);
    TakeWeights(w_in + cfc.inputs, width, cfc.hidden, ZRow(), layout.z_share * kTile,
                layout.h_depth, to + layout.x_depth, stride);
    TakeWeights(static_cast<const Weight*>(cfc.w_heads), cfc.backbone, cfc.backbone, HeadRow(),
                4 * layout.h_share * kTile, layout.z_depth, At<uint16_t>(layout.w_heads),
                layout.z_depth + kPad);
  }

  // The step's rows of x on their way into shared memory as they are.
  __device__ void StageInput(int step) {
    float* to = At<float>(layout.staged);
    const float* from = cfc.x + At(step, 0) * cfc.inputs;
    const int rows = cfc.rows - first_row < kRows ? cfc.rows - first_row : kRows;
    if (cfc.inputs % 4 == 0) {
      const int quads = cfc.inputs / 4;
      for (int i = Thread(); i < rows * quads; i += kThreads) {
        CopyAsync16(to + i / quads * layout.x_depth + i % quads * 4, from + i * 4);
      }
    } else {
      for (int i = Thread(); i < rows * cfc.inputs; i += kThreads) {
        CopyAsync4(to + i / cfc.inputs * layout.x_depth + i % cfc.inputs, from + i);
      }
    }
  }

  __device__ void TakeInput() {
    const float* from = At<float>(layout.staged);
    uint16_t* to = At<uint16_t>(layout.rows_x);
    const int pairs = layout.x_depth / 2;
    for (int i = Thread(); i < kRows * pairs; i += kThreads) {
      const int k = i % pairs * 2;
      uint16_t* at = to + i / pairs * (layout.x_depth + kPad) + k;
      *reinterpret_cast<uint32_t*>(at) = PackBf16(from[2 * i], from[2 * i + 1]);
    }
  }

  template <class Row>
  __device__ auto Weights(int offset, int column, int stride, const void* global, int64_t width,
                          int first, int length, const Row& row) const {
    if constexpr (kResident) {
      return SharedWeights{At<uint16_t>(offset) + column, stride};
    } else {
      return GlobalWeights<Weight, Row>{static_cast<const Weight*>(global) + first, width, length,
                                        row};
    }
  }

  __device__ void MultiplyInput() {
    const int stride = layout.x_depth + layout.h_depth + kPad;
    MultiplyRows(
        At<uint16_t>(layout.rows_x), layout.x_depth + kPad, layout.x_depth,
        Weights(layout.w_in, 0, stride, cfc.w_in, cfc.inputs + cfc.hidden, 0, cfc.inputs, ZRow()),
        layout.z_share, layout.x_splits, At<float>(layout.sums_z));
  }

  __device__ void MultiplyState() {
    const int stride = layout.x_depth + layout.h_depth + kPad;
    float* sums = At<float>(layout.sums_z) + layout.x_splits * kRows * layout.z_share * kTile;
    MultiplyRows(At<uint16_t>(layout.rows_h), layout.h_depth + kPad, layout.h_depth,
                 Weights(layout.w_in, layout.x_depth, stride, cfc.w_in, cfc.inputs + cfc.hidden,
                         cfc.inputs, cfc.hidden, ZRow()),
                 layout.z_share, layout.h_splits, sums);
  }

  __device__ void MultiplyHeads() {
    MultiplyRows(At<uint16_t>(layout.rows_z), layout.z_depth + kPad, layout.z_depth,
                 Weights(layout.w_heads, 0, layout.z_depth + kPad, cfc.w_heads, cfc.backbone, 0,
                         cfc.backbone, HeadRow()),
                 4 * layout.h_share, layout.z_splits, At<float>(layout.sums_h));
  }

  __device__ void FinishBackbone(int step) {
    const int columns = layout.z_share * kTile, splits = layout.x_splits + layout.h_splits;
    uint16_t* slice = At<uint16_t>(layout.slice);
    for (int i = Thread(); i < kRows * columns; i += kThreads) {
      const int row = i / columns, unit = z.Unit(i % columns);
      float value = 0.0f;
      if (unit >= 0) {
        value =
            SumOver(At<float>(layout.sums_z), splits, columns, row, i % columns) + cfc.b_in[unit];
        value = 1.7159f * FastTanh(0.666f * value);
        if (cfc.z != nullptr && Exists(row)) cfc.z[At(step, row) * cfc.backbone + unit] = value;
      }
      slice[i] = static_cast<uint16_t>(PackBf16(value, 0.0f));
    }
  }

  __device__ void FinishState(int step) {
    const int columns = layout.h_share * kTile;
    uint16_t* slice = At<uint16_t>(layout.slice);
    for (int i = Thread(); i < kRows * columns; i += kThreads) {
      const int row = i / columns, unit = h.Unit(i % columns);
      float state = 0.0f;
      if (unit >= 0 && Exists(row)) state = State(step, row, i % columns, unit);
      if (step + 1 < cfc.steps) state *= Keep(step + 1, row);
      slice[i] = static_cast<uint16_t>(PackBf16(state, 0.0f));
    }
  }

  // One number of the next state, written where it goes.
  __device__ float State(int step, int row, int column, int unit) {
    const int columns = layout.h_share * kTile;
    float head[4];
    for (int i = 0; i < 4; ++i) {
      head[i] = SumOver(At<float>(layout.sums_h), layout.z_splits, 4 * columns, row,
                        i * columns + column) +
                cfc.b_heads[i * cfc.hidden + unit];
    }
    const float dt = cfc.dt == nullptr ? 1.0f : cfc.dt[At(step, row)];
    const float f1 = FastTanh(head[0]), f2 = FastTanh(head[1]);
    const float gate = FastSigmoid(head[2] * dt + head[3]);
    const float state = f1 + gate * (f2 - f1);
    cfc.out[At(step, row) * cfc.hidden + unit] = state;
    if (cfc.heads != nullptr) {
      float* to = cfc.heads + At(step, row) * 4 * cfc.hidden + unit;
      const float values[4] = {f1, f2, head[2], gate};
      for (int i = 0; i < 4; ++i) to[i * cfc.hidden] = values[i];
    }
    return state;
  }

  // The barriers of a step expect what all blocks will send, before this one waits for it.
  __device__ void Arm(int step) {
    if constexpr (kClustered) {
      if (Thread() != 0) return;
      ExpectBytes(ZBarrier(), static_cast<uint32_t>(kRows * layout.z_tiles * kTile * 2));
      if (step + 1 < cfc.steps) {
        // The one before has been waited for only below; a barrier holds one open phase.
        if (step > 0) WaitForBytes(HBarrier(), static_cast<uint32_t>((step - 1) & 1));
        ExpectBytes(HBarrier(), static_cast<uint32_t>(kRows * layout.h_tiles * kTile * 2));
      }
    }
  }

  __device__ void Wait(uint64_t* barrier, int phase) {
    if constexpr (kClustered) {
      WaitForBytes(barrier, static_cast<uint32_t>(phase & 1));
    } else {
      __syncthreads();
    }
  }

  // The block's slice into every block's rows.
  __device__ void Send(uint16_t* rows, int depth, int stride, const Share& share,
                       uint64_t* barrier) {
    const uint16_t* slice = At<uint16_t>(layout.slice);
    for (int i = Thread(); i < kRows * share.count * layout.blocks; i += kThreads) {
      const int to = i % layout.blocks, row = i / layout.blocks % kRows;
      const int mine = i / layout.blocks / kRows;
      const uint4 value = *reinterpret_cast<const uint4*>(slice + (row * stride + mine) * kTile);
      uint16_t* at = rows + row * (depth + kPad) + (share.first + mine) * kTile;
      if constexpr (kClustered) {
        Send16(at, barrier, static_cast<unsigned>(to), value);
      } else {
        *reinterpret_cast<uint4*>(at) = value;
      }
    }
  }
};

template <class Weight, bool kResident, bool kClustered>
__global__ void __launch_bounds__(kThreads, 1) CfcKernel(MetabonkCudaCfc cfc, int cluster) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  if constexpr (kClustered)
    return;
  else
    CfcBlock<Weight, kResident, kClustered>(cfc, cluster).Run();
#else
  CfcBlock<Weight, kResident, kClustered>(cfc, cluster).Run();
#endif
}

template <class Weight, bool kResident>
int Start(const MetabonkCudaCfc& cfc, const CfcLayout& layout, void* stream) {
  const LaunchShape shape{DivideUp(cfc.rows, kRows) * layout.blocks, kThreads,
                          static_cast<size_t>(layout.bytes), layout.blocks};
  return layout.blocks > 1
             ? Launch(CfcKernel<Weight, kResident, true>, shape, stream, cfc, layout.blocks)
             : Launch(CfcKernel<Weight, kResident, false>, shape, stream, cfc, 1);
}

template <class Weight>
int Start(const MetabonkCudaCfc& cfc, void* stream) {
  Limits limits;
  if (const int e = LimitsOfDevice(&limits)) return e;
  const int tiles = DivideUp(cfc.hidden < cfc.backbone ? cfc.hidden : cfc.backbone, kTile);
  int usual = limits.major >= 9 ? 8 : 1;  // what every device with clusters can hold
  while (usual > tiles) usual /= 2;
  for (const int blocks : {usual, 16}) {
    const CfcLayout layout(cfc.inputs, cfc.hidden, cfc.backbone, blocks, true);
    if (layout.bytes > limits.shared_bytes || blocks > tiles) continue;
    const LaunchShape shape{blocks, kThreads, static_cast<size_t>(layout.bytes), blocks};
    if (blocks > usual && (usual < 8 || !Fits(CfcKernel<Weight, true, true>, shape))) continue;
    return Start<Weight, true>(cfc, layout, stream);
  }
  const CfcLayout layout(cfc.inputs, cfc.hidden, cfc.backbone, usual, false);
  if (layout.bytes > limits.shared_bytes) return kMetabonkCudaNoRoom;
  return Start<Weight, false>(cfc, layout, stream);
}

}  // namespace
}  // namespace metabonk::cuda

int metabonk_cuda_cfc(const MetabonkCudaCfc* cfc, void* stream) {
  constexpr int kMost = 1 << 14;  // layouts stay within 32 bits
  for (const int size : {cfc->inputs, cfc->hidden, cfc->backbone}) {
    if (size < 1 || size > kMost) return kMetabonkCudaBadSize;
  }
  if (cfc->steps < 1 || cfc->rows < 1) return kMetabonkCudaBadSize;
  return cfc->bf16_weights != 0 ? metabonk::cuda::Start<uint16_t>(*cfc, stream)
                                : metabonk::cuda::Start<float>(*cfc, stream);
}
