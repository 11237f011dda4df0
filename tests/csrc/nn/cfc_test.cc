// CfC sequences against the formula in double precision: every tier, odd sizes, threads, plans.
#include "nn/cfc.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.h"
#include "nn/cfc_plan.h"
#include "nn/formats.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

using Floats = std::vector<float>;

Floats Numbers(int64_t count, uint32_t seed, float scale) {
  Floats numbers(static_cast<size_t>(count));
  for (float& x : numbers) {
    seed = seed * 1664525u + 1013904223u;
    x = (static_cast<float>(seed >> 8) / 16777216.0f - 0.5f) * scale;
  }
  return numbers;
}

std::vector<CpuTier> Tiers() {
  std::vector<CpuTier> tiers;
  for (int i = 0; i <= static_cast<int>(DetectedTier()); ++i) {
    tiers.push_back(static_cast<CpuTier>(i));
  }
  return tiers;
}

struct Problem {
  CfcShape shape;
  int steps, batch;
  Floats x, h, dt, keep, in, in_bias, heads, heads_bias, d_out;

  Problem(CfcShape widths, int step_count, int batch_size)
      : shape(widths), steps(step_count), batch(batch_size) {
    const int64_t rows = int64_t{steps} * batch;
    const int joined = shape.inputs + shape.hidden;
    x = Numbers(rows * shape.inputs, 1, 2.0f);
    h = Numbers(int64_t{batch} * shape.hidden, 2, 1.0f);
    dt = Numbers(rows, 3, 4.0f);
    keep = Numbers(rows, 4, 1.0f);
    for (float& k : keep) k = k > -0.3f ? 1.0f : 0.0f;
    in = Numbers(int64_t{shape.backbone} * joined, 5, Scale(joined));
    in_bias = Numbers(shape.backbone, 6, 0.5f);
    heads = Numbers(int64_t{4} * shape.hidden * shape.backbone, 7, Scale(shape.backbone));
    heads_bias = Numbers(int64_t{4} * shape.hidden, 8, 0.5f);
    d_out = Numbers(rows * shape.hidden, 9, 2.0f);
  }

  static float Scale(int width) { return 3.0f / std::sqrt(static_cast<float>(width)); }
  CfcWeights Weights() const {
    return {in.data(), in_bias.data(), heads.data(), heads_bias.data()};
  }
  CfcSequence Sequence() const {
    return {steps, batch, x.data(), h.data(), dt.data(), keep.data()};
  }
  int64_t rows() const { return int64_t{steps} * batch; }
};

struct Result {
  Floats out, z, heads, x, h, dt, keep, in, in_bias, d_heads, heads_bias;

  bool operator==(const Result& other) const = default;
};

Result Run(const Problem& p, int threads) {
  CfcEngine engine(threads);
  Result r;
  const auto room = [](Floats& floats, int64_t count) {
    floats.assign(static_cast<size_t>(count), std::numeric_limits<float>::quiet_NaN());
    return floats.data();
  };
  const CfcOutputs outputs{room(r.out, p.rows() * p.shape.hidden),
                           room(r.z, p.rows() * p.shape.backbone),
                           room(r.heads, p.rows() * 4 * p.shape.hidden)};
  engine.Forward(p.shape, p.Weights(), p.Sequence(), outputs);
  const auto same = [&](Floats& floats, const Floats& like) {
    return room(floats, static_cast<int64_t>(like.size()));
  };
  const CfcGradients gradients{same(r.x, p.x),           same(r.h, p.h),
                               same(r.dt, p.dt),         same(r.keep, p.keep),
                               same(r.in, p.in),         same(r.in_bias, p.in_bias),
                               same(r.d_heads, p.heads), same(r.heads_bias, p.heads_bias)};
  engine.Backward(p.shape, p.Weights(), p.Sequence(), outputs, p.d_out.data(), gradients);
  return r;
}

