// Dreams: the steps of the prior under the actions that were chosen, and their gradients, on every
// tier.
#include "nn/rssm_imagine.h"

#include <cmath>
#include <vector>

#include "check.h"
#include "nn/rssm_cases.h"
#include "nn/rssm_dream_plan.h"
#include "support/cpu.h"

namespace metabonk::nn {

namespace {

constexpr RssmShape kShape{3, 0, 33, 20, 4, 8, 0.01f, 0.1f};
constexpr int kSteps = 4, kBatch = 61, kHidden = 17, kPutOut = 6;

// A dream of a squashed actor of two layers, and all that is written of it.
struct Imagined {
  RssmProblem p{kShape, kSteps, kBatch};
  Floats w0, b0, w1, b1, draws;
  Floats deter, stoch, prior, action, log_prob, policy, x, gates, prior_hidden, units;
  std::vector<int32_t> index;
  RssmActor actor{};

  // scale: of the actor's weights.
  explicit Imagined(float scale)
      : w0(Numbers(int64_t{kHidden} * (kShape.deter + kShape.stoch()), 31, 0.3f * scale)),
        b0(Numbers(kHidden, 32, 0.5f)),
        w1(Numbers(int64_t{kPutOut} * kHidden, 33, 0.5f)),
        b1(Numbers(kPutOut, 34, 0.5f)),
        draws(Numbers(p.rows() * kShape.action, 35, 3.0f)) {
    actor.kind = ActionKind::kSquashed;
    actor.floor = 0.1f;
    for (const auto& [weights, bias] : {std::pair{&w0, &b0}, std::pair{&w1, &b1}}) {
      actor.weights[actor.layers] = weights->data();
      actor.biases[actor.layers] = bias->data();
      actor.units[actor.layers++] = static_cast<int>(bias->size());
    }
    index.assign(static_cast<size_t>(p.rows() * kShape.groups), -1);
  }

  RssmStarts Starts() const {
    return {kSteps,         kBatch,      p.deter.data(), {p.stoch.data(), nullptr},
            p.noise.data(), draws.data()};
  }

  RssmDream Outputs(bool saving) {
    const int64_t rows = p.rows();
    const auto kept = [&](Floats& floats, int width) {
      return saving ? Room(floats, rows * width) : nullptr;
    };
    return {Room(deter, rows * kShape.deter),
            Room(stoch, rows * kShape.stoch()),
            Room(prior, rows * kShape.parameters()),
            index.data(),
            Room(action, rows * kShape.action),
            Room(log_prob, rows),
            Room(policy, rows * kPutOut),
            kept(x, kShape.hidden),
            kept(gates, kGates * kShape.deter),
            kept(prior_hidden, kShape.hidden),
            kept(units, kHidden)};
  }
};

// Gradients of the RSSM, and of the actor.
struct Gradients {
  Floats deter, stoch, action, weights[14], actor[4];
  RssmActorGradients of_actor{};

  RssmGradients Rooms(const RssmProblem& p, bool of_actions) {
    RssmGradients to{};
    to.deter = Room(deter, static_cast<int64_t>(p.deter.size()));
    to.stoch = Room(stoch, static_cast<int64_t>(p.stoch.size()));
    to.action = of_actions ? Room(action, static_cast<int64_t>(p.action.size())) : nullptr;
    float** places[] = {&to.in,        &to.in_bias,       &to.ih,    &to.hh,
                        &to.ih_bias,   &to.hh_bias,       &to.prior, &to.prior_bias,
                        &to.prior_out, &to.prior_out_bias};
    for (size_t i = 0; i < std::size(places); ++i) {
      *places[i] = Room(weights[i], static_cast<int64_t>(p.weights[i].size()));
    }
    return to;
  }
  const RssmActorGradients& OfActor(const Imagined& d) {
    of_actor.weights[0] = Room(actor[0], static_cast<int64_t>(d.w0.size()));
    of_actor.biases[0] = Room(actor[1], static_cast<int64_t>(d.b0.size()));
    of_actor.weights[1] = Room(actor[2], static_cast<int64_t>(d.w1.size()));
    of_actor.biases[1] = Room(actor[3], static_cast<int64_t>(d.b1.size()));
    return of_actor;
  }
};

}  // namespace

TEST(nn_rssm_dreams_are_steps_of_the_prior_and_do_not_allocate) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    Imagined d(1.0f);
    const RssmDream dream = d.Outputs(false);
    RssmImagination engine(2);
    engine.Run(kShape, d.p.Weights(), d.actor, d.Starts(), dream);
    const size_t before = check::Allocations();
    engine.Run(kShape, d.p.Weights(), d.actor, d.Starts(), dream);
    CHECK_EQ(check::Allocations(), before);
    // The same sequence under the actions that were chosen.
    RssmProblem replay = d.p;
    replay.action = d.action;
    replay.keep.assign(replay.keep.size(), 1.0f);
    RssmEngine sequence(1);
    RssmResult want;
    Forward(sequence, replay, want);
    CHECK(d.deter == want.deter);
    CHECK(d.stoch == want.stoch);
    CHECK(d.prior == want.prior);
    for (size_t i = 0; i < d.action.size(); ++i) {
      const size_t row = i / 3, mean = row * 6 + i % 3;
      CHECK_NEAR(d.action[i], std::tanh(d.policy[mean] + d.policy[mean + 3] * d.draws[i]), 1e-6);
    }
    // What is kept for the gradient is the sequence's, and keeping it changes nothing.
    Imagined kept(1.0f);
    engine.Run(kShape, kept.p.Weights(), kept.actor, kept.Starts(), kept.Outputs(true));
    CHECK(kept.deter == d.deter);
    CHECK(kept.log_prob == d.log_prob);
    CHECK(kept.x == want.x);
    CHECK(kept.gates == want.gates);
    CHECK(kept.prior_hidden == want.prior_hidden);
  }
  CapTier(DetectedTier());
}

