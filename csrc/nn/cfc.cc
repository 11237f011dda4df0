#include "nn/cfc.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "nn/formats.h"
#include "support/cpu.h"

namespace metabonk::nn {

namespace {

constexpr int kBlockRows = 96;  // rows that take a step together: what they need stays in the cache
constexpr int64_t kShareMacs = int64_t{4} << 20;  // less is not worth waking a thread for
constexpr int kDepthRows = 128;                   // of a weight's gradient between two looks at it

constexpr int kQuad = 4;

// to[j * width + i] = from[i * column + j] for a square of four, in vectors that every processor
// has.
void TransposeQuad(const float* from, int64_t column, float* to, int64_t width) {
  using Four = float __attribute__((vector_size(16)));
  const auto load = [&](int i) {
    Four four;
    std::memcpy(&four, from + i * column, sizeof(four));
    return four;
  };
  const Four a = load(0), b = load(1), c = load(2), d = load(3);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four ab_rest = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_rest = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Four turned[] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5),
                         __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                         __builtin_shufflevector(ab_rest, cd_rest, 0, 1, 4, 5),
                         __builtin_shufflevector(ab_rest, cd_rest, 2, 3, 6, 7)};
  for (int j = 0; j < kQuad; ++j) std::memcpy(to + j * width, &turned[j], sizeof(Four));
}

// Writes `count` columns of panel rows: to[k * width + n] = from[k * row + n * column].
void PackColumns(const float* from, int64_t row, int64_t column, int depth, int count, int width,
                 float* to) {
  if (column == 1) {
    for (int k = 0; k < depth; ++k) {
      std::memcpy(to + int64_t{k} * width, from + k * row,
                  sizeof(float) * static_cast<size_t>(count));
    }
    return;
  }
  int n = 0;
  for (; row == 1 && n + kQuad <= count; n += kQuad) {
    int k = 0;
    for (; k + kQuad <= depth; k += kQuad) {
      TransposeQuad(from + k + n * column, column, to + int64_t{k} * width + n, width);
    }
    for (; k < depth; ++k) {
      for (int i = n; i < n + kQuad; ++i) to[int64_t{k} * width + i] = from[k + i * column];
    }
  }
  for (; n < count; ++n) {
    for (int k = 0; k < depth; ++k) to[int64_t{k} * width + n] = from[k * row + n * column];
  }
}

// The leading dimension of a scratch matrix whose columns are walked: rows that are not a power of
// two apart do not fall on the same few sets of the cache.
int64_t Padded(int columns) { return (columns + 15) / 16 * 16 + 16; }

}  // namespace

const CfcKernels& ActiveCfcKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return kCfcAvx512;
    case CpuTier::kAvx2:
      return kCfcAvx2;
    default:
      break;
  }
#endif
  return kCfcPortable;
}

void CfcPanels::Pack(const float* from, int64_t row, int64_t column, int new_depth, int new_columns,
                     int new_width) {
  depth = new_depth;
  columns = new_columns;
  width = new_width;
  const int64_t size = int64_t{depth} * width;
  float* to = data.Reserve(static_cast<size_t>(count() * size));
  for (int i = 0; i < count(); ++i, to += size) {
    const int first = i * width;
    const int some = std::min(width, columns - first);
    if (some < width) std::fill_n(to, size, 0.0f);
    PackColumns(from + first * column, row, column, depth, some, width, to);
  }
}