// One step of one row in double; `at` is its place in x, dt and keep.
std::vector<double> Exact(const Problem& p, int64_t at, const std::vector<double>& state) {
  const int inputs = p.shape.inputs, hidden = p.shape.hidden, backbone = p.shape.backbone;
  std::vector<double> joined;
  for (int i = 0; i < inputs; ++i) joined.push_back(p.x[static_cast<size_t>(at * inputs + i)]);
  for (const double s : state) joined.push_back(s * p.keep[static_cast<size_t>(at)]);
  const auto line = [](const Floats& w, const Floats& b, int row, const std::vector<double>& v) {
    double sum = b[static_cast<size_t>(row)];
    for (size_t i = 0; i < v.size(); ++i) {
      sum += static_cast<double>(w[static_cast<size_t>(row) * v.size() + i]) * v[i];
    }
    return sum;
  };
  std::vector<double> z, next;
  for (int i = 0; i < backbone; ++i) {
    z.push_back(1.7159 * std::tanh(0.666 * line(p.in, p.in_bias, i, joined)));
  }
  for (int i = 0; i < hidden; ++i) {
    double head[4];
    for (int k = 0; k < 4; ++k) head[k] = line(p.heads, p.heads_bias, k * hidden + i, z);
    const double dt = p.dt[static_cast<size_t>(at)];
    const double t = 1.0 / (1.0 + std::exp(-(head[2] * dt + head[3])));
    next.push_back((1.0 - t) * std::tanh(head[0]) + t * std::tanh(head[1]));
  }
  return next;
}

// sum(out * d_out) in double: what the gradients are derivatives of.
double Loss(const Problem& p) {
  double loss = 0.0;
  for (int b = 0; b < p.batch; ++b) {
    std::vector<double> state;
    for (int i = 0; i < p.shape.hidden; ++i) {
      state.push_back(p.h[static_cast<size_t>(b * p.shape.hidden + i)]);
    }
    for (int t = 0; t < p.steps; ++t) {
      const int64_t at = int64_t{t} * p.batch + b;
      state = Exact(p, at, state);
      for (int i = 0; i < p.shape.hidden; ++i) {
        const auto place = static_cast<size_t>(at * p.shape.hidden + i);
        loss += state[static_cast<size_t>(i)] * static_cast<double>(p.d_out[place]);
      }
    }
  }
  return loss;
}

const std::vector<std::pair<CfcShape, std::pair<int, int>>> kProblems = {
    {{1, 1, 1}, {1, 1}},     {{3, 6, 9}, {3, 5}},   {{20, 33, 17}, {2, 13}},
    {{64, 16, 64}, {2, 97}}, {{7, 70, 65}, {3, 2}},
};

}  // namespace

TEST(nn_cfc_follows_the_formula_on_every_tier) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const auto& [shape, length] : kProblems) {
      const Problem p(shape, length.first, length.second);
      const Result found = Run(p, 1);
      for (int b = 0; b < p.batch; ++b) {
        std::vector<double> state;
        for (int i = 0; i < shape.hidden; ++i) {
          state.push_back(p.h[static_cast<size_t>(b * shape.hidden + i)]);
        }
        for (int t = 0; t < p.steps; ++t) {
          const int64_t at = int64_t{t} * p.batch + b;
          state = Exact(p, at, state);
          for (int i = 0; i < shape.hidden; ++i) {
            const auto place = static_cast<size_t>(at * shape.hidden + i);
            CHECK_NEAR(found.out[place], state[static_cast<size_t>(i)], 3e-6);
          }
        }
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_cfc_gradients_are_derivatives_on_every_tier) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    Problem p({3, 6, 9}, 3, 5);
    const Result found = Run(p, 1);
    const std::pair<Floats*, const Floats*> all[] = {
        {&p.x, &found.x},           {&p.h, &found.h},
        {&p.dt, &found.dt},         {&p.keep, &found.keep},
        {&p.in, &found.in},         {&p.in_bias, &found.in_bias},
        {&p.heads, &found.d_heads}, {&p.heads_bias, &found.heads_bias}};
    for (const auto& [values, gradient] : all) {
      for (size_t i = 0; i < values->size(); i += 3) {
        const float before = (*values)[i];
        const float step = 0.0009765625f;  // exact in sums with numbers of this size
        (*values)[i] = before + step;
        const double up = Loss(p), above = (*values)[i];
        (*values)[i] = before - step;
        const double down = Loss(p), below = (*values)[i];
        (*values)[i] = before;
        CHECK_NEAR((*gradient)[i], (up - down) / (above - below), 1e-4);
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_cfc_gives_the_same_bits_on_any_number_of_threads) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    const Problem p({40, 72, 80}, 3, 301);
    const Result one = Run(p, 1);
    CHECK(Run(p, 2) == one);
    CHECK(Run(p, 3) == one);
  }
  CapTier(DetectedTier());
}

