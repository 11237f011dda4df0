// Problems for tests of the RSSM: models and sequences of any size from one seed, room for what is
// computed of them, and the processor's tiers.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "nn/rssm_scan.h"
#include "support/cpu.h"

namespace metabonk::nn {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

inline Floats Numbers(int64_t count, uint32_t seed, float scale) {
  Floats numbers(static_cast<size_t>(count));
  for (float& x : numbers) {
    seed = seed * 1664525u + 1013904223u;
    x = (static_cast<float>(seed >> 8) / 16777216.0f - 0.5f) * scale;
  }
  return numbers;
}

inline std::vector<CpuTier> Tiers() {
  std::vector<CpuTier> tiers;
  for (int i = 0; i <= static_cast<int>(DetectedTier()); ++i) {
    tiers.push_back(static_cast<CpuTier>(i));
  }
  return tiers;
}

struct RssmProblem {
  RssmShape shape;
  int steps, batch;
  Floats deter, stoch, action, embed, keep, noise, weights[14];

  RssmProblem(RssmShape widths, int step_count, int batch_size)
      : shape(widths), steps(step_count), batch(batch_size) {
    const int64_t rows = int64_t{steps} * batch;
    const int hidden = shape.hidden, state = shape.deter, put_out = shape.parameters();
    deter = Numbers(int64_t{batch} * state, 1, 1.0f);
    stoch = Numbers(int64_t{batch} * shape.stoch(), 2, 1.0f);
    action = Numbers(rows * shape.action, 3, 2.0f);
    embed = Numbers(rows * shape.embed, 4, 2.0f);
    keep = Numbers(rows, 5, 1.0f);
    for (float& k : keep) k = k > -0.3f ? 1.0f : 0.0f;
    noise = Numbers(rows * shape.groups, 6, shape.classes > 0 ? 1.0f : 2.0f);
    for (float& u : noise) u += shape.classes > 0 ? 0.5f : 0.0f;
    const int inputs[] = {shape.stoch() + shape.action, 0, hidden, state, 0, 0, state, 0, hidden, 0,
                          state + shape.embed,          0, hidden, 0};
    const int outputs[] = {hidden, hidden,  3 * state, 3 * state, 3 * state, 3 * state, hidden,
                           hidden, put_out, put_out,   hidden,    hidden,    put_out,   put_out};
    for (int i = 0; i < 14; ++i) {
      const int width = inputs[i];
      const float scale = width > 0 ? 3.0f / std::sqrt(static_cast<float>(width)) : 0.5f;
      weights[i] = Numbers(int64_t{outputs[i]} * (width > 0 ? width : 1), 7 + i, scale);
    }
  }

  RssmWeights Weights() const {
    const auto at = [&](int i) { return weights[i].data(); };
    return {at(0), at(1), at(2), at(3),  at(4),  at(5),  at(6),
            at(7), at(8), at(9), at(10), at(11), at(12), at(13)};
  }
  RssmSequence Sequence() const {
    return {steps,         batch,
            deter.data(),  {stoch.data(), nullptr},
            action.data(), shape.observes() ? embed.data() : nullptr,
            keep.data(),   noise.data()};
  }
  int64_t rows() const { return int64_t{steps} * batch; }
};

struct RssmResult {
  Floats deter, stoch, prior, posterior, x, gates, prior_hidden, posterior_hidden;
  std::vector<int32_t> index;
  Floats d_deter, d_stoch, d_action, d_embed, d_weights[14];

  bool operator==(const RssmResult& other) const = default;
};

// What the numbers that a head puts out become, one row of them.
inline Doubles Distribution(const RssmShape& shape, Doubles out) {
  const int groups = shape.groups, classes = shape.classes;
  if (classes == 0) {
    for (int g = 0; g < groups; ++g) {
      double& deviation = out[static_cast<size_t>(groups + g)];
      deviation = std::log1p(std::exp(deviation)) + static_cast<double>(shape.floor);
    }
    return out;
  }
  const double mix = static_cast<double>(shape.mix);
  for (int g = 0; g < groups; ++g) {
    double* logits = out.data() + g * classes;
    double sum = 0.0;
    for (int c = 0; c < classes; ++c) sum += std::exp(logits[c]);
    for (int c = 0; c < classes; ++c) {
      logits[c] = std::log((1.0 - mix) * std::exp(logits[c]) / sum + mix / classes);
    }
  }
  return out;
}

inline double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline float* Room(Floats& floats, int64_t count) {
  floats.assign(static_cast<size_t>(count), std::numeric_limits<float>::quiet_NaN());
  return floats.data();
}

inline RssmOutputs Forward(RssmEngine& engine, const RssmProblem& p, RssmResult& r) {
  const RssmShape& s = p.shape;
  r.index.assign(static_cast<size_t>(p.rows() * s.groups), -1);
  const RssmOutputs outputs{Room(r.deter, p.rows() * s.deter),
                            Room(r.stoch, p.rows() * s.stoch()),
                            Room(r.prior, p.rows() * s.parameters()),
                            s.observes() ? Room(r.posterior, p.rows() * s.parameters()) : nullptr,
                            s.classes > 0 ? r.index.data() : nullptr,
                            Room(r.x, p.rows() * s.hidden),
                            Room(r.gates, p.rows() * kGates * s.deter),
                            Room(r.prior_hidden, p.rows() * s.hidden),
                            s.observes() ? Room(r.posterior_hidden, p.rows() * s.hidden) : nullptr};
  engine.Forward(s, p.Weights(), p.Sequence(), outputs);
  return outputs;
}

inline constexpr RssmShape kShapes[] = {
    {1, 1, 1, 1, 1, 2, 0.01f, 0.1f},  {3, 6, 9, 7, 4, 5, 0.01f, 0.1f},
    {4, 0, 33, 20, 3, 8, 0.0f, 0.1f}, {2, 17, 31, 65, 6, 33, 0.3f, 0.1f},
    {3, 5, 9, 11, 6, 0, 0.01f, 0.1f}, {3, 0, 70, 16, 5, 0, 0.01f, 0.0f}};

}  // namespace metabonk::nn
