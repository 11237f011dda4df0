#include "play/tick.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "play/presses.h"
#include "support/ranges.h"

namespace metabonk::play {

namespace {

constexpr int64_t kLookAgain = 50 * kMicrosecond;

int32_t After(int64_t planned, int64_t time) {
  return static_cast<int32_t>(std::clamp<int64_t>(time - planned, INT32_MIN, INT32_MAX));
}

}  // namespace

Seat::Seat(Clock& clock, Source& source, Decider& decider, Sink& sink, Journal* ledger,
           const SeatSettings& settings)
    : clock_(clock),
      source_(source),
      decider_(decider),
      sink_(sink),
      ledger_(ledger),
      settings_(settings),
      range_("agent " + std::to_string(settings.agent)),
      action_(settings.safe) {}

TickTimes Seat::Tick(const Beat& beat) {
  const Range range(range_.c_str());
  TickTimes times;
  times.tick = beat.tick;
  times.planned = beat.planned;
  times.woke = beat.woke;
  times.next = beat.next;
  times.agent = settings_.agent;
  times.began = clock_.Now();
  if (answered_ == 0) answered_ = beat.planned;
  TakeDirective(beat);
  const bool found = Find(beat);
  times.found = clock_.Now();
  const bool began = found && moment_.begins;  // before Decide adds what it had not taken in
  if (began) BeginRun(beat);
  if (found && Decide(beat, &times)) {
    answered_ = times.found;
  } else {
    Hold(&times);
  }
  times.decided = clock_.Now();
  LeaveMuted(&times);
  ApplyDirective(&times);
  Release(&times);
  Send(beat, &times);
  Tell(times);
  if ((times.gate & kGateDecided) && settings_.seen != nullptr) Record(times);
  if (found && watch_ != nullptr) watch_->Show(moment_, began);
  return times;
}

Status Seat::Direct(const Directive& directive) {
  if (const Status status = CheckDirective(directive); !status.ok()) return status;
  const std::lock_guard<std::mutex> lock(one_director_);
  const uint32_t run = run_.load(std::memory_order_relaxed);
  if (directive.run != 0 && directive.run != run) {
    return {Code::kUnavailable, "directive", "the run that it is for is over"};
  }
  if (given_.run == run && !Replaces(directive, given_, clock_.Now())) {
    return {Code::kUnavailable, "directive", "one of higher priority is in force"};
  }
  given_ = directive;
  given_.run = run;
  directives_.Post(given_);
  return Status::Ok();
}

void Seat::TakeDirective(const Beat& beat) {
  if (!directives_.Take()) return;
  // A run may have begun while it was on its way.
  if (directives_.Taken().run != run_.load(std::memory_order_relaxed)) return;
  directive_ = directives_.Taken();
  TellDirective(beat);
}

// What was asked of the run before fits nothing in this one. Not at the first: what came before it
// is for it.
void Seat::BeginRun(const Beat& beat) {
  if (!began_) {
    began_ = true;
    return;
  }
  run_.store(run_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (directive_.action == DirectiveAction::kNone) return;
  directive_ = {};
  TellDirective(beat);  // so that a session that is played again lets go of it, too
}

void Seat::TellDirective(const Beat& beat) {
  if (ledger_ == nullptr) return;
  LedgerDirective record = {};
  record.entry = Entry::kDirective;
  record.agent = settings_.agent;
  record.tick = beat.tick;
  record.id = directive_.id;
  record.action = static_cast<uint8_t>(directive_.action);
  record.kind = static_cast<uint8_t>(directive_.kind);
  record.target = static_cast<uint8_t>(std::min<uint32_t>(directive_.target, 255));
  record.number = directive_.target;
  record.priority = directive_.priority;
  record.until = directive_.until;
  if (!ledger_->Push(&record)) counts_.untold.Add();
}

bool Seat::Find(const Beat& beat) {
  const Range range("find");
  const uint64_t before = moment_.sequence;
  const int64_t until = beat.planned + settings_.patience;
  while (!source_.Newest(&moment_)) {
    const int64_t now = clock_.Now();
    if (now >= until) return false;
    if (!source_.Wait(until)) clock_.SleepUntil(std::min(now + kLookAgain, until));
  }
  if (before != 0 && moment_.sequence > before + 1) {
    counts_.lost.Add(moment_.sequence - before - 1);
  }
  return true;
}

bool Seat::Decide(const Beat& beat, TickTimes* times) {
  const Range range("decide");
  moment_.begins |= forget_;
  const bool begins = moment_.begins;
  const Status status = decider_.Decide(moment_, beat.planned + settings_.patience, &decision_);
  if (!status.ok()) {
    const bool unanswered = status.code == Code::kUnavailable;
    (unanswered ? counts_.unanswered : counts_.faults).Add();
    times->gate |= unanswered ? kGateUnanswered : kGateFault;
    forget_ = begins && !unanswered;
    return false;
  }
  forget_ = false;
  times->gate |= kGateDecided;
  if (begins) {
    times->gate |= kGateBegins;
    counts_.begun.Add();
  }
  times->capture = decision_.capture;
  times->ready = moment_.ready;
  times->sequence = decision_.answers;
  times->seen = decision_.seen;
  counts_.decided.Add();
  action_ = decision_.action;
  return true;
}

// Before a directive, which may press.
void Seat::LeaveMuted(TickTimes* times) {
  if (!(times->gate & kGateDecided) || !muted_.load(std::memory_order_relaxed)) return;
  if (!IsPress(action_)) return;
  LeavePress(&action_);
  times->gate |= kGateMuted;
}

// Nothing was decided: what was done last goes on, but for presses, which happen once. Not for
// ever: a policy that hangs or faults on whatever it is shown leaves nobody at the controls, as a
// game that shows nothing does.
void Seat::Hold(TickTimes* times) {
  times->seen = times->found;
  times->sequence = moment_.sequence;
  if (times->found - answered_ > settings_.stale) {
    action_ = settings_.safe;
    times->gate |= kGateSafe;
    counts_.safe.Add();
  } else {
    LeavePress(&action_);
    times->gate |= kGateHeld;
    counts_.held.Add();
  }
}

// The directive in force, on what was decided: in the state of the decision, and only then, so that
// what is remembered follows from decisions alone and a session can be played again. An action that
// is held has it in it already, and the safe action is not overruled.
void Seat::ApplyDirective(TickTimes* times) {
  const Range range("directive");
  if (!(times->gate & kGateDecided)) return KeepDirective(times);
  const Applied applied =
      executor_.Apply(directive_, *moment_.state, moment_.ground, times->planned, &action_);
  directed_ = applied == Applied::kChanged ? directive_.id : 0;
  CountDirective(applied, times);
}

void Seat::KeepDirective(TickTimes* times) {
  if (times->gate & kGateSafe) directed_ = 0;
  if (directive_.action == DirectiveAction::kNone || moment_.state == nullptr) return;
  if (times->planned >= directive_.until) return CountDirective(Applied::kExpired, times);
  if (directed_ == directive_.id) CountDirective(Applied::kChanged, times);
}

void Seat::CountDirective(Applied applied, TickTimes* times) {
  switch (applied) {
    case Applied::kChanged:
      times->gate |= kGateDirected;
      counts_.directed.Add();
      break;
    case Applied::kExpired:
      times->gate |= kGateExpired;
      counts_.expired.Add();
      directive_.action = DirectiveAction::kNone;  // once is enough to know
      break;
    case Applied::kUngrounded:
      times->gate |= kGateUngrounded;
      counts_.ungrounded.Add();
      break;
    case Applied::kNothing:
      break;
  }
}

// Games take a press only after a tick without one.
void Seat::Release(TickTimes* times) {
  if (pressed_ && IsPress(action_)) {
    LeavePress(&action_);
    times->gate |= kGateReleased;
    counts_.released.Add();
  }
  pressed_ = IsPress(action_);
}

void Seat::Send(const Beat& beat, TickTimes* times) {
  const Range range("act");
  const bool taken = sink_.Act(action_, times->sequence);
  times->acted = clock_.Now();
  counts_.ticks.Add();
  if (!taken) {
    times->gate |= kGateRefused;
    counts_.refused.Add();
  }
  const bool missed = times->acted > beat.next;
  if (missed) {
    times->gate |= kGateMissed;
    counts_.missed.Add();
  }
  open_[++acted_ % Sends::kOpen] = {(times->gate & kGateDecided) ? times->capture : 0, beat.next,
                                    missed};
  if (sink_.sends() != nullptr) return;
  times->sent = times->acted;
  settled_ = acted_;
  Left(open_[acted_ % Sends::kOpen], times->sent);
}

bool Seat::Settle(Settled* settled) {
  if (settled_ == acted_) return false;
  const uint64_t number = settled_ + 1;
  int64_t sent = sink_.sends()->At(number);
  if (sent == 0) {
    // The next tick takes its place.
    if (acted_ - number + 1 < Sends::kOpen) return false;
    sent = Sends::kOvertaken;
  }
  settled_ = number;
  Left(open_[number % Sends::kOpen], sent);
  *settled = {number, sent};
  return true;
}

void Seat::Left(const Open& tick, int64_t sent) {
  const bool ever = sent != Sends::kOvertaken;
  if (!tick.missed && (!ever || sent > tick.next)) counts_.missed.Add();
  if (ever && tick.capture != 0) latency_.Add(sent - tick.capture);
}

void Seat::Tell(const TickTimes& times) {
  if (ledger_ == nullptr) return;
  LedgerTick record = {};
  record.entry = Entry::kTick;
  record.agent = settings_.agent;
  record.gate = times.gate;
  record.tick = times.tick;
  record.sequence = times.sequence;
  record.capture = times.capture;
  record.planned = times.planned;
  record.woke = After(times.planned, times.woke);
  record.seen = After(times.planned, times.seen);
  record.decided = After(times.planned, times.decided);
  record.acted = After(times.planned, times.acted);
  record.action = action_;
  record.directive = (times.gate & kGateDirected) ? directive_.id : 0;
  record.candidate = -1;
  record.frame = moment_.frame.step;
  if (times.gate & kGateDecided) {
    record.counter = decision_.counter;
    record.observation = decision_.observation;
    record.memory = decision_.memory;
    std::memcpy(record.artifact, decision_.artifact.data(), sizeof record.artifact);
    record.candidate = decision_.candidate;
    record.score = decision_.score;
    record.dt = moment_.state->dt;
  }
  if (!ledger_->Push(&record)) counts_.untold.Add();
}

// After the action has left: nobody waits for this.
void Seat::Record(const TickTimes& times) {
  uint8_t* to = settings_.seen->Begin();
  if (to == nullptr) {
    counts_.unseen.Add();
    return;
  }
  const SeenHeader header = {0, settings_.agent, 0, times.tick};
  std::memcpy(to, &header, sizeof header);
  to += sizeof header;
  std::memcpy(to, moment_.state, kSeenState);
  to += kSeenState;
  std::memcpy(to, moment_.state->widgets, kSeenWidgets);
  to += kSeenWidgets;
  decider_.CopySeen(to);
  const size_t used = sizeof header + kSeenState + kSeenWidgets + decider_.seen_bytes();
  std::memset(to + decider_.seen_bytes(), 0, SeenRecordBytes(decider_.seen_bytes()) - used);
  settings_.seen->Commit();
}

}  // namespace metabonk::play
