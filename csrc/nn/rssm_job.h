// What the forward and the backward pass of a sequence share: where things lie, and how the work is
// dealt out. For rssm_scan.cc and rssm_scan_back.cc alone.
#pragma once

#include <algorithm>

#include "nn/rssm_scan.h"

namespace metabonk::nn {

inline constexpr int kRssmBlockRows = 48;  // rows that take a step together: they stay in the cache

// The leading dimension of a scratch matrix whose columns are walked: rows that are not a power of
// two apart do not fall on the same few sets of the cache.
inline int64_t Padded(int columns) { return (columns + 15) / 16 * 16 + 16; }

inline const float* Of(const float* values, int64_t at) {
  return values == nullptr ? nullptr : values + at;
}
inline float* Of(float* values, int64_t at) { return values == nullptr ? nullptr : values + at; }

struct RssmEngine::Job {
  RssmEngine* engine;
  const RssmKernels* kernels;
  RssmShape shape;
  RssmSequence sequence;
  RssmOutputs outputs;
  int shares;

  int64_t begin(int64_t count, int share) const { return count * share / shares; }
  int64_t rows() const { return int64_t{sequence.steps} * sequence.batch; }
  int64_t At(int t, int64_t row) const { return int64_t{t} * sequence.batch + row; }

  // The states that step t begins with, before `keep`.
  const float* DeterBefore(int t, int64_t row) const {
    return t == 0 ? sequence.deter + row * shape.deter
                  : outputs.deter + At(t - 1, row) * shape.deter;
  }
  RssmState StochBefore(int t, int64_t row) const {
    if (t == 0) {
      const RssmState& state = sequence.state;
      if (state.numbers != nullptr) return {state.numbers + row * shape.stoch(), nullptr};
      return {nullptr, state.index + row * shape.groups};
    }
    const int64_t at = At(t - 1, row);
    if (shape.classes == 0) return {outputs.stoch + at * shape.groups, nullptr};
    return {nullptr, outputs.index + at * shape.groups};
  }

  // Calls body(first row, rows) for the blocks of one share of `count` rows.
  template <typename Body>
  void Blocks(int64_t count, int share, const Body& body) const {
    const int64_t end = begin(count, share + 1);
    for (int64_t first = begin(count, share); first < end; first += kRssmBlockRows) {
      body(first, static_cast<int>(std::min<int64_t>(kRssmBlockRows, end - first)));
    }
  }

  // y = f(start + x W + bias), all rows contiguous but those of x and y, which say.
  RssmLayer Layer(const Panels& weights, int count, const float* x, int64_t x_stride, float* y,
                  int64_t y_stride) const {
    RssmLayer layer{};
    layer.weights = &weights;
    layer.rows = count;
    layer.x = x;
    layer.x_stride = x_stride;
    layer.depth = weights.depth;
    layer.y = y;
    layer.y_stride = y_stride;
    return layer;
  }

  void KeepAction(int64_t first, int count) const {
    CfcForget(sequence.action + first * shape.action, Of(sequence.keep, first), count, shape.action,
              engine->action_.data() + first * shape.action);
  }
};

}  // namespace metabonk::nn
