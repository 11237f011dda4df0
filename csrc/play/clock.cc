#include "play/clock.h"

#include <time.h>

#include <cerrno>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace metabonk::play {

namespace {

class Monotonic final : public Clock {
 public:
  int64_t Now() override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * kSecond + now.tv_nsec;
  }

  // A system call: once a turn, not once a look.
  int64_t CpuTime() override {
    timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * kSecond + used.tv_nsec;
  }

  void SleepUntil(int64_t until) override {
    // An absolute time: what a signal or a preemption takes is not added to the sleep. The
    // kernel's timers serve nanosleep straight from the interrupt, other timers a step later.
    const timespec at = {until / kSecond, until % kSecond};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
    }
  }

  void Relax() override {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
};

}  // namespace

Clock& MonotonicClock() {
  static Monotonic clock;
  return clock;
}

}  // namespace metabonk::play
