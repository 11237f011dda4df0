// Dreams: the steps of the prior under the actions that were chosen, on every tier.
#include "nn/rssm_imagine.h"

#include <cmath>
#include <vector>

#include "check.h"
#include "nn/rssm_cases.h"
#include "support/cpu.h"

namespace metabonk::nn {

TEST(nn_rssm_dreams_are_steps_of_the_prior_and_do_not_allocate) {
  const RssmShape shape{3, 0, 33, 20, 4, 8, 0.01f, 0.1f};
  const int steps = 4, batch = 61;
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    const RssmProblem p(shape, steps, batch);
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
    RssmResult r;
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
    RssmProblem replay = p;
    replay.action = action;
    replay.keep.assign(replay.keep.size(), 1.0f);
    RssmEngine sequence(1);
    RssmResult want;
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

}  // namespace metabonk::nn
