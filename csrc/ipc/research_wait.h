// How both ends of a file wait for each other: a short spin, then sleeps that grow to half a
// millisecond. Knows time only; there is nothing to wake a reader of a plain file.
#pragma once

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

namespace metabonk::ipc {

class ResearchWait {
 public:
  explicit ResearchWait(int64_t timeout_ns) : began_(Now()), timeout_(timeout_ns) {}

  // Passes a moment; false once the time is over.
  bool Next() {
    waited_ = Now() - began_;
    if (waited_ >= timeout_) return false;
    if (waited_ < kSpinNs) {
      ::sched_yield();
      return true;
    }
    const int64_t sleep = std::min({waited_ / 8 + 50'000, kLongestNs, timeout_ - waited_});
    const timespec pause = {0, static_cast<long>(sleep)};
    ::nanosleep(&pause, nullptr);
    return true;
  }
  int64_t waited() const { return waited_; }
  // Whether another `every` nanoseconds have passed, for what is looked at now and then.
  bool Every(int64_t every) {
    if (waited_ < due_) return false;
    due_ = waited_ + every;
    return true;
  }

  static int64_t Now() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  }

 private:
  static constexpr int64_t kSpinNs = 50'000;
  static constexpr int64_t kLongestNs = 500'000;

  int64_t began_;
  int64_t timeout_;
  int64_t waited_ = 0;
  int64_t due_ = 0;
};

}  // namespace metabonk::ipc