void CfcForwardWeights::Pack(const CfcShape& shape, const CfcWeights& weights, int lanes) {
  const int width = kCfcHeads * lanes;
  const int joined = shape.inputs + shape.hidden;
  in.Pack(weights.in, 1, joined, joined, shape.backbone, width);
  float* bias = in_bias.Reserve(static_cast<size_t>(in.count() * width));
  std::fill_n(bias, in.count() * width, 0.0f);
  std::copy_n(weights.in_bias, shape.backbone, bias);

  const int groups = (shape.hidden + lanes - 1) / lanes;
  const int64_t size = int64_t{shape.backbone} * width;
  heads.depth = shape.backbone;
  heads.width = width;
  heads.columns = groups * width;
  float* to = heads.data.Reserve(static_cast<size_t>(groups * size));
  bias = heads_bias.Reserve(static_cast<size_t>(groups * width));
  std::fill_n(bias, groups * width, 0.0f);
  for (int group = 0; group < groups; ++group, to += size, bias += width) {
    const int first = group * lanes;
    const int units = std::min(lanes, shape.hidden - first);
    if (units < lanes) std::fill_n(to, size, 0.0f);
    for (int head = 0; head < kCfcHeads; ++head) {
      const int64_t from = int64_t{head} * shape.hidden + first;
      PackColumns(weights.heads + from * shape.backbone, 1, shape.backbone, shape.backbone, units,
                  width, to + head * lanes);
      std::copy_n(weights.heads_bias + from, units, bias + head * lanes);
    }
  }
}

void CfcHalfPanels::Pack(const CfcPanels& from, int lanes) {
  depth = from.depth;
  columns = from.columns;
  width = from.width;
  const int64_t words = int64_t{from.count()} * depth * width / 2;
  uint32_t* to = data.Reserve(static_cast<size_t>(words));
  const float* pair = from.data.data();
  for (int64_t i = 0; i < words; i += lanes, pair += 2 * lanes) {
    for (int k = 0; k < lanes; ++k) {
      to[i + k] = Bf16FromFloat(pair[k]) | static_cast<uint32_t>(Bf16FromFloat(pair[lanes + k]))
                                               << 16;
    }
  }
}

void CfcHalfWeights::Pack(const CfcForwardWeights& from, int lanes) {
  in.Pack(from.in, lanes);
  heads.Pack(from.heads, lanes);
  const auto copy = [](const Buffer<float>& bias, const CfcPanels& panels, Buffer<float>* to) {
    const int count = panels.count() * panels.width;
    std::copy_n(bias.data(), count, to->Reserve(static_cast<size_t>(count)));
  };
  copy(from.in_bias, from.in, &in_bias);
  copy(from.heads_bias, from.heads, &heads_bias);
}

void CfcBackwardWeights::Pack(const CfcShape& shape, const CfcWeights& weights, int lanes) {
  const int width = kCfcHeads * lanes;
  const int64_t joined = shape.inputs + shape.hidden;
  heads.Pack(weights.heads, shape.backbone, 1, kCfcHeads * shape.hidden, shape.backbone, width);
  x.Pack(weights.in, joined, 1, shape.backbone, shape.inputs, width);
  h.Pack(weights.in + shape.inputs, joined, 1, shape.backbone, shape.hidden, width);
}

void CfcForget(const float* h, const float* keep, int rows, int hidden, float* before) {
  if (keep == nullptr) {
    std::memcpy(before, h, sizeof(float) * static_cast<size_t>(int64_t{rows} * hidden));
    return;
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < hidden; ++j) before[j] = keep[i] * h[j];
    before += hidden;
    h += hidden;
  }
}

struct CfcEngine::Job {
  CfcEngine* engine;
  const CfcKernels* kernels;
  CfcShape shape;
  CfcSequence sequence;
  CfcOutputs outputs;
  const float* d_out;
  CfcGradients gradients;
  int shares;

  int64_t begin(int64_t count, int share) const { return count * share / shares; }

  // What `keep` is applied to in step t: the state that the step before left.
  const float* Before(int t, int64_t row) const {
    return t == 0 ? sequence.h + row * shape.hidden : outputs.out + At(t - 1, row) * shape.hidden;
  }
  int64_t At(int t, int64_t row) const { return int64_t{t} * sequence.batch + row; }
  static const float* Of(const float* values, int64_t at) {
    return values == nullptr ? nullptr : values + at;
  }
  static float* Of(float* values, int64_t at) { return values == nullptr ? nullptr : values + at; }

  void ForwardShare(int share) const;
  void BackwardShare(int share) const;
  void WeightShare(int share) const;
  void ForwardBlock(int64_t first, int rows, Part& part) const;
  void BackwardBlock(int64_t first, int rows, Part& part) const;
  void Sum(const float* a, int64_t lda, int first, int rows, const float* b, int columns, float* c,
           int64_t ldc) const;
};

