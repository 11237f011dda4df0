// The loop: it follows the game's phase, ticks every seat, ends where it was told, and its
// reference thread answers for the machine.
#include "play/loop.h"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "play/loop_fakes.h"
#include "support/ranges.h"

namespace metabonk::play {

namespace {

constexpr int64_t kPeriod = 16'666'667;

// A loop over a game that captures every `period`, beginning `phase` after the start.
struct Match {
  explicit Match(int64_t phase, int64_t period = kPeriod, bool follow = true)
      : loop(clock, {.pacer = {kPeriod, 0}, .follow = follow, .ticks = 2000, .remembered = 4096}) {
    for (int i = 0; i < 2100; ++i) game.captures.push_back(clock.now + phase + i * period);
    game.delay = 100 * kMicrosecond;
    loop.Add(&seat);
  }
  std::vector<TickTimes> Play() {
    while (loop.Turn()) {
    }
    return loop.Times(0);
  }

  FakeClock clock;
  FakeGame game{clock};
  FakeDecider decider{clock};
  Seat seat{clock, game, decider, game, nullptr, {}};
  Loop loop;
};

int64_t WorstLatency(const std::vector<TickTimes>& times, size_t from) {
  int64_t worst = 0;
  for (size_t i = from; i < times.size(); ++i) {
    if (times[i].gate & kGateDecided) worst = std::max(worst, times[i].acted - times[i].capture);
  }
  return worst;
}

// Computes for so long, as the processor counts it.
class BusyDecider final : public Decider {
 public:
  explicit BusyDecider(int64_t computes) : computes_(computes) {}
  Status Decide(const Moment& moment, int64_t, Decision* decision) override {
    Clock& clock = MonotonicClock();
    const int64_t until = clock.CpuTime() + computes_;
    while (clock.CpuTime() < until) {
    }
    decision->answers = moment.sequence;
    decision->capture = moment.capture;
    decision->seen = clock.Now();
    return Status::Ok();
  }

