#include "play/pacer.h"

#include <algorithm>

namespace metabonk::play {

Status CheckPacer(const PacerSettings& settings) {
  if (settings.period < 100 * kMicrosecond || settings.period > 10 * kSecond) {
    return {Code::kOutOfRange, "hz", "must be between 0.1 and 10,000 ticks a second"};
  }
  if (settings.spin < 0 || settings.spin > settings.period / 2) {
    return {Code::kOutOfRange, "spin", "must be between 0 and half a period"};
  }
  return Status::Ok();
}

Pacer::Pacer(Clock& clock, const PacerSettings& settings) : clock_(clock), settings_(settings) {}

void Pacer::Start(int64_t at) { planned_ = at; }

Beat Pacer::Wait() {
  Beat beat;
  int64_t now = clock_.Now();
  if (now > planned_ + settings_.period) {
    const int64_t lost = (now - planned_) / settings_.period;
    planned_ += lost * settings_.period;
    beat.skipped = static_cast<uint64_t>(lost);
    tick_ += beat.skipped;
  }
  if (now < planned_ - settings_.spin) {
    clock_.SleepUntil(planned_ - settings_.spin);
    now = clock_.Now();
  }
  while (now < planned_) {  // at most settings_.spin: a sleep never returns early
    clock_.Relax();
    now = clock_.Now();
  }
  beat.tick = tick_++;
  beat.planned = planned_;
  beat.woke = now;
  planned_ += settings_.period;
  beat.next = planned_;
  return beat;
}

void Pacer::Shift(int64_t by) {
  const int64_t most = settings_.period / 4;
  planned_ += std::clamp(by, -most, most);
}

}  // namespace metabonk::play
