// Reference: a thread that does nothing but wake, on the loop's processor and with its priority,
// half a period after each of the loop's ticks. What it suffers, the machine inflicts: a tick that
// missed its deadline while the reference was late too is the machine's miss, not the loop's.
//
// Half a period apart, so that neither delays the other; and so that whatever keeps a tick from
// acting until the next tick's start also covers the reference's wake between the two.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "play/clock.h"
#include "play/histogram.h"
#include "play/pacer.h"
#include "play/thread.h"

namespace metabonk::play {

// What the loop tells of its plan: which tick is planned for when.
class Plan {
 public:
  void Tell(uint64_t tick, int64_t planned) {
    version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    tick_.store(tick, std::memory_order_relaxed);
    planned_.store(planned, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  // False while it is being told, or has not been yet.
  bool Ask(uint64_t* tick, int64_t* planned) const {
    const uint64_t before = version_.load(std::memory_order_acquire);
    *tick = tick_.load(std::memory_order_relaxed);
    *planned = planned_.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    return before != 0 && before % 2 == 0 && version_.load(std::memory_order_relaxed) == before;
  }

 private:
  std::atomic<uint64_t> version_{0};
  std::atomic<uint64_t> tick_{0};
  std::atomic<int64_t> planned_{0};
};

class Reference {
 public:
  // ticks: how many are remembered one by one. plan outlives this.
  Reference(Clock& clock, const Plan& plan, int64_t period, size_t ticks,
            const ThreadSettings& thread);
  ~Reference() { Stop(); }

  void Start();
  void Stop();

  // How late the wake after a tick's start was, nanoseconds; of ticks that it slept through, how
  // late it was when it woke again; -1 where it knows nothing.
  int64_t LateAfter(uint64_t tick) const {
    return tick < late_.size() ? late_[tick].load(std::memory_order_relaxed) : -1;
  }
  const Histogram& lateness() const { return lateness_; }
  // Wakes that came after the next one's planned time.
  uint64_t missed() const { return missed_.load(std::memory_order_relaxed); }
  ThreadGranted granted() const { return granted_; }  // once stopped

  // One wake: aims, waits, notes. False until the loop has told its plan.
  bool Wake();

 private:
  void Note(uint64_t tick, int64_t late);

  Clock& clock_;
  const Plan& plan_;
  const int64_t period_;
  const ThreadSettings settings_;
  std::vector<std::atomic<int64_t>> late_;
  uint64_t next_ = 0;  // the tick after which it wakes next
  int64_t aim_ = 0;    // and when
  Histogram lateness_;
  std::atomic<uint64_t> missed_{0};
  std::atomic<bool> stop_{false};
  ThreadGranted granted_;
  std::thread thread_;
};

}  // namespace metabonk::play
