// Deciders: a compiled policy in the loop decides what it decides elsewhere and says with which
// weights; a policy on a thread of its own is answered for, late or not at all.
#include "play/decider.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "play/loop_fakes.h"
#include "play/research_action.h"

namespace metabonk::play {

namespace {

struct Seen {
  explicit Seen(uint64_t sequence, bool begins = false) {
    state->fields = kHasEverything;
    state->playing = 1;
    state->health = static_cast<float>(sequence % 50);
    state->max_health = 50.0f;
    moment = {state.get(), {}, sequence, 1000 + static_cast<int64_t>(sequence), 0, begins};
  }
  std::unique_ptr<GameState> state = std::make_unique<GameState>();
  Moment moment;
};

bool Same(const Action& a, const Action& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// The pilot, with an output of one number that says something about its action.
void Tell(nn::Program* program, const char* name, nn::Reduction how) {
  using namespace nn;
  const View action = program->outputs.front().view;
  const Type type = how == Reduction::kArgmax ? Type::kI32 : Type::kF32;
  const View told = DenseView(0, type, program->arena_bytes / SizeOf(type), {1});
  program->arena_bytes += 64;
  program->instructions.push_back(
      {Opcode::kReduce, {told, action}, {static_cast<int64_t>(how)}, {}});
  program->outputs.push_back({name, told});
}

float Largest(const Action& action, int* place) {
  std::array<float, kActionColumns> row;
  std::memcpy(row.data(), &action, sizeof action);
  const auto found = std::max_element(row.begin(), row.end());
  *place = static_cast<int>(found - row.begin());
  return *found;
}

}  // namespace

TEST(decider_decides_what_the_policy_decides) {
  FakeClock clock;
  const nn::Program program = StatePilot();
  CompiledDecider decider(program, nn::WeightsOf(program, 1), 5, HashNumber(1), clock);
  nn::Policy policy(program, nn::WeightsOf(program, 1), 5);
  std::vector<float> features(kStateFeatures);
  uint64_t memory = 0;
  for (uint64_t n = 1; n <= 40; ++n) {
    const Seen seen(n, n == 1 || n == 20);
    Decision decision;
    CHECK(decider.Decide(seen.moment, 0, &decision).ok());
    Observe(*seen.state, {.state = features.data()});
    if (seen.moment.begins) policy.Reset(nullptr);
    Action action;
    const void* inputs[] = {features.data(), nullptr, nullptr};
    void* outputs[] = {&action};
    CHECK(policy.Step(inputs, outputs).ok());
    CHECK(Same(decision.action, action));
    CHECK_EQ(decision.counter, n - 1);
    CHECK_EQ(decision.answers, n);
    Digester digester;
    digester.Add(features.data(), features.size() * sizeof(float));
    CHECK(decision.observation == digester.Get());
    CHECK(decision.memory != memory);  // the recurrent state moves on
    memory = decision.memory;
  }
}

TEST(decider_reads_six_numbers_as_research_plugins) {
  FakeClock clock;
  const nn::Program program = StatePilot(ipc::kResearchActionColumns);
  CHECK(CompiledDecider::CheckProgram(program).ok());
  CHECK(!CompiledDecider::CheckProgram(StatePilot(7)).ok());
  CompiledDecider decider(program, nn::WeightsOf(program, 1), 5, HashNumber(1), clock);
  nn::Policy policy(program, nn::WeightsOf(program, 1), 5);
  std::vector<float> features(kStateFeatures);
  for (uint64_t n = 1; n <= 5; ++n) {
    const Seen seen(n, n == 1);
    Decision decision;
    CHECK(decider.Decide(seen.moment, 0, &decision).ok());
    Observe(*seen.state, {.state = features.data()});
    if (seen.moment.begins) policy.Reset(nullptr);
    ResearchRow row;
    const void* inputs[] = {features.data(), nullptr, nullptr};
    void* outputs[] = {row.data()};
    CHECK(policy.Step(inputs, outputs).ok());
    CHECK(Same(decision.action, ActionOfResearch(row)));
  }
}

TEST(decider_says_which_weights_decided) {
  FakeClock clock;
  const nn::Program program = StatePilot();
  CompiledDecider decider(program, nn::WeightsOf(program, 1), 5, HashNumber(1), clock);
  Decision decision;
  const auto decide = [&](uint64_t n) {
    const Seen seen(n);
    CHECK(decider.Decide(seen.moment, 0, &decision).ok());
    return decision.artifact[0];
  };
  CHECK_EQ(decide(1), 1);
  CHECK(decider.Swap(nn::WeightsOf(program, 2), HashNumber(2)).ok());
  CHECK(!decider.Swap(nn::WeightsOf(program, 3), HashNumber(3)).ok());  // one at a time
  CHECK_EQ(decide(2), 2);
  CHECK(decider.Swap(nn::WeightsOf(program, 3), HashNumber(3)).ok());
  CHECK_EQ(decide(3), 3);
  CHECK_EQ(decide(4), 3);
  CHECK_EQ(decider.swaps(), int64_t{2});
}

TEST(decider_takes_swaps_from_another_thread) {
  FakeClock clock;
  const nn::Program program = StatePilot();
  CompiledDecider decider(program, nn::WeightsOf(program, 0), 5, HashNumber(0), clock);
  std::atomic<bool> done{false};
  int swapped = 0;
  std::thread swapper([&] {
    for (int number = 1; number <= 20;) {
      const Status status = decider.Swap(nn::WeightsOf(program, static_cast<uint64_t>(number)),
                                         HashNumber(static_cast<uint8_t>(number)));
      if (!status.ok()) {
        std::this_thread::yield();
        continue;
      }
      ++number;
      ++swapped;
    }
    done = true;
  });
  Decision decision;
  int last = 0;
  for (uint64_t n = 1; !done || last != 20; ++n) {
    const Seen seen(n);
    CHECK(decider.Decide(seen.moment, 0, &decision).ok());
    CHECK(decision.artifact[0] == last || decision.artifact[0] == last + 1);
    last = decision.artifact[0];
  }
  swapper.join();
  CHECK_EQ(swapped, 20);
}

TEST(decider_tells_which_candidate_was_chosen_and_its_score) {
  FakeClock clock;
  nn::Program motor = StatePilot();
  Tell(&motor, "value", nn::Reduction::kMin);
  Tell(&motor, "candidate", nn::Reduction::kArgmax);
  Tell(&motor, "score", nn::Reduction::kMax);
  nn::Program critic = StatePilot();
  Tell(&critic, "value", nn::Reduction::kMax);
  CompiledDecider judges(motor, nn::WeightsOf(motor, 1), 5, HashNumber(1), clock);
  CompiledDecider values(critic, nn::WeightsOf(critic, 1), 5, HashNumber(1), clock);
  CompiledDecider neither(StatePilot(), nn::WeightsOf(StatePilot(), 1), 5, HashNumber(1), clock);
  int chosen = 0;
  for (uint64_t n = 1; n <= 40; ++n) {
    const Seen seen(n, n == 1);
    Decision decision;
    int place = -1;
    CHECK(judges.Decide(seen.moment, 0, &decision).ok());
    CHECK_EQ(decision.score, Largest(decision.action, &place));  // not the value
    CHECK_EQ(decision.candidate, place);
    chosen |= 1 << place;
    CHECK(values.Decide(seen.moment, 0, &decision).ok());
    CHECK_EQ(decision.score, Largest(decision.action, &place));
    CHECK_EQ(decision.candidate, 0);
    CHECK(neither.Decide(seen.moment, 0, &decision).ok());
    CHECK(std::isnan(decision.score));
    CHECK_EQ(decision.candidate, 0);
  }
  CHECK((chosen & (chosen - 1)) != 0);  // not always the same
}

TEST(decider_refuses_outputs_that_are_not_one_number) {
  for (const char* name : {"value", "score", "candidate"}) {
    nn::Program wide = StatePilot();
    wide.outputs.push_back({name, wide.outputs.front().view});
    const Status status = CompiledDecider::CheckProgram(wide);
    CHECK(status.code == Code::kInvalidArgument);
    CHECK(std::string(status.what).find(name) != std::string::npos);
  }
  nn::Program drawn = StatePilot();
  Tell(&drawn, "candidate", nn::Reduction::kMax);  // one number, and not a whole one
  CHECK(!CompiledDecider::CheckProgram(drawn).ok());
}

TEST(decider_refuses_programs_that_no_game_can_feed) {
  CHECK(CompiledDecider::CheckProgram(StatePilot()).ok());
  CHECK(!CompiledDecider::CheckProgram(nn::Pilot(1, kActionColumns)).ok());  // `observation`
  nn::Program wide = StatePilot();
  wide.inputs[0].sizes[0] = 2;
  CHECK(!CompiledDecider::CheckProgram(wide).ok());
  nn::Program silent = StatePilot();
  silent.outputs[0].name = "move";
  CHECK(!CompiledDecider::CheckProgram(silent).ok());
}

TEST(remote_decider_waits_as_long_as_it_may) {
  FakeClock clock;
  RemoteDecider decider(clock);
  Decision decision;
  const Seen one(1, true), two(2), three(3);
  const int64_t until = clock.now + kMillisecond;
  CHECK(decider.Decide(one.moment, until, &decision).code == Code::kUnavailable);
  CHECK(clock.now >= until && clock.now < until + kMillisecond);
  RemoteDecider::Question asked;
  CHECK(decider.Ask(&asked));
  CHECK_EQ(asked.sequence, uint64_t{1});
  CHECK(asked.begins);
  CHECK(!decider.Ask(&asked));
  Action action = {};
  action.jump = 1.0f;
  decider.Answer(action, 1);
  CHECK(decider.Decide(two.moment, clock.now, &decision).ok());  // late, but all there is
  CHECK_EQ(decision.answers, uint64_t{1});
  CHECK_EQ(decision.capture, one.moment.capture);
  CHECK_EQ(decision.action.jump, 1.0f);
  decider.Answer(action, 999);  // of no question
  CHECK(!decider.Decide(three.moment, clock.now, &decision).ok());
}

TEST(remote_decider_tells_of_a_beginning_that_was_replaced_unseen) {
  FakeClock clock;
  RemoteDecider decider(clock);
  Decision decision;
  const Seen one(1, true), two(2), three(3);
  decider.Decide(one.moment, 0, &decision);
  decider.Decide(two.moment, 0, &decision);
  RemoteDecider::Question asked;
  CHECK(decider.Ask(&asked));
  CHECK_EQ(asked.sequence, uint64_t{2});
  CHECK(asked.begins);
  decider.Decide(three.moment, 0, &decision);
  CHECK(decider.Ask(&asked));
  CHECK(!asked.begins);
  CHECK_EQ(decider.unseen(), uint64_t{1});
}

TEST(remote_decider_is_answered_by_another_thread) {
  RemoteDecider decider(MonotonicClock());
  std::atomic<bool> stop{false};
  std::thread answerer([&] {
    const auto asked = std::make_unique<RemoteDecider::Question>();
    while (!stop) {
      if (!decider.Ask(asked.get())) continue;
      Action action = {};
      action.look[0] = asked->state.health;
      decider.Answer(action, asked->sequence);
    }
  });
  int answered = 0;
  for (uint64_t n = 1; n <= 300; ++n) {
    const Seen seen(n);
    Decision decision;
    if (!decider.Decide(seen.moment, MonotonicClock().Now() + kSecond, &decision).ok()) continue;
    ++answered;
    CHECK_EQ(decision.answers, n);
    CHECK_EQ(decision.action.look[0], static_cast<float>(n % 50));
  }
  stop = true;
  answerer.join();
  CHECK_EQ(answered, 300);
}

}  // namespace metabonk::play
