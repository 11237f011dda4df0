#include "nn/dense.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "support/cpu.h"

namespace metabonk::nn {

namespace {

// Rows that are taken through a layer together: with 64 or 128 units they stay in the first-level
// cache, and 96 is a multiple of the kernels' six rows.
constexpr int kBlockRows = 96;
constexpr int kShareRows = 256;  // fewer rows are not worth waking a thread for

void Transpose(const float* from, int rows, int columns, float* to) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) to[int64_t{j} * rows + i] = from[int64_t{i} * columns + j];
  }
}

// So many floats up to the next cache line: vectors that lie across two take twice as long.
size_t Lined(int64_t count) { return static_cast<size_t>((count + 15) / 16 * 16); }

// The gradient of a weight with few columns is summed transposed: vectors run over the outputs.
bool Narrow(const DenseInput& input) { return input.inputs < 32; }

}  // namespace

const DenseKernels* ActiveDenseKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return &kDenseAvx512;
    case CpuTier::kAvx2:
      return &kDenseAvx2;
    default:
      break;
  }
#endif
  return nullptr;
}

struct DenseEngine::Job {
  DenseEngine* engine;
  const DenseKernels* kernels;
  int rows, outputs, shares;
  const float* bias;
  const float* y;
  const float* dy;
  float* out;
  std::span<const DenseInput> inputs;
  std::span<const DenseGradient> gradients;

  int begin(int share) const { return static_cast<int>(int64_t{rows} * share / shares); }

  // Calls body(first row, rows) for the blocks of one share.
  template <typename Body>
  void Blocks(int share, const Body& body) const {
    const int end = begin(share + 1);
    for (int first = begin(share); first < end; first += kBlockRows) {
      body(first, std::min(kBlockRows, end - first));
    }
  }

  void ForwardShare(int share) const;
  void BackwardShare(int share) const;
};

int DenseEngine::Shares(int rows) const {
  return std::clamp(rows / kShareRows, 1, pool_.threads());
}

void DenseEngine::Forward(int rows, int outputs, const float* bias,
                          std::span<const DenseInput> inputs, float* y) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  size_t size = 0;
  for (const DenseInput& input : inputs) size += Lined(int64_t{input.inputs} * outputs);
  float* to = transposed_.Reserve(size);
  for (const DenseInput& input : inputs) {
    Transpose(input.weight, outputs, input.inputs, to);
    to += Lined(int64_t{input.inputs} * outputs);
  }
  Job job{
      this, ActiveDenseKernels(), rows, outputs, Shares(rows), bias, nullptr, nullptr, y, inputs,
      {}};
  pool_.Run(
      job.shares,
      [](void* context, int share, int) { static_cast<Job*>(context)->ForwardShare(share); }, &job);
}

void DenseEngine::Job::ForwardShare(int share) const {
  Blocks(share, [&](int first, int count) {
    float* block = out + int64_t{first} * outputs;
    for (int i = 0; i < count; ++i) {
      std::memcpy(block + int64_t{i} * outputs, bias, sizeof(float) * static_cast<size_t>(outputs));
    }
    const float* weight = engine->transposed_.data();
    for (const DenseInput& input : inputs) {
      const int64_t width = input.inputs;
      kernels->multiply({count, outputs, input.inputs, input.x + first * width, width, 1, weight,
                         outputs, block, outputs});
      weight += Lined(width * outputs);
    }
    kernels->tanh(block, int64_t{count} * outputs);
  });
}

void DenseEngine::Backward(int rows, int outputs, const float* y, const float* dy,
                           std::span<const DenseInput> inputs, float* d_bias,
                           std::span<const DenseGradient> gradients) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  size_t size = Lined(outputs), rows_size = 0;
  for (const DenseInput& input : inputs) {
    size += Lined(int64_t{input.inputs} * outputs);
    rows_size += Lined(input.inputs) * static_cast<size_t>(outputs);
  }
  float* to = lined_.Reserve(rows_size);
  for (const DenseInput& input : inputs) {
    for (int i = 0; i < outputs; ++i, to += Lined(input.inputs)) {
      std::copy_n(input.weight + int64_t{i} * input.inputs, input.inputs, to);
    }
  }
  const int shares = Shares(rows);
  for (int i = 0; i < shares; ++i) {
    Part& part = parts_[static_cast<size_t>(i)];
    std::fill_n(part.sums.Reserve(size), size, 0.0f);
    part.gradient.Reserve(static_cast<size_t>(kBlockRows) * static_cast<size_t>(outputs));
  }
  Job job{this,     ActiveDenseKernels(), rows, outputs, shares, nullptr, y, dy, nullptr, inputs,
          gradients};
  pool_.Run(
      shares,
      [](void* context, int share, int) { static_cast<Job*>(context)->BackwardShare(share); },
      &job);
  Reduce(shares, size, job, d_bias, gradients);
}

void DenseEngine::Job::BackwardShare(int share) const {
  Part& part = engine->parts_[static_cast<size_t>(share)];
  float* g = part.gradient.data();
  Blocks(share, [&](int first, int count) {
    const int64_t at = int64_t{first} * outputs;
    kernels->tanh_gradient(y + at, dy + at, g, int64_t{count} * outputs);
    float* sum = part.sums.data();
    for (int i = 0; i < count; ++i) {
      const float* row = g + int64_t{i} * outputs;
      for (int j = 0; j < outputs; ++j) sum[j] += row[j];
    }
    sum += Lined(outputs);
    const float* weight = engine->lined_.data();
    for (size_t k = 0; k < inputs.size(); ++k) {
      const int64_t width = inputs[k].inputs;
      if (float* d_x = gradients[k].d_x; d_x != nullptr) {
        float* block = d_x + first * width;
        std::memset(block, 0, sizeof(float) * static_cast<size_t>(count * width));
        kernels->multiply({count, inputs[k].inputs, outputs, g, outputs, 1, weight,
                           static_cast<int64_t>(Lined(width)), block, width});
      }
      weight += Lined(width) * static_cast<size_t>(outputs);
      const float* x = inputs[k].x + first * width;
      if (Narrow(inputs[k])) {
        kernels->multiply(
            {inputs[k].inputs, outputs, count, x, 1, width, g, outputs, sum, outputs});
      } else {
        kernels->multiply({outputs, inputs[k].inputs, count, g, 1, outputs, x, width, sum, width});
      }
      sum += Lined(width * outputs);
    }
  });
}

// Adds the threads' sums in the order of the threads.
void DenseEngine::Reduce(int shares, size_t size, const Job& job, float* d_bias,
                         std::span<const DenseGradient> gradients) {
  float* sum = parts_[0].sums.data();
  for (int i = 1; i < shares; ++i) {
    const float* more = parts_[static_cast<size_t>(i)].sums.data();
    for (size_t j = 0; j < size; ++j) sum[j] += more[j];
  }
  std::copy_n(sum, job.outputs, d_bias);
  sum += Lined(job.outputs);
  for (size_t k = 0; k < job.inputs.size(); ++k) {
    const int64_t weights = int64_t{job.inputs[k].inputs} * job.outputs;
    if (Narrow(job.inputs[k])) {
      Transpose(sum, job.inputs[k].inputs, job.outputs, gradients[k].d_weight);
    } else {
      std::copy_n(sum, weights, gradients[k].d_weight);
    }
    sum += Lined(weights);
  }
}

}  // namespace metabonk::nn
