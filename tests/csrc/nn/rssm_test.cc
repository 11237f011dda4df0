// RSSM sequences against the formula in double precision: every tier, samples, threads, plans.
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "nn/formats.h"
#include "nn/rssm_imagine.h"
#include "nn/rssm_plan.h"
#include "nn/rssm_scan.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

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
  RssmShape shape;
  int steps, batch;
  Floats deter, stoch, action, embed, keep, noise, weights[14];

  Problem(RssmShape widths, int step_count, int batch_size)
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

struct Result {
  Floats deter, stoch, prior, posterior, x, gates, prior_hidden, posterior_hidden;
  std::vector<int32_t> index;
  Floats d_deter, d_stoch, d_action, d_embed, d_weights[14];

  bool operator==(const Result& other) const = default;
};

float* Room(Floats& floats, int64_t count) {
  floats.assign(static_cast<size_t>(count), std::numeric_limits<float>::quiet_NaN());
  return floats.data();
}

RssmOutputs Forward(RssmEngine& engine, const Problem& p, Result& r) {
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

// The gradient of the sum of all deterministic states and, weighted, of all parameters.
Result Run(const Problem& p, int threads, const Floats& pull) {
  RssmEngine engine(threads);
  Result r;
  const RssmOutputs outputs = Forward(engine, p, r);
  const Floats ones(r.deter.size(), 1.0f);
  const auto like = [](Floats& floats, const Floats& other) {
    return Room(floats, static_cast<int64_t>(other.size()));
  };
  float* d[14];
  for (int i = 0; i < 14; ++i) d[i] = like(r.d_weights[i], p.weights[i]);
  const RssmGradients gradients{like(r.d_deter, p.deter),
                                like(r.d_stoch, p.stoch),
                                like(r.d_action, p.action),
                                p.shape.observes() ? like(r.d_embed, p.embed) : nullptr,
                                d[0],
                                d[1],
                                d[2],
                                d[3],
                                d[4],
                                d[5],
                                d[6],
                                d[7],
                                d[8],
                                d[9],
                                d[10],
                                d[11],
                                d[12],
                                d[13]};
  engine.Backward(p.shape, p.Weights(), p.Sequence(), outputs,
                  {ones.data(), nullptr, pull.data(), p.shape.observes() ? pull.data() : nullptr},
                  gradients);
  return r;
}

double Elu(double x) { return x > 0.0 ? x : std::expm1(x); }
double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

Doubles Linear(const Floats& w, const Floats& b, const Doubles& x) {
  Doubles y;
  for (size_t i = 0; i < b.size(); ++i) {
    double sum = b[i];
    for (size_t j = 0; j < x.size(); ++j) sum += static_cast<double>(w[i * x.size() + j]) * x[j];
    y.push_back(sum);
  }
  return y;
}

Doubles Head(const Problem& p, int first, const Doubles& x) {
  Doubles hidden = Linear(p.weights[first], p.weights[first + 1], x);
  for (double& h : hidden) h = Elu(h);
  Doubles out = Linear(p.weights[first + 2], p.weights[first + 3], hidden);
  const int groups = p.shape.groups, classes = p.shape.classes;
  if (classes == 0) {
    for (int g = 0; g < groups; ++g) {
      double& deviation = out[static_cast<size_t>(groups + g)];
      deviation = std::log1p(std::exp(deviation)) + static_cast<double>(p.shape.floor);
    }
    return out;
  }
  const double mix = static_cast<double>(p.shape.mix);
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

struct Exact {
  Doubles deter, prior, posterior;
};

// Step t of row b in double, from the states before it.
Exact StepOf(const Problem& p, int t, int b, Doubles deter, const Doubles& stoch) {
  const auto at = static_cast<size_t>(int64_t{t} * p.batch + b);
  const RssmShape& s = p.shape;
  const double keep = static_cast<double>(p.keep[at]);
  Doubles joined;
  for (const double x : stoch) joined.push_back(keep * x);
  for (int i = 0; i < s.action; ++i) {
    const size_t place = at * static_cast<size_t>(s.action) + static_cast<size_t>(i);
    joined.push_back(keep * static_cast<double>(p.action[place]));
  }
  for (double& h : deter) h *= keep;
  Doubles x = Linear(p.weights[0], p.weights[1], joined);
  for (double& v : x) v = Elu(v);
  const Doubles from_x = Linear(p.weights[2], p.weights[4], x);
  const Doubles from_h = Linear(p.weights[3], p.weights[5], deter);
  const auto width = static_cast<size_t>(s.deter);
  Exact exact;
  for (size_t i = 0; i < width; ++i) {
    const double r = Sigmoid(from_x[i] + from_h[i]);
    const double z = Sigmoid(from_x[width + i] + from_h[width + i]);
    const double n = std::tanh(from_x[2 * width + i] + r * from_h[2 * width + i]);
    exact.deter.push_back((1.0 - z) * n + z * deter[i]);
  }
  exact.prior = Head(p, 6, exact.deter);
  if (!s.observes()) return exact;
  Doubles seen = exact.deter;
  for (int i = 0; i < s.embed; ++i) {
    const size_t place = at * static_cast<size_t>(s.embed) + static_cast<size_t>(i);
    seen.push_back(static_cast<double>(p.embed[place]));
  }
  exact.posterior = Head(p, 10, seen);
  return exact;
}

Doubles Some(const Floats& from, int64_t first, int count) {
  const auto begin = from.begin() + first;
  return Doubles(begin, begin + count);
}

const RssmShape kShapes[] = {{1, 1, 1, 1, 1, 2, 0.01f, 0.1f},  {3, 6, 9, 7, 4, 5, 0.01f, 0.1f},
                             {4, 0, 33, 20, 3, 8, 0.0f, 0.1f}, {2, 17, 31, 65, 6, 33, 0.3f, 0.1f},
                             {3, 5, 9, 11, 6, 0, 0.01f, 0.1f}, {3, 0, 70, 16, 5, 0, 0.01f, 0.0f}};

}  // namespace

TEST(nn_rssm_follows_the_formula_on_every_tier) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      const Problem p(shape, 3, 13);
      RssmEngine engine(1);
      Result found;
      Forward(engine, p, found);
      for (int b = 0; b < p.batch; ++b) {
        Doubles deter = Some(p.deter, int64_t{b} * shape.deter, shape.deter);
        Doubles stoch = Some(p.stoch, int64_t{b} * shape.stoch(), shape.stoch());
        for (int t = 0; t < p.steps; ++t) {
          const int64_t at = int64_t{t} * p.batch + b;
          const Exact exact = StepOf(p, t, b, deter, stoch);
          for (int i = 0; i < shape.deter; ++i) {
            const auto place = static_cast<size_t>(at * shape.deter + i);
            CHECK_NEAR(found.deter[place], exact.deter[static_cast<size_t>(i)], 3e-6);
          }
          for (int i = 0; i < shape.parameters(); ++i) {
            const auto place = static_cast<size_t>(at * shape.parameters() + i);
            CHECK_NEAR(found.prior[place], exact.prior[static_cast<size_t>(i)], 1e-5);
            if (!shape.observes()) continue;
            CHECK_NEAR(found.posterior[place], exact.posterior[static_cast<size_t>(i)], 1e-5);
          }
          // The next step starts from the sample that was drawn, so that none can differ by chance.
          deter = exact.deter;
          stoch = Some(found.stoch, at * shape.stoch(), shape.stoch());
        }
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_samples_follow_the_noise_on_every_tier) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      const Problem p(shape, 2, 7);
      RssmEngine engine(1);
      Result found;
      Forward(engine, p, found);
      const Floats& from = shape.observes() ? found.posterior : found.prior;
      for (int64_t i = 0; i < p.rows() * shape.groups; ++i) {
        const auto at = static_cast<size_t>(i);
        const int64_t row = i / shape.groups, group = i % shape.groups;
        if (shape.classes == 0) {
          const auto mean = static_cast<size_t>(row * shape.parameters() + group);
          const auto deviation = mean + static_cast<size_t>(shape.groups);
          CHECK_NEAR(found.stoch[at], from[mean] + from[deviation] * p.noise[at], 1e-6);
          continue;
        }
        double below = 0.0;
        const int chosen = found.index[at];
        for (int c = 0; c < shape.classes; ++c) {
          const auto place = static_cast<size_t>(i * shape.classes + c);
          CHECK_EQ(found.stoch[place], c == chosen ? 1.0f : 0.0f);
          if (c < chosen) below += std::exp(static_cast<double>(from[place]));
        }
        const auto place = static_cast<size_t>(i * shape.classes + chosen);
        const double above = below + std::exp(static_cast<double>(from[place]));
        CHECK(static_cast<double>(p.noise[at]) > below - 1e-5);
        CHECK(static_cast<double>(p.noise[at]) < above + 1e-5);
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_gradients_are_derivatives_on_every_tier) {
  // One step of Gaussians, whose samples no later step reads: nothing straight through.
  const RssmShape shape{3, 5, 9, 7, 4, 0, 0.01f, 0.1f};
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    Problem p(shape, 1, 5);
    const Floats pull = Numbers(p.rows() * shape.parameters(), 77, 2.0f);
    const Result found = Run(p, 1, pull);
    const auto loss = [&] {
      double sum = 0.0;
      for (int b = 0; b < p.batch; ++b) {
        const Exact e = StepOf(p, 0, b, Some(p.deter, int64_t{b} * shape.deter, shape.deter),
                               Some(p.stoch, int64_t{b} * shape.stoch(), shape.stoch()));
        for (const double h : e.deter) sum += h;
        for (size_t i = 0; i < e.prior.size(); ++i) {
          const size_t at = static_cast<size_t>(b) * e.prior.size() + i;
          sum += static_cast<double>(pull[at]) * (e.prior[i] + e.posterior[i]);
        }
      }
      return sum;
    };
    const auto compare = [&](Floats& values, const Floats& gradient) {
      for (size_t i = 0; i < values.size(); i += 3) {
        const float before = values[i];
        const float step = 0.0009765625f;  // exact in sums with numbers of this size
        values[i] = before + step;
        const double up = loss(), above = values[i];
        values[i] = before - step;
        const double down = loss(), below = values[i];
        values[i] = before;
        CHECK_NEAR(gradient[i], (up - down) / (above - below), 1e-4);
      }
    };
    compare(p.deter, found.d_deter);
    compare(p.stoch, found.d_stoch);
    compare(p.action, found.d_action);
    compare(p.embed, found.d_embed);
    for (int i = 0; i < 14; ++i) compare(p.weights[i], found.d_weights[i]);
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_gives_the_same_bits_on_any_number_of_threads) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    const Problem p({5, 24, 96, 80, 4, 8, 0.01f, 0.1f}, 3, 201);
    const Floats pull = Numbers(p.rows() * p.shape.parameters(), 77, 2.0f);
    const Result one = Run(p, 1, pull);
    CHECK(Run(p, 2, pull) == one);
    CHECK(Run(p, 3, pull) == one);
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_plan_is_a_sequence_of_one_step_and_may_write_in_place) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      Problem p(shape, 1, 61);
      RssmEngine engine(1);
      Result want;
      const RssmOutputs to = Forward(engine, p, want);
      const Result copy = want;
      for (const bool in_place : {false, true}) {
        want.deter.assign(want.deter.size(), 0.0f);
        want.prior.assign(want.prior.size(), 0.0f);
        RssmPlan plan(
            shape, p.Weights(),
            {p.batch, p.deter.data(), p.Sequence().state, p.action.data(), p.Sequence().embed,
             p.keep.data(), p.noise.data(), in_place ? p.deter.data() : to.deter, to.stoch,
             to.index, to.prior, to.posterior});
        plan.Step();
        CHECK((in_place ? p.deter : want.deter) == copy.deter);
        CHECK(want.stoch == copy.stoch);
        CHECK(want.prior == copy.prior);
        CHECK(want.posterior == copy.posterior);
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_plan_in_bf16_gives_the_bits_of_rounded_weights) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      Problem p(shape, 1, 5);
      const auto run = [&](bool half) {
        RssmEngine engine(1);
        Result r;
        const RssmOutputs to = Forward(engine, p, r);
        RssmPlan plan(
            shape, p.Weights(),
            {p.batch, p.deter.data(), p.Sequence().state, p.action.data(), p.Sequence().embed,
             p.keep.data(), p.noise.data(), to.deter, to.stoch, to.index, to.prior, to.posterior},
            half);
        plan.Step();
        return r;
      };
      const Result half = run(true);
      for (const int matrix : {0, 2, 3, 6, 8, 10, 12}) {
        for (float& w : p.weights[matrix]) w = FloatFromBf16(Bf16FromFloat(w));
      }
      const Result rounded = run(false);
      CHECK(half.deter == rounded.deter);
      CHECK(half.prior == rounded.prior);
      CHECK(half.posterior == rounded.posterior);
      CHECK(half.stoch == rounded.stoch);
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_dreams_are_steps_of_the_prior_and_do_not_allocate) {
  const RssmShape shape{3, 0, 33, 20, 4, 8, 0.01f, 0.1f};
  const int steps = 4, batch = 61;
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    const Problem p(shape, steps, batch);
    RssmActor actor{};
    actor.kind = ActionKind::kSquashed;
    actor.floor = 0.1f;
    actor.layers = 2;
    const int joined = shape.deter + shape.stoch();
    const Floats w0 = Numbers(int64_t{17} * joined, 31, 0.3f), b0 = Numbers(17, 32, 0.5f);
    const Floats w1 = Numbers(int64_t{6} * 17, 33, 0.5f), b1 = Numbers(6, 34, 0.5f);
    const float* weights[] = {w0.data(), w1.data()};
    const float* biases[] = {b0.data(), b1.data()};
    const int units[] = {17, 6};
    for (int i = 0; i < 2; ++i) {
      actor.weights[i] = weights[i];
      actor.biases[i] = biases[i];
      actor.units[i] = units[i];
    }
    const Floats draws = Numbers(p.rows() * shape.action, 35, 3.0f);
    Result r;
    Floats action, log_prob, policy;
    r.index.assign(static_cast<size_t>(p.rows() * shape.groups), -1);
    const RssmDream dream{Room(r.deter, p.rows() * shape.deter),
                          Room(r.stoch, p.rows() * shape.stoch()),
                          Room(r.prior, p.rows() * shape.parameters()),
                          r.index.data(),
                          Room(action, p.rows() * shape.action),
                          Room(log_prob, p.rows()),
                          Room(policy, p.rows() * 6)};
    const RssmStarts starts{steps,          batch,       p.deter.data(), {p.stoch.data(), nullptr},
                            p.noise.data(), draws.data()};
    RssmImagination engine(2);
    engine.Run(shape, p.Weights(), actor, starts, dream);
    const size_t before = check::Allocations();
    engine.Run(shape, p.Weights(), actor, starts, dream);
    CHECK_EQ(check::Allocations(), before);
    // The same sequence under the actions that were chosen.
    Problem replay = p;
    replay.action = action;
    replay.keep.assign(replay.keep.size(), 1.0f);
    RssmEngine sequence(1);
    Result want;
    Forward(sequence, replay, want);
    CHECK(r.deter == want.deter);
    CHECK(r.stoch == want.stoch);
    CHECK(r.prior == want.prior);
    for (size_t i = 0; i < action.size(); ++i) {
      const size_t row = i / 3, mean = row * 6 + i % 3;
      CHECK_NEAR(action[i], std::tanh(policy[mean] + policy[mean + 3] * draws[i]), 1e-6);
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_names_the_first_index_that_is_no_class) {
  const RssmShape shape{1, 0, 1, 1, 2, 5, 0.01f, 0.1f};
  const int32_t index[] = {0, 4, 1, 5, -1, 0};
  CHECK_EQ(RssmBadIndex(shape, {nullptr, index}, 1), -1);
  CHECK_EQ(RssmBadIndex(shape, {nullptr, index}, 3), 3);
  CHECK_EQ(RssmBadIndex(shape, {nullptr, index + 4}, 1), 0);
}

TEST(nn_rssm_does_not_allocate_once_it_has_seen_a_sequence) {
  const Problem p({4, 6, 24, 20, 4, 8, 0.01f, 0.1f}, 3, 50);
  RssmEngine engine(2);
  Result r;
  const RssmOutputs outputs = Forward(engine, p, r);
  Floats d[18];
  float* to[18];
  const Floats* like[] = {&p.deter, &p.stoch, &p.action, &p.embed};
  for (size_t i = 0; i < 18; ++i) {
    d[i].resize(i < 4 ? like[i]->size() : p.weights[i - 4].size());
    to[i] = d[i].data();
  }
  const RssmGradients gradients{to[0],  to[1],  to[2],  to[3],  to[4],  to[5],
                                to[6],  to[7],  to[8],  to[9],  to[10], to[11],
                                to[12], to[13], to[14], to[15], to[16], to[17]};
  RssmPlan plan(p.shape, p.Weights(),
                {p.batch, p.deter.data(), p.Sequence().state, p.action.data(), p.embed.data(),
                 p.keep.data(), p.noise.data(), outputs.deter, outputs.stoch, outputs.index,
                 outputs.prior, outputs.posterior});
  const auto all = [&] {
    engine.Forward(p.shape, p.Weights(), p.Sequence(), outputs);
    engine.Backward(p.shape, p.Weights(), p.Sequence(), outputs,
                    {outputs.deter, outputs.stoch, outputs.prior, outputs.posterior}, gradients);
    plan.Step();
  };
  all();
  const size_t before = check::Allocations();
  for (int i = 0; i < 20; ++i) all();
  CHECK_EQ(check::Allocations(), before);
}

}  // namespace metabonk::nn
