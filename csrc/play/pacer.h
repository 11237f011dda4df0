// Pacer: wakes its thread at absolute times, one period after the other. Sleeps until shortly
// before each and spins the rest, never longer than it was told: a spin without bound on a
// real-time thread would lock up its processor. Knows time; not what the ticks are for.
//
// A thread that comes more than a whole period late has lost ticks: they are skipped and counted,
// never made up for, so that a stall is not followed by a burst.
#pragma once

#include <cstdint>

#include "metabonk/status.h"
#include "play/clock.h"

namespace metabonk::play {

struct PacerSettings {
  int64_t period = 16'666'667;  // nanoseconds
  int64_t spin = 150'000;       // at most so long before each tick, nanoseconds; 0: sleep only
};

struct Beat {
  uint64_t tick = 0;     // counts skipped ones too
  int64_t planned = 0;   // when this tick was to start
  int64_t woke = 0;      // when it did
  int64_t next = 0;      // when the one after it is to start: this one's deadline
  uint64_t skipped = 0;  // ticks lost just before this one

  int64_t late() const { return woke - planned; }
};

class Pacer {
 public:
  // Settings that CheckPacer accepts.
  Pacer(Clock& clock, const PacerSettings& settings);

  // The next tick is planned for `at`.
  void Start(int64_t at);
  Beat Wait();
  // Moves the plan of all ticks from the next one on, by at most a quarter of a period at once:
  // who follows another clock shifts a little every tick.
  void Shift(int64_t by);
  int64_t planned() const { return planned_; }
  int64_t period() const { return settings_.period; }

 private:
  Clock& clock_;
  PacerSettings settings_;
  int64_t planned_ = 0;
  uint64_t tick_ = 0;
};

Status CheckPacer(const PacerSettings& settings);

}  // namespace metabonk::play
