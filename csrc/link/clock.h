// ClockRelation: how far another end's monotonic clock is from ours, from PING and PONG, with how
// wrong that may be. Clocks of two ends are never assumed equal. Knows no sockets and reads no
// clock.
//
// An exchange gives four times: a PING left at t0 (ours), arrived at t1 (theirs), its PONG left at
// t2 (theirs) and arrived at t3 (ours). offset = ((t1 - t0) + (t2 - t3)) / 2 is wrong by at most
// half of the delay (t3 - t0) - (t2 - t1) (RFC 5905, section 8). The exchange with the least error
// of the last kWindow counts, each one's error growing with its age by kDrift.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace metabonk::link {

class ClockRelation {
 public:
  static constexpr size_t kWindow = 16;
  static constexpr double kDrift = 100e-6;  // of two crystals, seconds per second

  // Refuses times that no clock gives: t3 before t0, t2 before t1.
  bool Add(int64_t t0, int64_t t1, int64_t t2, int64_t t3);
  void Reset();

  bool known() const { return count_ > 0; }
  // Theirs minus ours, at our time `now`; 0 while unknown.
  int64_t Offset(int64_t now) const;
  // Nanoseconds by which Offset may be wrong at most; INT64_MAX while unknown.
  int64_t Uncertainty(int64_t now) const;
  int64_t ToOurs(int64_t theirs, int64_t now) const { return theirs - Offset(now); }
  // Of the newest exchange, there and back without the time that it lay at the other end.
  int64_t round_trip() const { return round_trip_; }

 private:
  struct Exchange {
    int64_t offset, error, at;
  };
  const Exchange& Best(int64_t now) const;
  static int64_t ErrorAt(const Exchange& exchange, int64_t now);

  std::array<Exchange, kWindow> window_{};
  size_t count_ = 0, next_ = 0;
  int64_t round_trip_ = 0;
};

}  // namespace metabonk::link