TEST(nn_cfc_plan_is_a_sequence_of_one_step_and_may_write_in_place) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const int batch : {1, 2, 5, 96, 130}) {
      Problem p({20, 33, 40}, 1, batch);
      const Result want = Run(p, 1);
      Floats out(p.h.size());
      CfcPlan plan(p.shape, p.Weights(), p.Sequence(), out.data(), false, 1);
      plan.Step();
      CHECK(out == want.out);
      CfcPlan in_place(p.shape, p.Weights(), p.Sequence(), p.h.data(), false, 1);
      in_place.Step();
      CHECK(p.h == want.out);
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_cfc_plan_of_half_weights_is_one_of_rounded_weights_on_any_number_of_threads) {
  const auto rounded = [](Floats numbers) {
    for (float& x : numbers) x = FloatFromBf16(Bf16FromFloat(x));
    return numbers;
  };
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const int batch : {1, 2, 7, 600}) {
      const Problem p({31, 40, 70}, 1, batch);
      Problem coarse = p;
      coarse.in = rounded(p.in);
      coarse.heads = rounded(p.heads);
      const Result want = Run(coarse, 1);
      for (const int threads : {1, 3}) {
        Floats out(p.h.size());
        CfcPlan plan(p.shape, p.Weights(), p.Sequence(), out.data(), true, threads);
        CHECK_EQ(plan.threads(), batch < 600 ? 1 : std::min(threads, 2));
        plan.Step();
        CHECK(out == want.out);
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_cfc_does_not_allocate_once_it_has_seen_a_sequence) {
  const Problem p({16, 24, 32}, 4, 50);
  Floats out(static_cast<size_t>(p.rows() * 24)), z(static_cast<size_t>(p.rows() * 32)),
      heads(static_cast<size_t>(p.rows() * 96)), d_x(p.x.size()), d_h(p.h.size()),
      d_in(p.in.size()), d_in_bias(32), d_heads(p.heads.size()), d_heads_bias(96);
  CfcEngine engine(2);
  CfcPlan plan(p.shape, p.Weights(), {1, p.batch, p.x.data(), p.h.data(), nullptr, nullptr},
               out.data(), false, 1);
  const Problem large({64, 64, 96}, 1, 700);
  Floats large_out(large.h.size());
  CfcPlan threaded(large.shape, large.Weights(), large.Sequence(), large_out.data(), true, 3);
  CHECK_EQ(threaded.threads(), 3);
  const auto all = [&] {
    engine.Forward(p.shape, p.Weights(), p.Sequence(), {out.data(), z.data(), heads.data()});
    engine.Backward(p.shape, p.Weights(), p.Sequence(), {out.data(), z.data(), heads.data()},
                    p.d_out.data(),
                    {d_x.data(), d_h.data(), nullptr, nullptr, d_in.data(), d_in_bias.data(),
                     d_heads.data(), d_heads_bias.data()});
    plan.Step();
    threaded.Step();
  };
  all();
  const size_t before = check::Allocations();
  for (int i = 0; i < 20; ++i) all();
  CHECK_EQ(check::Allocations(), before);
}

}  // namespace metabonk::nn
