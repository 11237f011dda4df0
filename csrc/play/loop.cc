#include "play/loop.h"

#include <algorithm>

#include "support/ranges.h"

namespace metabonk::play {

namespace {

// Of the distance in phase, per tick: what the plan is shifted by at once, and what the game's
// period is taken to differ by. Damped well enough not to swing.
constexpr uint64_t kFollowAtOnce = 8;  // decided ticks
constexpr uint64_t kAnchorPeriod = 64;
constexpr int64_t kFollowPart = 8;
constexpr int64_t kDriftPart = 256;
constexpr int64_t kFollowMost = 500 * kMicrosecond;
constexpr int64_t kDriftMost = 200 * kMicrosecond;

}  // namespace

Status CheckLoop(const LoopSettings& settings) {
  if (const Status status = CheckPacer(settings.pacer); !status.ok()) return status;
  if (const Status status = CheckThread(settings.thread); !status.ok()) return status;
  if (settings.margin < 0 || settings.margin > settings.pacer.period / 2) {
    return {Code::kOutOfRange, "margin", "must be between 0 and half a period"};
  }
  if (settings.remembered == 0 || settings.remembered > (size_t{1} << 24)) {
    return {Code::kOutOfRange, "remembered", "must be between 1 and 16,777,216 ticks"};
  }
  return Status::Ok();
}

Loop::Loop(Clock& clock, const LoopSettings& settings)
    : clock_(clock), settings_(settings), pacer_(clock, settings.pacer) {
  if (settings.reference) {
    reference_ = std::make_unique<Reference>(clock, plan_, settings.pacer.period,
                                             settings.remembered, settings.thread);
  }
}

void Loop::Start() {
  if (thread_.joinable()) return;
  times_.resize(settings_.remembered * seats_.size());
  pacer_.Start(clock_.Now() + settings_.pacer.period);
  running_.store(true, std::memory_order_release);
  if (reference_) reference_->Start();
  thread_ = std::thread([this] {
    granted_ = PrepareThread(settings_.thread, "mb-loop");
    while (!stop_.load(std::memory_order_relaxed) && Turn()) {
    }
    running_.store(false, std::memory_order_release);
  });
}

void Loop::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
  if (reference_) reference_->Stop();
}

bool Loop::Turn() {
  if (times_.empty()) {  // a caller's own turns, without Start
    times_.resize(settings_.remembered * seats_.size());
    pacer_.Start(clock_.Now() + settings_.pacer.period);
  }
  if (turns_ == 0) cpu_ = clock_.CpuTime();
  const Beat beat = pacer_.Wait();
  if (settings_.ticks != 0 && beat.tick >= settings_.ticks) {  // it came too late for the last ones
    const uint64_t left = settings_.ticks - (beat.tick - beat.skipped);
    skipped_.Add(left);
    ticks_.Add(left);
    return false;
  }
  const Range range("tick");
  plan_.Tell(beat.tick, beat.planned);
  lateness_.Add(beat.late());
  skipped_.Add(beat.skipped);
  TickTimes* times = &At(turns_, 0);
  for (size_t i = 0; i < seats_.size(); ++i) times[i] = seats_[i]->Tick(beat);
  const int64_t cpu = clock_.CpuTime();
  for (size_t i = 0; i < seats_.size(); ++i) times[i].cpu = cpu - cpu_;
  cpu_ = cpu;
  if (settings_.follow) Follow(beat, {times, seats_.size()});
  ++turns_;
  for (size_t i = 0; i < seats_.size(); ++i) Settle(i);
  ticks_.Add(1 + beat.skipped);
  return settings_.ticks == 0 || beat.tick + 1 < settings_.ticks;
}

// The seat after whose captures the others' leave the longest pause: ticks that start there are the
// least behind all of them. Games whose captures come in a bunch are answered after its last.
size_t Loop::Anchor(std::span<const TickTimes> seats) const {
  const int64_t period = settings_.pacer.period;
  size_t best = 0;
  int64_t longest = -1;
  for (size_t i = 0; i < seats.size(); ++i) {
    if (seats[i].ready == 0) continue;
    int64_t pause = period;
    for (const TickTimes& other : seats) {
      const int64_t after = ((other.ready - seats[i].ready) % period + period) % period;
      if (other.ready != 0 && after != 0) pause = std::min(pause, after);
    }
    if (pause > longest) {
      longest = pause;
      best = i;
    }
  }
  return best;
}

// A tick that decided about a moment knows when that could first be had.
void Loop::Follow(const Beat& beat, std::span<const TickTimes> seats) {
  if (seats.empty()) return;
  // Now and then only: of two pauses alike, jitter makes now the one and now the other longer.
  if (followed_ < kFollowAtOnce || turns_ % kAnchorPeriod == 0) anchor_ = Anchor(seats);
  const int64_t ready = seats[anchor_].ready;
  if (ready == 0) return;
  const int64_t period = settings_.pacer.period;
  int64_t behind = beat.planned - (ready + settings_.margin);
  behind %= period;  // the nearest capture, before or after
  if (behind > period / 2) behind -= period;
  if (behind < -period / 2) behind += period;
  if (followed_++ < kFollowAtOnce) {  // the beginning: there is no course to hold yet
    pacer_.Shift(-behind);
    return;
  }
  drift_ = std::clamp(drift_ - behind / kDriftPart, -kDriftMost, kDriftMost);
  pacer_.Shift(drift_ + std::clamp(-behind / kFollowPart, -kFollowMost, kFollowMost));
}

// Notes when the actions of earlier turns were sent, as far as that has become known. Every turn is
// a tick of every seat.
void Loop::Settle(size_t seat) {
  Settled settled;
  while (seats_[seat]->Settle(&settled)) {
    const uint64_t turn = settled.number - 1;
    if (turns_ - turn <= settings_.remembered) At(turn, seat).sent = settled.sent;
  }
}

std::vector<TickTimes> Loop::Times(size_t seat) {
  Settle(seat);
  std::vector<TickTimes> found;
  const uint64_t kept = std::min<uint64_t>(turns_, settings_.remembered);
  found.reserve(kept);
  for (uint64_t turn = turns_ - kept; turn != turns_; ++turn) {
    found.push_back(At(turn, seat));
  }
  return found;
}

}  // namespace metabonk::play
