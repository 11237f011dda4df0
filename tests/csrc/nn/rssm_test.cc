// RSSM sequences against the formula in double precision: every tier, samples, gradients, threads.
#include <cmath>
#include <vector>

#include "check.h"
#include "nn/rssm_cases.h"
#include "nn/rssm_scan.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

// The gradient of the sum of all deterministic states and, weighted, of all parameters.
RssmResult Run(const RssmProblem& p, int threads, const Floats& pull) {
  RssmEngine engine(threads);
  RssmResult r;
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

Doubles Linear(const Floats& w, const Floats& b, const Doubles& x) {
  Doubles y;
  for (size_t i = 0; i < b.size(); ++i) {
    double sum = b[i];
    for (size_t j = 0; j < x.size(); ++j) sum += static_cast<double>(w[i * x.size() + j]) * x[j];
    y.push_back(sum);
  }
  return y;
}

Doubles Head(const RssmProblem& p, int first, const Doubles& x) {
  Doubles hidden = Linear(p.weights[first], p.weights[first + 1], x);
  for (double& h : hidden) h = Elu(h);
  return Distribution(p.shape, Linear(p.weights[first + 2], p.weights[first + 3], hidden));
}

struct Exact {
  Doubles deter, prior, posterior;
};

// Step t of row b in double, from the states before it.
Exact StepOf(const RssmProblem& p, int t, int b, Doubles deter, const Doubles& stoch) {
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

}  // namespace

TEST(nn_rssm_follows_the_formula_on_every_tier) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      const RssmProblem p(shape, 3, 13);
      RssmEngine engine(1);
      RssmResult found;
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
      const RssmProblem p(shape, 2, 7);
      RssmEngine engine(1);
      RssmResult found;
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
    RssmProblem p(shape, 1, 5);
    const Floats pull = Numbers(p.rows() * shape.parameters(), 77, 2.0f);
    const RssmResult found = Run(p, 1, pull);
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
    const RssmProblem p({5, 24, 96, 80, 4, 8, 0.01f, 0.1f}, 3, 201);
    const Floats pull = Numbers(p.rows() * p.shape.parameters(), 77, 2.0f);
    const RssmResult one = Run(p, 1, pull);
    CHECK(Run(p, 2, pull) == one);
    CHECK(Run(p, 3, pull) == one);
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
  const RssmProblem p({4, 6, 24, 20, 4, 8, 0.01f, 0.1f}, 3, 50);
  RssmEngine engine(2);
  RssmResult r;
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
  const auto all = [&] {
    engine.Forward(p.shape, p.Weights(), p.Sequence(), outputs);
    engine.Backward(p.shape, p.Weights(), p.Sequence(), outputs,
                    {outputs.deter, outputs.stoch, outputs.prior, outputs.posterior}, gradients);
  };
  all();
  const size_t before = check::Allocations();
  for (int i = 0; i < 20; ++i) all();
  CHECK_EQ(check::Allocations(), before);
}

}  // namespace metabonk::nn