// An actor that looks at nothing leaves the sequence's gradients; one that looks adds to them.
TEST(nn_rssm_dreams_gradients_are_those_of_the_sequence_and_of_who_chose) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const float scale : {0.0f, 1.0f}) {
      Imagined d(scale);
      const RssmDream dream = d.Outputs(true);
      const RssmStarts starts = d.Starts();
      RssmImagination engine(2);
      engine.Run(kShape, d.p.Weights(), d.actor, starts, dream);
      const Floats pull = Numbers(d.p.rows() * kShape.deter, 36, 2.0f);
      const RssmDreamGiven given{pull.data(), nullptr, nullptr, nullptr, nullptr, nullptr};
      Gradients found, want;
      const RssmGradients to = found.Rooms(d.p, false);
      const RssmActorGradients& of_actor = found.OfActor(d);
      engine.Backward(kShape, d.p.Weights(), d.actor, starts, dream, given, to, of_actor);
      const size_t before = check::Allocations();
      engine.Backward(kShape, d.p.Weights(), d.actor, starts, dream, given, to, of_actor);
      CHECK_EQ(check::Allocations(), before);

      RssmEngine sequence(1);
      const RssmOutputs saved{dream.deter, dream.stoch, dream.prior,        nullptr, dream.index,
                              dream.x,     dream.gates, dream.prior_hidden, nullptr};
      const RssmSequence actions{kSteps,       kBatch,  starts.deter, starts.state,
                                 dream.action, nullptr, nullptr,      starts.noise};
      sequence.Backward(kShape, d.p.Weights(), actions, saved,
                        {pull.data(), nullptr, nullptr, nullptr}, want.Rooms(d.p, true));
      const bool blind = scale == 0.0f;
      CHECK_EQ(found.deter == want.deter, blind);
      CHECK_EQ(found.stoch == want.stoch, blind);
      for (int i = 0; i < 6; ++i) CHECK_EQ(found.weights[i] == want.weights[i], blind);
      // What its last bias learns is what reaches the numbers before the tanh.
      Floats mean(3, 0.0f);
      for (size_t i = 0; blind && i < d.action.size(); ++i) {
        mean[i % 3] += want.action[i] * (1.0f - d.action[i] * d.action[i]);
      }
      for (size_t j = 0; blind && j < 3; ++j) CHECK_NEAR(found.actor[3][j], mean[j], 1e-3);
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_dreams_gradients_do_not_depend_on_threads) {
  Imagined d(1.0f);
  RssmImagination one(1), three(3);
  const RssmDream dream = d.Outputs(true);
  one.Run(kShape, d.p.Weights(), d.actor, d.Starts(), dream);
  const Floats pull = Numbers(d.p.rows(), 37, 2.0f);
  const RssmDreamGiven given{nullptr, nullptr, nullptr, nullptr, pull.data(), nullptr};
  Gradients alone, shared;
  one.Backward(kShape, d.p.Weights(), d.actor, d.Starts(), dream, given, alone.Rooms(d.p, false),
               alone.OfActor(d));
  three.Backward(kShape, d.p.Weights(), d.actor, d.Starts(), dream, given, shared.Rooms(d.p, false),
                 shared.OfActor(d));
  CHECK(alone.deter == shared.deter);
  CHECK(alone.stoch == shared.stoch);
  for (int i = 0; i < 10; ++i) CHECK(alone.weights[i] == shared.weights[i]);
  for (int i = 0; i < 4; ++i) CHECK(alone.actor[i] == shared.actor[i]);
}

TEST(nn_rssm_dream_plan_gives_the_same_keeps_its_weights_and_does_not_allocate) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    Imagined want(1.0f), d(1.0f);
    RssmImagination engine(2);
    engine.Run(kShape, want.p.Weights(), want.actor, want.Starts(), want.Outputs(false));
    RssmDreamPlan plan(kShape, d.p.Weights(), d.actor, d.Starts(), d.Outputs(false), 2);
    const auto wipe = [&] {
      for (Floats* written : {&d.deter, &d.prior, &d.action, &d.log_prob}) {
        written->assign(written->size(), -77.0f);
      }
    };
    // Weights and biases that change in place are not seen before they are loaded.
    for (Floats* weights : {&d.p.weights[0], &d.p.weights[1], &d.w0, &d.b0, &d.b1}) {
      for (float& w : *weights) w *= 0.5f;
    }
    const size_t before = check::Allocations();
    plan.Step();
    wipe();
    plan.Step();
    CHECK_EQ(check::Allocations(), before);
    CHECK(d.deter == want.deter);
    CHECK(d.prior == want.prior);
    CHECK(d.action == want.action);
    CHECK(d.log_prob == want.log_prob);
    plan.Load(d.p.Weights(), d.actor);
    plan.Step();
    CHECK(d.deter != want.deter);
    CHECK(d.action != want.action);
  }
  CapTier(DetectedTier());
}

}  // namespace metabonk::nn
