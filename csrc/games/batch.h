// What batches of every game share: one environment steps by itself, many of them on a pool or, in
// the manner of EnvPool, through a queue that hands back whoever is ready. Knows rows of actions
// and indices of environments; knows no game, no observation and no buffer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "metabonk/status.h"

namespace metabonk {

// Lets one caller at a time into a batch: a second one is refused, neither let in nor kept waiting.
class Gate {
 public:
  // Held for the length of a call. Check status() first: who was refused must not go on.
  class Turn {
   public:
    explicit Turn(Gate& gate) : gate_(gate), mine_(!gate.taken_.exchange(true)) {}
    ~Turn() {
      if (mine_) gate_.taken_.store(false);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Status status() const {
      if (mine_) return Status::Ok();
      return {Code::kUnavailable, "batch",
              "is in another thread's call: call it from one at a time"};
    }

   private:
    Gate& gate_;
    const bool mine_;
  };

 private:
  std::atomic<bool> taken_{false};
};

// N environments, each of which can be stepped by any thread, one thread at a time.
class Stepper {
 public:
  virtual ~Stepper() = default;
  // Advances environment `env` by one decision; `thread` < the number of threads, for scratch.
  virtual void StepOne(int env, const float* action, int thread) = 0;
};

// Environments are sent actions and received once they have stepped, in the order in which they
// become ready. Owns its threads; allocates nothing after construction.
class StepQueue {
 public:
  StepQueue(Stepper& stepper, int num_envs, int columns, int threads);
  ~StepQueue();
  StepQueue(const StepQueue&) = delete;
  StepQueue& operator=(const StepQueue&) = delete;

  // actions: [count, columns]. Fails, and sends nothing, if an environment is unknown, named twice
  // or still in flight.
  Status Send(const float* actions, const int32_t* env_ids, int count);
  // Waits until `count` environments are ready. Fails if fewer are in flight.
  Status Recv(int32_t* env_ids, int count);
  void Drain();           // waits for all that are in flight and drops them
  int in_flight() const;  // sent and not received

 private:
  struct Ring {
    explicit Ring(int capacity) : items(static_cast<size_t>(capacity)) {}
    void Push(int32_t item);
    int32_t Pop();
    std::vector<int32_t> items;
    size_t head = 0;
    size_t size = 0;
  };

  void Serve(int thread);

  Stepper& stepper_;
  const int columns_;
  std::vector<float> actions_;  // [num_envs, columns], by environment
  std::vector<uint8_t> flying_;
  mutable std::mutex mutex_;
  std::condition_variable sent_;
  std::condition_variable stepped_;
  Ring waiting_;
  Ring ready_;
  int in_flight_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace metabonk