int CfcShares(const CfcShape& shape, int64_t rows, int most) {
  const int64_t joined = shape.inputs + shape.hidden + int64_t{kCfcHeads} * shape.hidden;
  const int64_t worth = rows * joined * shape.backbone / kShareMacs;
  return static_cast<int>(std::clamp<int64_t>(worth, 1, most));
}

void CfcEngine::Forward(const CfcShape& shape, const CfcWeights& weights,
                        const CfcSequence& sequence, const CfcOutputs& outputs) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  const CfcKernels& kernels = ActiveCfcKernels();
  forward_.Pack(shape, weights, kernels.lanes);
  Job job{this, &kernels, shape, sequence, outputs, nullptr, {}, 1};
  job.shares = CfcShares(shape, int64_t{sequence.steps} * sequence.batch, pool_.threads());
  const auto size = [](int columns) { return static_cast<size_t>(kBlockRows) * columns; };
  for (Part& part : parts_) {
    part.before.Reserve(size(shape.hidden));
    part.z.Reserve(size(shape.backbone));
  }
  pool_.Run(
      job.shares,
      [](void* context, int share, int) { static_cast<Job*>(context)->ForwardShare(share); }, &job);
}

void CfcEngine::Job::ForwardShare(int share) const {
  const int64_t end = begin(sequence.batch, share + 1);
  for (int64_t first = begin(sequence.batch, share); first < end; first += kBlockRows) {
    const int rows = static_cast<int>(std::min<int64_t>(kBlockRows, end - first));
    ForwardBlock(first, rows, engine->parts_[static_cast<size_t>(share)]);
  }
}

void CfcEngine::Job::ForwardBlock(int64_t first, int rows, Part& part) const {
  for (int t = 0; t < sequence.steps; ++t) {
    const int64_t at = At(t, first);
    CfcForget(Before(t, first), Of(sequence.keep, at), rows, shape.hidden, part.before.data());
    CfcRows r{};
    r.shape = shape;
    r.rows = rows;
    r.x = sequence.x + at * shape.inputs;
    r.before = part.before.data();
    r.dt = Of(sequence.dt, at);
    r.out = outputs.out + at * shape.hidden;
    r.z = outputs.z == nullptr ? part.z.data() : outputs.z + at * shape.backbone;
    r.z_stride = shape.backbone;
    r.heads = Of(outputs.heads, at * kCfcHeads * shape.hidden);
    kernels->step(engine->forward_, r);
  }
}

void CfcEngine::Backward(const CfcShape& shape, const CfcWeights& weights,
                         const CfcSequence& sequence, const CfcOutputs& saved, const float* d_out,
                         const CfcGradients& gradients) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  const CfcKernels& kernels = ActiveCfcKernels();
  backward_.Pack(shape, weights, kernels.lanes);
  const auto rows = static_cast<size_t>(int64_t{sequence.steps} * sequence.batch);
  d_heads_.Reserve(rows * static_cast<size_t>(Padded(kCfcHeads * shape.hidden)));
  d_z_.Reserve(rows * static_cast<size_t>(Padded(shape.backbone)));
  before_.Reserve(rows * static_cast<size_t>(shape.hidden));
  for (Part& part : parts_) {
    part.carry.Reserve(static_cast<size_t>(kBlockRows) * static_cast<size_t>(shape.hidden));
  }
  Job job{this, &kernels, shape, sequence, saved, d_out, gradients, 1};
  job.shares = CfcShares(shape, static_cast<int64_t>(rows), pool_.threads());
  pool_.Run(
      job.shares,
      [](void* context, int share, int) { static_cast<Job*>(context)->BackwardShare(share); },
      &job);
  pool_.Run(
      job.shares,
      [](void* context, int share, int) { static_cast<Job*>(context)->WeightShare(share); }, &job);
}

void CfcEngine::Job::BackwardShare(int share) const {
  const int64_t end = begin(sequence.batch, share + 1);
  for (int64_t first = begin(sequence.batch, share); first < end; first += kBlockRows) {
    const int rows = static_cast<int>(std::min<int64_t>(kBlockRows, end - first));
    BackwardBlock(first, rows, engine->parts_[static_cast<size_t>(share)]);
  }
}

