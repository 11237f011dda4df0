#include "nn/qlinear.h"

#include <algorithm>

#include "support/cpu.h"

namespace metabonk::nn {

namespace {

constexpr int kBlockRows = 64;                  // rows that stay in the cache while weights pass
constexpr int64_t kTiledRows = 16;              // fewer leave a tile empty in part
constexpr int64_t kThreadedProducts = 1 << 22;  // below, waking a thread costs more than it does

// Whether kQFloatAmx takes a format: bf16 holds every element times the scale of its block.
[[maybe_unused]] bool Tiled(WeightFormat format) {
  return format == WeightFormat::kBf16 || format == WeightFormat::kFp8 ||
         format == WeightFormat::kNvfp4;
}

bool Threaded(const PanelLayout& layout, int64_t rows) {
  const int64_t products = int64_t{layout.inputs} * layout.outputs;
  return rows > 1 && rows * products >= kThreadedProducts;
}

}  // namespace

const QLinearKernels& ActiveQLinearKernels(WeightFormat format, [[maybe_unused]] int64_t rows) {
  const bool int8 = format == WeightFormat::kInt8;
#if defined(__x86_64__)
  const CpuExtension extension = ActiveExtension();
  if (int8 && extension >= CpuExtension::kAmx) return kQInt8Amx;
  if (int8 && extension >= CpuExtension::kVnni) return kQInt8Vnni;
  if (Tiled(format) && extension >= CpuExtension::kAmx && rows >= kTiledRows) return kQFloatAmx;
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

struct QLinearEngine::Job {
  QLinearEngine* engine;
  const QLinearKernels* kernels;
  const PanelLayout* layout;
  QWeights weights;
  int64_t rows;
  const float* x;
  float* y;
  // The block of rows that was made ready last.
  int64_t first = 0;
  const uint8_t* ready = nullptr;
  const float* scales = nullptr;

  int64_t stride() const { return int64_t{layout->padded_inputs} * kernels->x_bytes; }
  int count() const { return static_cast<int>(std::min<int64_t>(kBlockRows, rows - first)); }

  // Makes the rows from `begin` on ready, in the memory of `part`.
  void Take(Part& part, int64_t begin) {
    first = begin;
    uint8_t* to = part.rows.Reserve(static_cast<size_t>(kBlockRows * stride()));
    float* to_scales = part.scales.Reserve(kBlockRows);
    for (int i = 0; i < count(); ++i) {
      kernels->take_row(x + (first + i) * layout->inputs, layout->inputs, layout->padded_inputs,
                        to + i * stride(), to_scales + i);
    }
    ready = to;
    scales = to_scales;
  }

  void Multiply(Part& part, int tile) const {
    const int output = layout->first_output(tile);
    const int panels = layout->panels(tile);
    kernels->multiply({layout, panels, weights.panels + layout->offset(tile), ready, stride(),
                       scales, count(), weights.bias == nullptr ? nullptr : weights.bias + output,
                       y + first * layout->outputs + output, layout->outputs,
                       std::min(layout->outputs - output, panels * kPanelOutputs),
                       part.scratch.Reserve(static_cast<size_t>(kernels->scratch_bytes(*layout)))});
  }
};

void QLinearEngine::Grow(const QLinearKernels& kernels, const PanelLayout& layout, int64_t rows) {
  const size_t parts = Threaded(layout, rows) ? parts_.size() : 1;
  for (size_t i = 0; i < parts; ++i) {
    const int64_t row = int64_t{layout.padded_inputs} * kernels.x_bytes;
    parts_[i].rows.Reserve(static_cast<size_t>(kBlockRows * row));
    parts_[i].scales.Reserve(kBlockRows);
    parts_[i].scratch.Reserve(static_cast<size_t>(kernels.scratch_bytes(layout)));
  }
}

void QLinearEngine::Prepare(const QWeights& weights, int64_t rows) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  Grow(KernelsFor(weights.shape.format, rows), PanelLayout(weights.shape), rows);
}

void QLinearEngine::Forward(const QWeights& weights, int64_t rows, const float* x, float* y) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  const PanelLayout layout(weights.shape);
  Job job{this, &KernelsFor(weights.shape.format, rows), &layout, weights, rows, x, y};
  Run(&job);
}

// Many rows are dealt out to the threads, of few each thread takes some of the outputs.
void QLinearEngine::Run(Job* job) {
  const bool threaded = Threaded(*job->layout, job->rows) && pool_.threads() > 1;
  if (threaded && job->rows >= int64_t{kBlockRows} * pool_.threads()) {
    const auto blocks = static_cast<int>((job->rows + kBlockRows - 1) / kBlockRows);
    pool_.Run(
        blocks,
        [](void* context, int item, int thread) {
          Job mine = *static_cast<Job*>(context);
          Part& part = mine.engine->parts_[static_cast<size_t>(thread)];
          mine.Take(part, int64_t{item} * kBlockRows);
          for (int tile = 0; tile < mine.layout->tiles(); ++tile) mine.Multiply(part, tile);
        },
        job);
    return;
  }
  for (int64_t first = 0; first < job->rows; first += kBlockRows) {
    job->Take(parts_[0], first);
    if (!threaded) {
      for (int tile = 0; tile < job->layout->tiles(); ++tile) job->Multiply(parts_[0], tile);
      continue;
    }
    pool_.Run(
        job->layout->tiles(),
        [](void* context, int item, int thread) {
          const Job& mine = *static_cast<Job*>(context);
          mine.Multiply(mine.engine->parts_[static_cast<size_t>(thread)], item);
        },
        job);
  }
}

QLinearPlan::QLinearPlan(const QWeights& weights, int64_t rows, const float* x, float* y,
                         int threads)
    : kernels_(&ActiveQLinearKernels(weights.shape.format, rows)),
      layout_(weights.shape),
      engine_(Threaded(layout_, rows) ? threads : 1),
      weights_(weights),
      rows_(rows),
      x_(x),
      y_(y) {
  engine_.Grow(*kernels_, layout_, rows);
}

void QLinearPlan::Step() {
  QLinearEngine::Job job{&engine_, kernels_, &layout_, weights_, rows_, x_, y_};
  engine_.Run(&job);
}

void QLinearPlan::Load(const uint8_t* panels, const float* bias) {
  weights_.panels = panels;
  weights_.bias = bias;
}

}  // namespace metabonk::nn
