#include "nn/qlinear.h"

#include <algorithm>

#include "support/cpu.h"

namespace metabonk::nn {

namespace {

constexpr int kBlockRows = 64;                  // rows that stay in the cache while weights pass
constexpr int64_t kThreadedProducts = 1 << 22;  // below, waking a thread costs more than it does

bool Threaded(const QWeights& weights, int64_t rows) {
  const int64_t products = int64_t{weights.shape.inputs} * weights.shape.outputs;
  return rows > 1 && rows * products >= kThreadedProducts;
}

}  // namespace

const QLinearKernels& ActiveQLinearKernels(WeightFormat format) {
  const bool int8 = format == WeightFormat::kInt8;
#if defined(__x86_64__)
  const CpuExtension extension = ActiveExtension();
  if (int8 && extension >= CpuExtension::kVnni) return kQInt8Vnni;
  if (!int8 && extension >= CpuExtension::kBf16) return kQFloatBf16;
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return int8 ? kQInt8Avx512 : kQFloatAvx512;
    case CpuTier::kAvx2:
      return int8 ? kQInt8Avx2 : kQFloatAvx2;
    default:
      break;
  }
#endif
  return int8 ? kQInt8Portable : kQFloatPortable;
}

uint8_t* QLinearEngine::Buffer::Grow(int64_t bytes) {
  constexpr int64_t kLine = 64;
  if (size < bytes) {
    memory.reset(new uint8_t[static_cast<size_t>(bytes + kLine)]);
    size = bytes;
  }
  const auto address = reinterpret_cast<uintptr_t>(memory.get());
  return memory.get() + (kLine - address % kLine) % kLine;
}

struct QLinearEngine::Job {
  QLinearEngine* engine;
  const QLinearKernels* kernels;
  PanelLayout layout;
  QWeights weights;
  int64_t rows;
  const float* x;
  float* y;
  const uint8_t* ready = nullptr;  // rows that all threads share
  const float* ready_scales = nullptr;

  int64_t stride() const { return int64_t{layout.padded_inputs} * kernels->x_bytes; }
  int block(int64_t first) const {
    return static_cast<int>(std::min<int64_t>(kBlockRows, rows - first));
  }

  // Rows first.. of one block, made ready in the memory of `part`.
  void Take(Part& part, int64_t first) {
    uint8_t* to = part.rows.Grow(kBlockRows * stride());
    float* scales = reinterpret_cast<float*>(part.scales.Grow(kBlockRows * 4));
    for (int i = 0; i < block(first); ++i) {
      kernels->take_row(x + (first + i) * layout.inputs, layout.inputs, layout.padded_inputs,
                        to + i * stride(), scales + i);
    }
    ready = to;
    ready_scales = scales;
  }

  void Multiply(Part& part, int tile, int64_t first) const {
    const int output = layout.first_output(tile);
    const int panels = layout.panels(tile);
    kernels->multiply({&layout, panels, weights.panels + layout.offset(tile), ready, stride(),
                       ready_scales, block(first),
                       weights.bias == nullptr ? nullptr : weights.bias + output,
                       y + first * layout.outputs + output, layout.outputs,
                       std::min(layout.outputs - output, panels * kPanelOutputs),
                       part.scratch.Grow(kernels->scratch_bytes(layout))});
  }
};

void QLinearEngine::Prepare(const QWeights& weights, int64_t rows) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  const QLinearKernels& kernels = ActiveQLinearKernels(weights.shape.format);
  const PanelLayout layout(weights.shape);
  const size_t parts = Threaded(weights, rows) ? parts_.size() : 1;
  for (size_t i = 0; i < parts; ++i) {
    parts_[i].rows.Grow(int64_t{kBlockRows} * layout.padded_inputs * kernels.x_bytes);
    parts_[i].scales.Grow(kBlockRows * 4);
    parts_[i].scratch.Grow(kernels.scratch_bytes(layout));
  }
}

void QLinearEngine::Forward(const QWeights& weights, int64_t rows, const float* x, float* y) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  Job job{this,
          &ActiveQLinearKernels(weights.shape.format),
          PanelLayout(weights.shape),
          weights,
          rows,
          x,
          y};
  const bool threaded = Threaded(weights, rows) && pool_.threads() > 1;
  if (threaded && rows >= int64_t{kBlockRows} * pool_.threads()) {
    const auto blocks = static_cast<int>((rows + kBlockRows - 1) / kBlockRows);
    pool_.Run(
        blocks,
        [](void* context, int item, int thread) {
          Job mine = *static_cast<Job*>(context);
          Part& part = mine.engine->parts_[static_cast<size_t>(thread)];
          const int64_t first = int64_t{item} * kBlockRows;
          mine.Take(part, first);
          for (int tile = 0; tile < mine.layout.tiles(); ++tile) mine.Multiply(part, tile, first);
        },
        &job);
    return;
  }
  for (int64_t first = 0; first < rows; first += kBlockRows) {
    job.Take(parts_[0], first);
    if (!threaded) {
      for (int tile = 0; tile < job.layout.tiles(); ++tile) job.Multiply(parts_[0], tile, first);
      continue;
    }
    struct Tiles {
      const Job* job;
      int64_t first;
    } tiles{&job, first};
    pool_.Run(
        job.layout.tiles(),
        [](void* context, int item, int thread) {
          const Tiles& all = *static_cast<Tiles*>(context);
          all.job->Multiply(all.job->engine->parts_[static_cast<size_t>(thread)], item, all.first);
        },
        &tiles);
  }
}

}  // namespace metabonk::nn
