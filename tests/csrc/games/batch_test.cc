// What batches share: one caller at a time, and a queue that can be emptied.
#include "games/batch.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

namespace metabonk {
namespace {

TEST(batch_gate_lets_one_in_at_a_time) {
  Gate gate;
  {
    const Gate::Turn first(gate);
    CHECK(first.status().ok());
    const Gate::Turn second(gate);
    CHECK(second.status().code == Code::kUnavailable);
  }
  CHECK(Gate::Turn(gate).status().ok());  // who was refused has not let anybody else in
}

TEST(batch_gate_keeps_threads_apart) {
  Gate gate;
  std::atomic<int> entered{0};
  int inside = 0;  // no atomic: only the gate keeps it whole
  const auto call = [&] {
    for (int i = 0; i < 20000; ++i) {
      const Gate::Turn turn(gate);
      if (!turn.status().ok()) continue;
      ++inside;
      entered.fetch_add(1);
    }
  };
  std::thread other(call);
  call();
  other.join();
  CHECK_EQ(inside, entered.load());
  CHECK(inside > 0);
}

struct Counter final : Stepper {
  void StepOne(int env, const float*, int) override { ++steps[static_cast<size_t>(env)]; }
  std::vector<std::atomic<int>> steps = std::vector<std::atomic<int>>(4);
};

TEST(batch_queue_drains_what_is_in_flight) {
  Counter counter;
  StepQueue queue(counter, 4, 1, 2);
  const float actions[4] = {};
  const int32_t everyone[4] = {0, 1, 2, 3};
  queue.Drain();  // nothing to wait for
  CHECK(queue.Send(actions, everyone, 4).ok());
  int32_t one;
  CHECK(queue.Recv(&one, 1).ok());
  queue.Drain();
  CHECK_EQ(queue.in_flight(), 0);
  for (const auto& steps : counter.steps) CHECK_EQ(steps.load(), 1);
  CHECK(queue.Recv(&one, 1).code == Code::kUnavailable);
  CHECK(queue.Send(actions, everyone, 4).ok());  // all may be sent again
  queue.Drain();
}

}  // namespace
}  // namespace metabonk
