#include "link/clock.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace metabonk::link {
namespace {

// Clocks count from a boot: times beyond a century are none, and sums of those below do not
// overflow.
constexpr int64_t kTimeMax = 4'000'000'000'000'000'000 / 2;

bool Plausible(int64_t time) { return time >= 0 && time <= kTimeMax; }

}  // namespace

bool ClockRelation::Add(int64_t t0, int64_t t1, int64_t t2, int64_t t3) {
  for (const int64_t time : {t0, t1, t2, t3}) {
    if (!Plausible(time)) return false;
  }
  const int64_t delay = (t3 - t0) - (t2 - t1);
  if (t3 < t0 || t2 < t1 || delay < 0) return false;
  round_trip_ = delay;
  // Halves of each difference, so that no sum leaves the range; odd ones cost a nanosecond.
  window_[next_] = {(t1 - t0) / 2 + (t2 - t3) / 2, delay / 2 + 1, t3};
  next_ = (next_ + 1) % kWindow;
  count_ = std::min(count_ + 1, kWindow);
  return true;
}

void ClockRelation::Reset() { *this = {}; }

int64_t ClockRelation::ErrorAt(const Exchange& exchange, int64_t now) {
  const double age = static_cast<double>(std::max<int64_t>(now - exchange.at, 0));
  return exchange.error + static_cast<int64_t>(age * kDrift);
}

const ClockRelation::Exchange& ClockRelation::Best(int64_t now) const {
  return *std::min_element(
      window_.begin(), window_.begin() + static_cast<long>(count_),
      [now](const Exchange& a, const Exchange& b) { return ErrorAt(a, now) < ErrorAt(b, now); });
}

int64_t ClockRelation::Offset(int64_t now) const { return known() ? Best(now).offset : 0; }

int64_t ClockRelation::Uncertainty(int64_t now) const {
  return known() ? ErrorAt(Best(now), now) : std::numeric_limits<int64_t>::max();
}

}  // namespace metabonk::link
