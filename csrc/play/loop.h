// Loop: the control thread. Ticks its seats one after the other at every beat of a pacer, follows
// the phase of the game that it plays, and notes what every tick took. Knows threads and times; a
// tick's work is the seats'. Never takes a lock, never allocates, never calls Python.
//
// Phase: a game captures at its own times. A tick that starts whenever it likes answers a capture
// that is up to a period old; so the plan is shifted a little every tick until ticks start `margin`
// after the captures of its seats can be had. A phase-locked loop of the second order: it also
// learns by how much the game's period differs, else ticks would trail a game whose clock is slower
// and answer each capture just before the next.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "metabonk/status.h"
#include "play/clock.h"
#include "play/histogram.h"
#include "play/pacer.h"
#include "play/reference.h"
#include "play/thread.h"
#include "play/tick.h"

namespace metabonk::play {

struct LoopSettings {
  PacerSettings pacer = {};
  ThreadSettings thread = {};
  bool follow = true;        // the game's phase
  int64_t margin = 300'000;  // nanoseconds
  uint64_t ticks = 0;        // after which it stops by itself, skipped ones included; 0: never
  size_t remembered = 4096;  // ticks whose times are kept one by one, the newest ones
  bool reference = false;    // whether a reference thread runs beside it
};

Status CheckLoop(const LoopSettings& settings);

class Loop {
 public:
  // Settings that CheckLoop accepts.
  Loop(Clock& clock, const LoopSettings& settings);
  ~Loop() { Stop(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Before Start; the seat outlives the loop.
  void Add(Seat* seat) { seats_.push_back(seat); }
  void Start();
  // Ends after the running tick; harmless twice.
  void Stop();
  bool running() const { return running_.load(std::memory_order_acquire); }

  uint64_t ticks() const { return ticks_.value(); }      // planned so far: done and skipped
  uint64_t skipped() const { return skipped_.value(); }  // of them
  const Histogram& lateness() const { return lateness_; }
  // Times of seat `seat` in the newest `remembered` ticks, oldest first. Only while it is stopped,
  // and the games' threads too where it shall be known of the last actions when they were sent.
  std::vector<TickTimes> Times(size_t seat);
  size_t seats() const { return seats_.size(); }
  const Reference* reference() const { return reference_.get(); }
  ThreadGranted granted() const { return granted_; }  // once stopped

  // One beat, by whoever calls it: what the thread does over and over. False once it is to end.
  bool Turn();

 private:
  TickTimes& At(uint64_t turn, size_t seat) {
    return times_[turn % settings_.remembered * seats_.size() + seat];
  }
  void Settle(size_t seat);
  size_t Anchor(std::span<const TickTimes> seats) const;
  void Follow(const Beat& beat, std::span<const TickTimes> seats);

  Clock& clock_;
  const LoopSettings settings_;
  Pacer pacer_;
  Plan plan_;
  std::vector<Seat*> seats_;
  std::vector<TickTimes> times_;  // [remembered, seats], a ring
  uint64_t turns_ = 0, followed_ = 0;
  int64_t cpu_ = 0;    // what the thread had computed when the turn before ended
  size_t anchor_ = 0;  // the seat whose captures are followed
  int64_t drift_ = 0;  // of the game's period against ours, nanoseconds
  Count ticks_, skipped_;
  Histogram lateness_;
  std::unique_ptr<Reference> reference_;
  std::atomic<bool> stop_{false}, running_{false};
  ThreadGranted granted_;
  std::thread thread_;
};

}  // namespace metabonk::play