void CfcEngine::Job::BackwardBlock(int64_t first, int rows, Part& part) const {
  const int hidden = shape.hidden;
  float* carry = part.carry.data();
  std::fill_n(carry, int64_t{rows} * hidden, 0.0f);
  for (int t = sequence.steps - 1; t >= 0; --t) {
    const int64_t at = At(t, first);
    CfcRowsBack r{};
    r.shape = shape;
    r.rows = rows;
    r.d_out = d_out + at * hidden;
    r.z = outputs.z + at * shape.backbone;
    r.heads = outputs.heads + at * kCfcHeads * hidden;
    r.h = Before(t, first);
    r.dt = Of(sequence.dt, at);
    r.keep = Of(sequence.keep, at);
    r.carry = carry;
    r.d_heads_stride = Padded(kCfcHeads * hidden);
    r.d_heads = engine->d_heads_.data() + at * r.d_heads_stride;
    r.d_z_stride = Padded(shape.backbone);
    r.d_z = engine->d_z_.data() + at * r.d_z_stride;
    r.d_x = Of(gradients.x, at * shape.inputs);
    r.d_dt = Of(gradients.dt, at);
    r.d_keep = Of(gradients.keep, at);
    kernels->step_back(engine->backward_, r);
    CfcForget(r.h, r.keep, rows, hidden, engine->before_.data() + at * hidden);
  }
  std::copy_n(carry, int64_t{rows} * hidden, gradients.h + first * hidden);
}

// Rows `first`.. of c = a^T b over all rows of the sequence; c's rows are a's columns.
void CfcEngine::Job::Sum(const float* a, int64_t lda, int first, int rows, const float* b,
                         int columns, float* c, int64_t ldc) const {
  const int64_t depth = int64_t{sequence.steps} * sequence.batch;
  c += first * ldc;
  for (int i = 0; i < rows; ++i) std::fill_n(c + i * ldc, columns, 0.0f);
  for (int64_t k = 0; k < depth; k += kDepthRows) {
    const int some = static_cast<int>(std::min<int64_t>(kDepthRows, depth - k));
    kernels->multiply(
        {rows, columns, some, a + k * lda + first, 1, lda, b + k * columns, columns, c, ldc});
  }
}

// Threads share the rows of the weights' gradients, so that no two write to the same ones and the
// sums do not depend on how many threads there are.
void CfcEngine::Job::WeightShare(int share) const {
  const int hidden = shape.hidden, inputs = shape.inputs;
  const int64_t joined = inputs + hidden;
  const int64_t ld_heads = Padded(kCfcHeads * hidden), ld_z = Padded(shape.backbone);
  const float* d_heads = engine->d_heads_.data();
  const float* d_z = engine->d_z_.data();
  const auto range = [&](int count, auto body) {
    const int first = static_cast<int>(begin(count, share));
    body(first, static_cast<int>(begin(count, share + 1)) - first);
  };
  range(kCfcHeads * hidden, [&](int first, int rows) {
    Sum(d_heads, ld_heads, first, rows, outputs.z, shape.backbone, gradients.heads, shape.backbone);
  });
  range(shape.backbone, [&](int first, int rows) {
    Sum(d_z, ld_z, first, rows, sequence.x, inputs, gradients.in, joined);
    Sum(d_z, ld_z, first, rows, engine->before_.data(), hidden, gradients.in + inputs, joined);
  });
  if (share != 0) return;
  const float one = 1.0f;
  const int depth = sequence.steps * sequence.batch;
  std::fill_n(gradients.heads_bias, kCfcHeads * hidden, 0.0f);
  std::fill_n(gradients.in_bias, shape.backbone, 0.0f);
  kernels->multiply({1, kCfcHeads * hidden, depth, &one, 0, 0, d_heads, ld_heads,
                     gradients.heads_bias, kCfcHeads * hidden});
  kernels->multiply(
      {1, shape.backbone, depth, &one, 0, 0, d_z, ld_z, gradients.in_bias, shape.backbone});
}

}  // namespace metabonk::nn
