// Reference: a thread that does nothing but wake, on the loop's processor and with its priority,
// half a period after each of the loop's ticks. What it suffers, the machine inflicts: a tick that
// missed its deadline while the reference was late too is the machine's miss, not the loop's.
//
// Half a period apart, so that neither delays the other; and so that whatever keeps a tick from
// acting until the next tick's start also covers the reference's wake between the two. A loop that
// itself computes for so long delays the reference, the more so as real-time threads of one
// priority never interrupt each other: TickTimes::cpu tells such a miss from the machine's.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "play/clock.h"
#include "play/histogram.h"
#include "play/mailbox.h"
#include "play/pacer.h"
#include "play/thread.h"

namespace metabonk::play {

// What the loop tells of its plan, to one reader: which tick is planned for when.
class Plan {
 public:
  void Tell(uint64_t tick, int64_t planned) { told_.Post({tick, planned}); }
  // The latest; false while nothing has been told.
  bool Ask(uint64_t* tick, int64_t* planned) {
    known_ |= told_.Take();
    *tick = told_.Taken().tick;
    *planned = told_.Taken().planned;
    return known_;
  }

 private:
  struct Told {
    uint64_t tick = 0;
    int64_t planned = 0;
  };
  Mailbox<Told> told_;
  bool known_ = false;  // the reader's
};

class Reference {
 public:
  // ticks: how many are remembered one by one. plan outlives this.
  Reference(Clock& clock, Plan& plan, int64_t period, size_t ticks, const ThreadSettings& thread);
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
  Plan& plan_;
  const int64_t period_;
  const ThreadSettings settings_;
  std::vector<std::atomic<int64_t>> late_;
  uint64_t next_ = 0;  // the tick after which it wakes next
  bool begun_ = false;
  Histogram lateness_;
  std::atomic<uint64_t> missed_{0};
  std::atomic<bool> stop_{false};
  ThreadGranted granted_;
  std::thread thread_;
};

}  // namespace metabonk::play
