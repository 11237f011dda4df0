// Heartbeats: a thread of this process that lets counters go up, and how an observer tells from a
// counter whether somebody lives. The counter is timed by the observer's own clock, so that the two
// sides' clocks and process ids need not have anything to do with each other. Knows no ring.
#pragma once

#include <cstdint>

#include "metabonk/frame_ring.h"

namespace metabonk::ipc {

inline constexpr int64_t kBeatPeriodNs = METABONK_RING_BEAT_PERIOD_MS * int64_t{1'000'000};
inline constexpr int64_t kBeatTimeoutNs = METABONK_RING_BEAT_TIMEOUT_MS * int64_t{1'000'000};
// Of who has missed this many beats the lock is looked at: if it is free, they are dead, and nobody
// waits for the rest of the timeout. Long enough that one who only just entered has taken theirs.
inline constexpr int64_t kBeatMissedNs = 3 * kBeatPeriodNs;
// Who shows by no lock that it lives is taken for dead only after this long in silence: what it
// holds is taken from it then, which a stall of its machine should not bring about.
inline constexpr int64_t kBeatGraceNs = 1'000'000'000;
static_assert(kBeatTimeoutNs + 2 * kBeatPeriodNs < 100'000'000,
              "noticed within a tenth of a second");

class Beating {
 public:
  // Called every kBeatPeriodNs by the process's one heart, until StopBeating has returned. Does
  // not wait for anything but its own locks.
  virtual void Beat(int64_t now_ns) = 0;

 protected:
  ~Beating() = default;
};

// The thread begins with the first and ends with the last. It never takes Python's lock. After a
// fork the child has no heart: what it inherited is the parent's.
void StartBeating(Beating* beating);
void StopBeating(Beating* beating);

// Somebody else's counter. Time counts only while we look: one who was stopped together with the
// other, as containers and virtual machines are, does not take it for dead.
class Pulse {
 public:
  // For how long the counter has stood still, in nanoseconds. The first look counts as a change.
  int64_t Still(uint64_t counter, int64_t now_ns) {
    const int64_t gap = now_ns - looked_ns_;
    const bool changed = looked_ns_ == 0 || counter != last_;
    still_ns_ = changed ? 0 : still_ns_ + (gap < kMostOfAGap ? gap : kMostOfAGap);
    last_ = counter;
    looked_ns_ = now_ns;
    return still_ns_;
  }
  // From now on it is another counter.
  void Forget() { looked_ns_ = 0; }

 private:
  static constexpr int64_t kMostOfAGap = 2 * kBeatPeriodNs;

  uint64_t last_ = 0;
  int64_t looked_ns_ = 0, still_ns_ = 0;
};

}  // namespace metabonk::ipc
