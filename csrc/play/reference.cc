#include "play/reference.h"

#include <algorithm>

namespace metabonk::play {

Reference::Reference(Clock& clock, Plan& plan, int64_t period, size_t ticks,
                     const ThreadSettings& thread)
    : clock_(clock), plan_(plan), period_(period), settings_(thread), late_(ticks) {
  for (auto& late : late_) late.store(-1, std::memory_order_relaxed);
}

void Reference::Start() {
  thread_ = std::thread([this] {
    granted_ = PrepareThread(settings_, "mb-reference");
    while (!stop_.load(std::memory_order_relaxed)) {
      if (!Wake()) clock_.SleepUntil(clock_.Now() + kMillisecond);
    }
  });
}

void Reference::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

bool Reference::Wake() {
  uint64_t tick;
  int64_t planned;
  if (!plan_.Ask(&tick, &planned)) return false;
  if (!begun_) next_ = tick;
  begun_ = true;
  // Aimed anew every time: the loop shifts its plan a little from tick to tick.
  const int64_t aim = planned + static_cast<int64_t>(next_ - tick) * period_ + period_ / 2;
  clock_.SleepUntil(aim);
  const int64_t late = std::max<int64_t>(clock_.Now() - aim, 0);
  lateness_.Add(late);
  missed_.fetch_add(static_cast<uint64_t>(late / period_), std::memory_order_relaxed);
  for (int64_t own = late; own >= 0; own -= period_) {  // this wake, and those slept through
    Note(next_++, own);
  }
  return true;
}

void Reference::Note(uint64_t tick, int64_t late) {
  if (tick < late_.size()) late_[tick].store(late, std::memory_order_relaxed);
}

}  // namespace metabonk::play
