// Clock: what time it is, how to sleep until a time, and how long a thread has computed.
// Nanoseconds of the monotonic clock, the one by which every capture and every action of this
// machine is stamped. Knows no ticks.
#pragma once

#include <cstdint>

namespace metabonk::play {

inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kMicrosecond = 1'000;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t Now() = 0;
  // How long the calling thread has run on a processor so far; sleeping and waiting do not count.
  virtual int64_t CpuTime() = 0;
  // Returns at `until` or somewhat later, at once if that has passed.
  virtual void SleepUntil(int64_t until) = 0;
  // What is done between two looks at the time by who spins.
  virtual void Relax() = 0;
};

// The machine's; one for all threads.
Clock& MonotonicClock();

}  // namespace metabonk::play
