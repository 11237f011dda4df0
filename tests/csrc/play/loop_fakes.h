// What the tests of the control loop play with: a clock that moves only when it is asked to, a game
// whose captures are written down, and a pilot that reads a state.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "nn/programs.h"
#include "play/clock.h"
#include "play/decider.h"
#include "play/sends.h"
#include "play/source.h"

namespace metabonk::play {

// Every look at the time takes `look` nanoseconds; a sleep ends on time unless `stalls` says how
// much later the next ones are to end.
class FakeClock final : public Clock {
 public:
  int64_t Now() override {
    now += look;
    ++looks;
    return now;
  }
  void SleepUntil(int64_t until) override {
    ++sleeps;
    now = std::max(now, until);
    if (stalls.empty()) return;
    now += stalls.front();
    stalls.pop_front();
  }
  void Relax() override { ++spins; }
  int64_t CpuTime() override { return cpu; }

  int64_t now = kSecond, look = 100;
  int64_t cpu = 0;  // moves with who computes, not with the time
  uint64_t looks = 0, sleeps = 0, spins = 0;
  std::deque<int64_t> stalls;
};

// A game that has captured at the given times; a capture can be had `delay` later.
class FakeGame final : public Source, public Sink {
 public:
  explicit FakeGame(Clock& clock) : clock_(clock) {
    state.fields = kHasEverything;
    state.playing = 1;
  }

  bool Newest(Moment* moment) override {
    const int64_t now = clock_.Now();
    uint64_t newest = given;
    while (newest < captures.size() && captures[newest] + delay <= now) ++newest;
    if (newest == given) return false;
    const uint64_t before = given;
    given = newest;
    state.dt = static_cast<float>(given - before) / 60.0f;
    state.time = static_cast<double>(given) / 60.0;
    state.health = static_cast<float>(given % 100);
    state.max_health = 100.0f;
    *moment = {&state,         {}, given, captures[given - 1], captures[given - 1] + delay,
               given == begins};
    return true;
  }
  bool Act(const Action& action, uint64_t sequence) override {
    actions.push_back(action);
    answers.push_back(sequence);
    if (send_after >= 0) sender.Tell(actions.size(), clock_.Now() + send_after);
    return takes;
  }
  const Sends* sends() const override { return sent_by_another ? &sender : nullptr; }

  GameState state = {};
  std::vector<int64_t> captures;
  int64_t delay = 0;
  uint64_t given = 0, begins = 1;
  bool takes = true;
  bool sent_by_another = false;  // actions leave by a thread of the game's: by `sender`
  int64_t send_after = -1;       // which is told that they left so long after; else by the test
  Sends sender;
  std::vector<Action> actions;
  std::vector<uint64_t> answers;

 private:
  Clock& clock_;
};

// Says what it was asked, takes `takes` nanoseconds, in `computes` of which it computes.
class FakeDecider final : public Decider {
 public:
  explicit FakeDecider(FakeClock& clock) : clock_(clock) {}

  Status Decide(const Moment& moment, int64_t, Decision* decision) override {
    clock_.now += takes;
    clock_.cpu += computes;
    begins.push_back(moment.begins);
    if (!status.ok()) return status;
    decision->action = action;
    decision->answers = moment.sequence;
    decision->capture = moment.capture;
    decision->seen = clock_.now;
    return status;
  }

  Action action = {{0.5f, 0.25f}, {0, 0}, 1, 0, 0, 0, 0, 0, {-1, -1}};
  Status status;
  int64_t takes = 0, computes = 0;
  std::vector<bool> begins;

 private:
  FakeClock& clock_;
};

// action [1, columns] = tanh(h W^T + b) + uniform, h = cfc(state, h), forgotten where is_first.
inline nn::Program StatePilot(int64_t columns = kActionColumns) {
  using namespace nn;
  constexpr int64_t kInputs = kStateFeatures, kHidden = 5, kBackbone = 6;
  ProgramMaker make;
  const View state =
      DenseView(make.Input("state", Type::kF32, {1, kInputs}), Type::kF32, 0, {1, kInputs});
  const View first = DenseView(make.Input("is_first", Type::kU8, {1}), Type::kU8, 0, {1});
  const View uniform =
      DenseView(make.Input("uniform", Type::kF32, {1, columns}), Type::kF32, 0, {1, columns});
  const int64_t w = make.Tensor("w", Type::kF32, {kBackbone, kInputs + kHidden});
  const int64_t b = make.Tensor("b", Type::kF32, {kBackbone});
  const int64_t v = make.Tensor("v", Type::kF32, {4 * kHidden, kBackbone});
  const int64_t c = make.Tensor("c", Type::kF32, {4 * kHidden});
  const int64_t head = make.Tensor("head", Type::kF32, {columns, kHidden});
  const int64_t bias = make.Tensor("bias", Type::kF32, {columns});
  const View h = make.Fresh(Type::kF32, {1, kHidden}), next = make.Fresh(Type::kF32, {1, kHidden});
  const View later = make.Fresh(Type::kU8, {1}), keep = make.Fresh(Type::kF32, {1});
  const View mean = make.Fresh(Type::kF32, {1, columns});
  const View action = make.Fresh(Type::kF32, {1, columns});
  make.Emit(Opcode::kUnary, {later, first}, {static_cast<int64_t>(Unary::kNot)}, {0, 0});
  make.Emit(Opcode::kCopy, {keep, later});
  make.Emit(Opcode::kCfc, {next, state, h, keep}, {w, b, v, c, 0, 1});
  make.Emit(Opcode::kLinear, {mean, next},
            {head, bias, static_cast<int64_t>(Activation::kTanh), -1, -1, -1});
  make.Emit(Opcode::kBinary, {action, mean, uniform}, {static_cast<int64_t>(Binary::kAdd)});
  make.Emit(Opcode::kCopy, {h, next});
  make.Output("action", action);
  make.State("h", h);
  return make.Finish();
}

inline ArtifactHash HashNumber(uint8_t number) {
  ArtifactHash hash;
  hash.fill(number);
  return hash;
}

}  // namespace metabonk::play
