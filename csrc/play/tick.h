// Seat: one agent at the controls, and what it does in one tick: the newest moment in, a decision,
// the directive in force applied, the action out, the ledger told. Knows no threads: the loop calls
// it, and everything that it touches besides it does without waiting or allocating.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "metabonk/count.h"
#include "metabonk/records.h"
#include "play/clock.h"
#include "play/decider.h"
#include "play/directive.h"
#include "play/executor.h"
#include "play/histogram.h"
#include "play/journal.h"
#include "play/ledger.h"
#include "play/mailbox.h"
#include "play/pacer.h"
#include "play/sends.h"
#include "play/source.h"
#include "play/watch.h"

namespace metabonk::play {

inline constexpr Action kSafeAction = {{0, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};

struct SeatSettings {
  uint8_t agent = 0;
  // How long after a tick's start a new moment is waited for, and then an answer of a policy on a
  // thread of its own; nanoseconds.
  int64_t patience = 2 * kMillisecond;
  // After so long without a decision, for want of a new moment or of an answer to it, the safe
  // action is sent instead of the last one.
  int64_t stale = 100 * kMillisecond;
  Action safe = kSafeAction;
  // What decisions observed, for games that cannot be played again; records of SeenRecordBytes.
  // May be null, and outlives the seat.
  Journal* seen = nullptr;
};

// Sums since the start. Every tick is decided, held or safe.
struct SeatCounts {
  Count ticks, decided, held, safe;
  Count faults, unanswered, refused;
  Count lost;  // captures that were replaced by newer ones before a tick saw them
  Count directed, expired, ungrounded, released, begun;
  Count missed;  // actions that left after the next tick's planned start, or never
  Count unseen;  // decisions whose observation the recording had no room for
  Count untold;  // ticks that the ledger's queue had no room for
};

// When the parts of one tick were done, monotonic nanoseconds.
struct TickTimes {
  uint64_t tick = 0;
  int64_t planned = 0, woke = 0, next = 0;
  int64_t began = 0;               // of this seat: another one may have been before it
  int64_t capture = 0, ready = 0;  // of the moment that was decided about; 0 of none
  int64_t found = 0, seen = 0, decided = 0;
  int64_t acted = 0;  // the sink has taken the action
  // It has left for the game; 0: that is not known yet, Sends::kOvertaken: it never did.
  int64_t sent = 0;
  // What the thread computed from the turn before to the end of this one, all seats together: time
  // that nobody took from it. The loop's, which knows turns.
  int64_t cpu = 0;
  uint64_t sequence = 0;
  uint16_t gate = 0;
  uint8_t agent = 0;
};

// What became of an action that a thread of the game's was to send.
struct Settled {
  uint64_t number = 0;  // of the tick: the seat's first is 1
  int64_t sent = 0;     // as in TickTimes
};

class Seat {
 public:
  // What is given outlives the seat. ledger may be null.
  Seat(Clock& clock, Source& source, Decider& decider, Sink& sink, Journal* ledger,
       const SeatSettings& settings);

  TickTimes Tick(const Beat& beat);
  // The next tick, oldest first, whose action's fate is known since; false if there is none. Each
  // is told once, and counted here. By the thread that ticks, or once it has ended.
  bool Settle(Settled* settled);

  // Any thread: from the next tick on the policy's choices and clicks stay here; a directive's do
  // not. For whoever sees to menus in its place.
  void Mute(bool muted) { muted_.store(muted, std::memory_order_relaxed); }

  // Before the first tick; shows moments to whoever looks, and outlives the seat. May be null.
  void SetWatch(Watch* watch) { watch_ = watch; }

  // Any thread: counts from the next tick on, until the run that it is for is over. kUnavailable if
  // that is over, or if one of higher priority is in force.
  Status Direct(const Directive& directive);
  const SeatCounts& counts() const { return counts_; }
  // From the capture until the action left, of decided ticks.
  const Histogram& latency() const { return latency_; }

 private:
  // A tick whose action is on its way.
  struct Open {
    int64_t capture = 0;  // 0: nothing was decided
    int64_t next = 0;
    bool missed = false;  // it is known, and counted
  };

  void TakeDirective(const Beat& beat);
  void TellDirective(const Beat& beat);
  bool Find(const Beat& beat);
  void BeginRun(const Beat& beat);
  bool Decide(const Beat& beat, TickTimes* times);
  void Hold(TickTimes* times);
  void LeaveMuted(TickTimes* times);
  void ApplyDirective(TickTimes* times);
  void KeepDirective(TickTimes* times);
  void CountDirective(Applied applied, TickTimes* times);
  void Release(TickTimes* times);
  void Send(const Beat& beat, TickTimes* times);
  void Left(const Open& tick, int64_t sent);
  void Tell(const TickTimes& times);
  void Record(const TickTimes& times);

  Clock& clock_;
  Source& source_;
  Decider& decider_;
  Sink& sink_;
  Journal* ledger_;
  SeatSettings settings_;
  std::string range_;  // its name in a profile
  Watch* watch_ = nullptr;
  std::atomic<bool> muted_{false};

  Moment moment_;                // the newest one, once there is one
  bool forget_ = false;          // a run began that no decision has taken in
  Decision decision_;            // the last one
  Action action_ = kSafeAction;  // to be sent, then as it was sent
  bool pressed_ = false;         // the action before pressed a choice or clicked
  // When the moment of the last decision was found; before the first: the first tick.
  int64_t answered_ = 0;
  uint64_t acted_ = 0, settled_ = 0;  // ticks, and those of them whose action's fate is known
  std::array<Open, Sends::kOpen> open_;

  std::mutex one_director_;
  Directive given_;               // the last one that Direct accepted
  std::atomic<uint32_t> run_{1};  // number of the one that is played; the thread that ticks counts
  bool began_ = false;            // the first one has begun
  Mailbox<Directive> directives_;
  Directive directive_;    // in force, perhaps expired
  Executor executor_;      // carries it out
  uint32_t directed_ = 0;  // id of the one that is in action_, 0 for none

  Histogram latency_;
  SeatCounts counts_;
};

}  // namespace metabonk::play