 private:
  const int64_t computes_;
};

}  // namespace

TEST(loop_follows_the_games_phase) {
  for (int64_t phase = 0; phase < kPeriod; phase += kPeriod / 7) {
    Match match(phase);
    const std::vector<TickTimes> times = match.Play();
    CHECK_EQ(times.size(), size_t{2000});
    CHECK(WorstLatency(times, 200) < kMillisecond);
    CHECK(match.seat.counts().held.value() <= 2);
  }
}

TEST(loop_follows_a_game_whose_clock_runs_otherwise) {
  for (const int64_t period : {kPeriod - kPeriod / 200, kPeriod + kPeriod / 200}) {
    Match match(kPeriod / 3, period);
    const std::vector<TickTimes> times = match.Play();
    CHECK(WorstLatency(times, 300) < kMillisecond);
  }
}

TEST(loop_that_does_not_follow_answers_old_captures) {
  Match match(kPeriod / 2, kPeriod, false);
  CHECK(WorstLatency(match.Play(), 200) > kPeriod / 3);
}

TEST(loop_waits_for_the_last_of_several_captures) {
  FakeClock clock;
  FakeGame early(clock), late(clock);
  FakeDecider decider(clock);
  for (int i = 0; i < 1000; ++i) {
    early.captures.push_back(clock.now + i * kPeriod);
    late.captures.push_back(clock.now + i * kPeriod + 5 * kMillisecond);
  }
  Seat first(clock, early, decider, early, nullptr, {});
  Seat second(clock, late, decider, late, nullptr, {.agent = 1});
  Loop loop(clock, {.pacer = {kPeriod, 0}, .ticks = 900, .remembered = 900});
  loop.Add(&first);
  loop.Add(&second);
  while (loop.Turn()) {
  }
  CHECK(WorstLatency(loop.Times(1), 100) < kMillisecond);
  CHECK(WorstLatency(loop.Times(0), 100) < 6 * kMillisecond);
  CHECK(second.counts().held.value() <= 2);
}

TEST(loop_ticks_every_seat_and_keeps_the_newest_times) {
  FakeClock clock;
  FakeGame one(clock), two(clock);
  FakeDecider decider(clock);
  Seat first(clock, one, decider, one, nullptr, {.agent = 0});
  Seat second(clock, two, decider, two, nullptr, {.agent = 1});
  Loop loop(clock, {.pacer = {kPeriod, 0}, .ticks = 50, .remembered = 8});
  loop.Add(&first);
  loop.Add(&second);
  while (loop.Turn()) {
  }
  CHECK_EQ(loop.ticks(), uint64_t{50});
  CHECK_EQ(first.counts().ticks.value(), uint64_t{50});
  CHECK_EQ(second.counts().ticks.value(), uint64_t{50});
  const std::vector<TickTimes> times = loop.Times(1);
  CHECK_EQ(times.size(), size_t{8});
  for (size_t i = 0; i < times.size(); ++i) {
    CHECK_EQ(times[i].tick, 42 + i);
    CHECK_EQ(times[i].agent, 1);
  }
}

TEST(loop_notes_when_actions_were_sent_in_the_turns_that_they_are_of) {
  Match match(kPeriod / 2);
  match.game.sent_by_another = true;
  match.game.send_after = 3 * kMillisecond;
  for (int turn = 0; turn < 40; ++turn) {
    if (turn == 20) match.game.send_after = 2 * kPeriod;
    if (turn == 30) match.game.send_after = -1;  // it hangs
    match.loop.Turn();
  }
  CHECK_EQ(match.seat.counts().missed.value(), uint64_t{10});  // while it runs
  std::vector<TickTimes> times = match.loop.Times(0);
  for (size_t turn = 0; turn < 40; ++turn) {
    const int64_t after = times[turn].sent - times[turn].acted;
    if (turn < 20) CHECK(after > 3 * kMillisecond - 1000 && after <= 3 * kMillisecond);
    if (turn >= 20 && turn < 30) CHECK(after > 2 * kPeriod - 1000);
    if (turn >= 30) CHECK_EQ(times[turn].sent, int64_t{0});
  }
  match.game.sender.Tell(40, match.clock.now);  // the loop has ended, its game not yet
  times = match.loop.Times(0);
  CHECK_EQ(times[30].sent, Sends::kOvertaken);
  CHECK_EQ(times[39].sent, match.clock.now);
  CHECK_EQ(match.seat.counts().missed.value(), uint64_t{19});
}

TEST(loop_whose_actions_leave_at_once_says_so) {
  Match match(kPeriod / 2);
  for (int turn = 0; turn < 5; ++turn) match.loop.Turn();
  for (const TickTimes& times : match.loop.Times(0)) CHECK_EQ(times.sent, times.acted);
}

TEST(loop_forgets_when_actions_were_sent_with_their_turns) {
  FakeClock clock;
  FakeGame game(clock);
  game.sent_by_another = true;
  FakeDecider decider(clock);
  Seat seat(clock, game, decider, game, nullptr, {});
  Loop loop(clock, {.pacer = {kPeriod, 0}, .ticks = 50, .remembered = 8});
  loop.Add(&seat);
  while (loop.Turn()) {
  }
  for (uint64_t number = 1; number <= 50; ++number) {
    game.sender.Tell(number, static_cast<int64_t>(number));
  }
  const std::vector<TickTimes> times = loop.Times(0);
  for (size_t i = 0; i < 8; ++i) CHECK_EQ(times[i].sent, static_cast<int64_t>(43 + i));
}

TEST(loop_ticks_are_ranges_of_a_profile) {
  Match match(kPeriod / 2);
  static std::vector<std::string> seen;
  seen.clear();
  constexpr RangeSink kSink = {[](const char* name) { return seen.emplace_back(name), 0; },
                               [] { return seen.emplace_back("pop"), 0; }};
  match.loop.Turn();  // nobody watches
  CHECK(seen.empty());
  SetRangeSink(&kSink);
  match.loop.Turn();
  SetRangeSink(nullptr);
  const std::vector<std::string> wanted = {"tick",      "agent 0", "find", "pop", "decide", "pop",
                                           "directive", "pop",     "act",  "pop", "pop",    "pop"};
  CHECK(seen == wanted);
  match.loop.Turn();
  CHECK_EQ(seen.size(), wanted.size());
}

TEST(loop_counts_what_it_skipped) {
  Match match(0);
  for (int i = 0; i < 10; ++i) CHECK(match.loop.Turn());
  match.clock.now += 5 * kPeriod;
  CHECK(match.loop.Turn());
  CHECK(match.loop.skipped() == 3 || match.loop.skipped() == 4);
  CHECK_EQ(match.loop.ticks(), 11 + match.loop.skipped());
}

TEST(loop_that_comes_too_late_for_its_last_ticks_ends_with_as_many_as_were_planned) {
  Match match(0);
  for (int i = 0; i < 1990; ++i) CHECK(match.loop.Turn());
  const uint64_t before = match.loop.skipped();
  match.clock.now += 50 * kPeriod;
  CHECK(!match.loop.Turn());
  CHECK_EQ(match.loop.ticks(), 2000u);
  CHECK_EQ(match.loop.skipped(), before + 10);
  CHECK_EQ(match.seat.counts().ticks.value() + match.loop.skipped(), 2000u);
}

TEST(loop_says_what_the_thread_computed_in_each_turn) {
  FakeClock clock;
  clock.cpu = kSecond;  // before the first turn: nobody's
  FakeGame one(clock), two(clock);
  FakeDecider light(clock), heavy(clock);
  light.computes = kMillisecond;
  for (int i = 0; i < 30; ++i) {
    one.captures.push_back(clock.now + i * kPeriod);
    two.captures.push_back(clock.now + i * kPeriod);
  }
  Seat first(clock, one, light, one, nullptr, {.agent = 0});
  Seat second(clock, two, heavy, two, nullptr, {.agent = 1});
  Loop loop(clock, {.pacer = {kPeriod, 0}, .ticks = 20, .remembered = 20});
  loop.Add(&first);
  loop.Add(&second);
  int64_t known = clock.cpu;
  for (int turn = 0; turn < 20; ++turn) {
    heavy.computes = (turn % 3) * kPeriod;
    loop.Turn();
    for (size_t seat = 0; seat < 2; ++seat) {
      CHECK_EQ(loop.Times(seat).back().cpu, clock.cpu - known);  // all seats' together
    }
    known = clock.cpu;
  }
  CHECK(clock.cpu > kSecond + 10 * kPeriod);
}

TEST(loop_thread_that_computes_for_too_long_says_so) {
  Clock& clock = MonotonicClock();
  constexpr int64_t kShort = 5 * kMillisecond;
  FakeGame game(clock);
  for (int i = 0; i < 4; ++i) game.captures.push_back(clock.Now() + i * kShort);
  BusyDecider decider(2 * kShort);
  Seat seat(clock, game, decider, game, nullptr, {.patience = 0});
  Loop loop(clock, {.pacer = {kShort, 0}, .margin = 0, .ticks = 30, .remembered = 30});
  loop.Add(&seat);
  loop.Start();
  while (loop.running()) std::this_thread::yield();
  loop.Stop();
  int decided = 0;
  for (const TickTimes& times : loop.Times(0)) {
    const bool busy = (times.gate & kGateDecided) != 0;
    decided += busy;
    CHECK_EQ(times.cpu >= 2 * kShort, busy);  // what is held computes next to nothing
  }
  CHECK(decided >= 1 && decided <= 4);
}

TEST(clock_tells_computing_from_sleeping) {
  Clock& clock = MonotonicClock();
  const int64_t before = clock.CpuTime();
  clock.SleepUntil(clock.Now() + 30 * kMillisecond);
  const int64_t slept = clock.CpuTime() - before;
  CHECK(slept >= 0 && slept < 20 * kMillisecond);
  while (clock.CpuTime() < before + 30 * kMillisecond) clock.Relax();  // it moves when one computes
}

TEST(loop_runs_on_a_thread_and_stops) {
  Clock& clock = MonotonicClock();
  FakeClock fake;
  FakeGame game(clock);
  game.captures = {clock.Now()};
  FakeDecider decider(fake);
  Seat seat(clock, game, decider, game, nullptr, {.patience = 0});
  Loop loop(clock, {.pacer = {kMillisecond, 50'000}, .margin = 0, .reference = true});
  loop.Add(&seat);
  loop.Start();
  while (loop.ticks() < 50) std::this_thread::yield();
  CHECK(loop.running());
  const Directive hold = {.id = 1, .action = DirectiveAction::kHold, .until = INT64_MAX};
  CHECK(seat.Direct(hold).ok());  // while it ticks
  while (seat.counts().directed.value() == 0 && seat.counts().safe.value() < 200) {
    std::this_thread::yield();
  }
  loop.Stop();
  CHECK(!loop.running());
  CHECK(seat.counts().ticks.value() + loop.skipped() == loop.ticks());
  CHECK(loop.reference()->lateness().count() > 0);
  loop.Stop();
}

TEST(loop_thread_says_which_processor_it_is_held_on) {
  ThreadGranted free, held, inherited;
  const int last = LastCpu();
  std::thread([&] {
    free = PrepareThread({}, "mb-test");
    held = PrepareThread({.cpu = last}, "mb-test");
    inherited = PrepareThread({}, "mb-test");  // it may use one only, without having asked
  }).join();
  CHECK(free.cpu == -1 || std::thread::hardware_concurrency() == 1);
  CHECK_EQ(held.cpu, last);
  CHECK_EQ(inherited.cpu, last);
  CHECK_EQ(held.cpu_error, 0);
}

TEST(loop_settings_are_checked) {
  CHECK(CheckLoop({}).ok());
  CHECK(!CheckLoop({.margin = kSecond}).ok());
  CHECK(!CheckLoop({.remembered = 0}).ok());
  CHECK(!CheckLoop({.thread = {.cpu = -2}}).ok());
  CHECK(!CheckLoop({.thread = {.priority = 100}}).ok());
}

TEST(reference_wakes_half_a_period_after_each_tick) {
  FakeClock clock;
  Plan plan;
  Reference reference(clock, plan, kPeriod, 100, {});
  CHECK(!reference.Wake());  // nothing is planned yet
  int64_t planned = clock.now + kPeriod;
  for (uint64_t tick = 0; tick < 50; ++tick) {
    plan.Tell(tick, planned);
    CHECK(reference.Wake());
    CHECK(clock.now >= planned + kPeriod / 2);
    CHECK(clock.now <= planned + kPeriod / 2 + 1000);
    CHECK(reference.LateAfter(tick) >= 0 && reference.LateAfter(tick) < 1000);
    planned += kPeriod + (tick % 2 ? 100'000 : -100'000);  // as a loop shifts
  }
  CHECK_EQ(reference.LateAfter(50), int64_t{-1});
  CHECK_EQ(reference.missed(), uint64_t{0});
}

TEST(reference_knows_how_late_every_wake_of_a_stall_was) {
  FakeClock clock;
  Plan plan;
  Reference reference(clock, plan, kPeriod, 100, {});
  plan.Tell(0, clock.now + kPeriod);
  clock.stalls = {2 * kPeriod + kPeriod / 2};
  CHECK(reference.Wake());
  CHECK(reference.LateAfter(0) >= 2 * kPeriod);
  CHECK(reference.LateAfter(1) >= kPeriod && reference.LateAfter(1) < 2 * kPeriod);
  CHECK(reference.LateAfter(2) >= kPeriod / 2 && reference.LateAfter(2) < kPeriod);
  CHECK_EQ(reference.LateAfter(3), int64_t{-1});
  CHECK_EQ(reference.missed(), uint64_t{2});
}

}  // namespace metabonk::play
