// One agent's tick: new moments are decided about, silence is held and then made safe, presses
// happen once, directives change what goes out, every count can be seen, nothing allocates.
#include "play/tick.h"

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "play/artifacts.h"
#include "play/loop_fakes.h"

namespace metabonk::play {

namespace {

constexpr int64_t kPeriod = 16'666'667;

struct Table {
  explicit Table(SeatSettings settings = {}, Journal* ledger = nullptr)
      : seat(clock, game, decider, game, ledger, settings) {}

  // Tick `n`, planned for n periods after the start.
  TickTimes Tick(uint64_t n) {
    Beat beat;
    beat.tick = n;
    beat.planned = start + static_cast<int64_t>(n) * kPeriod;
    clock.now = std::max(clock.now, beat.planned);
    beat.woke = clock.now;
    beat.next = beat.planned + kPeriod;
    return seat.Tick(beat);
  }
  // A capture before every tick from `first` to `last`.
  void Capture(uint64_t first, uint64_t last) {
    for (uint64_t n = first; n <= last; ++n) {
      game.captures.push_back(start + static_cast<int64_t>(n) * kPeriod - 200 * kMicrosecond);
    }
  }

  FakeClock clock;
  int64_t start = clock.now + kPeriod;
  FakeGame game{clock};
  FakeDecider decider{clock};
  Seat seat;
};

// A game that something happens beside while it is asked for its newest moment.
class Meanwhile final : public Source {
 public:
  explicit Meanwhile(Source& game) : game_(game) {}
  bool Newest(Moment* moment) override {
    if (auto then = std::exchange(meanwhile, nullptr)) then();
    return game_.Newest(moment);
  }
  std::function<void()> meanwhile;

 private:
  Source& game_;
};

}  // namespace

TEST(tick_answers_every_new_moment) {
  Table table;
  table.Capture(0, 9);
  table.decider.takes = 300 * kMicrosecond;
  for (uint64_t n = 0; n < 10; ++n) {
    const TickTimes times = table.Tick(n);
    CHECK_EQ(times.gate, n == 0 ? kGateDecided | kGateBegins : kGateDecided + 0);
    CHECK_EQ(times.sequence, n + 1);
    CHECK_EQ(table.game.answers.back(), n + 1);
    CHECK_EQ(table.game.actions.back().move[0], 0.5f);
    CHECK(times.acted - times.capture >= 500 * kMicrosecond);
    CHECK(times.acted - times.capture < 520 * kMicrosecond);
    CHECK(times.planned <= times.found && times.found <= times.seen);
    CHECK(times.seen <= times.decided && times.decided <= times.acted);
  }
  CHECK_EQ(table.seat.counts().decided.value(), uint64_t{10});
  CHECK_EQ(table.seat.counts().begun.value(), uint64_t{1});
  CHECK_EQ(table.seat.counts().missed.value(), uint64_t{0});
  CHECK_EQ(table.seat.latency().count(), uint64_t{10});
}

TEST(tick_waits_a_little_for_a_moment) {
  Table table;
  table.game.captures = {table.start + 700 * kMicrosecond};
  const TickTimes times = table.Tick(0);
  CHECK(times.gate & kGateDecided);
  CHECK(times.found >= table.start + 700 * kMicrosecond);
  CHECK(times.found < table.start + 800 * kMicrosecond);
}

TEST(tick_holds_and_then_plays_safe) {
  SeatSettings settings;
  settings.safe.slide = 1.0f;
  Table table(settings);
  table.Capture(0, 0);
  table.decider.action.choice = 3.0f;
  table.Tick(0);
  CHECK_EQ(table.game.actions.back().choice, 3.0f);
  int held = 0, safe = 0;
  for (uint64_t n = 1; n <= 12; ++n) {
    const TickTimes times = table.Tick(n);
    const Action& sent = table.game.actions.back();
    CHECK(times.found - times.planned <= settings.patience + 200 * kMicrosecond);
    if (times.gate == kGateHeld) {
      ++held;
      CHECK_EQ(sent.move[0], 0.5f);
      CHECK_EQ(sent.choice, 0.0f);  // pressed once
    } else {
      CHECK_EQ(times.gate, kGateSafe + 0);
      ++safe;
      CHECK_EQ(sent.move[0], 0.0f);
      CHECK_EQ(sent.slide, 1.0f);
    }
  }
  CHECK_EQ(held, 5);  // 100 ms
  CHECK_EQ(safe, 7);
  CHECK_EQ(table.seat.counts().held.value(), uint64_t{5});
  CHECK_EQ(table.seat.counts().safe.value(), uint64_t{7});
  table.Capture(13, 13);
  CHECK(table.Tick(13).gate & kGateDecided);  // the game is back
}

TEST(tick_plays_safe_where_the_policy_hangs_or_faults_on_what_it_is_shown) {
  for (const Code code : {Code::kUnavailable, Code::kOutOfRange}) {
    SeatSettings settings;
    settings.safe.slide = 1.0f;
    Table table(settings);
    table.Capture(0, 13);
    table.Tick(0);
    table.decider.status = {code, "policy", "says nothing"};
    int held = 0, safe = 0;
    for (uint64_t n = 1; n <= 12; ++n) {
      const TickTimes times = table.Tick(n);
      const bool gave_up = times.gate & kGateSafe;
      (gave_up ? safe : held) += 1;
      CHECK_EQ((times.gate & kGateHeld) != 0, !gave_up);
      CHECK(times.gate & (code == Code::kUnavailable ? kGateUnanswered : kGateFault));
      CHECK_EQ(table.game.actions.back().move[0], gave_up ? 0.0f : 0.5f);
      CHECK_EQ(table.game.actions.back().slide, gave_up ? 1.0f : 0.0f);
    }
    CHECK_EQ(held, 5);  // 100 ms
    CHECK_EQ(safe, 7);
    table.decider.status = Status::Ok();
    CHECK_EQ(table.Tick(13).gate, kGateDecided + 0);
    CHECK_EQ(table.game.actions.back().move[0], 0.5f);
  }
}

TEST(tick_plays_safe_where_a_game_never_shows_anything) {
  Table table;
  for (uint64_t n = 0; n < 12; ++n) table.Tick(n);
  CHECK(table.seat.counts().safe.value() >= 5);
  for (const Action& action : table.game.actions) {
    CHECK(std::memcmp(&action, &kSafeAction, sizeof action) == 0);
  }
}

TEST(tick_counts_captures_that_nobody_saw) {
  Table table;
  table.Capture(0, 0);
  table.Tick(0);
  for (int i = 0; i < 4; ++i) table.game.captures.push_back(table.start + 1000 + i);
  CHECK_EQ(table.Tick(1).sequence, uint64_t{5});
  CHECK_EQ(table.seat.counts().lost.value(), uint64_t{3});
}

TEST(tick_lets_go_between_two_presses) {
  Table table;
  table.Capture(0, 5);
  table.decider.action.choice = 1.0f;
  std::vector<float> sent;
  for (uint64_t n = 0; n < 6; ++n) {
    table.Tick(n);
    sent.push_back(table.game.actions.back().choice);
  }
  CHECK((sent == std::vector<float>{1, 0, 1, 0, 1, 0}));
  CHECK_EQ(table.seat.counts().released.value(), uint64_t{3});
}

TEST(tick_applies_the_directive_in_force) {
  Table table;
  table.Capture(0, 9);
  const Directive hold = {
      .id = 7, .action = DirectiveAction::kHold, .priority = 2, .until = table.start + 3 * kPeriod};
  CHECK(table.seat.Direct(hold).ok());
  Directive low = hold;
  low.priority = 1;
  low.action = DirectiveAction::kInteract;
  CHECK(!table.seat.Direct(low).ok());
  for (uint64_t n = 0; n < 6; ++n) {
    const TickTimes times = table.Tick(n);
    const bool in_force = n < 3;
    CHECK_EQ(table.game.actions.back().move[0], in_force ? 0.0f : 0.5f);
    CHECK_EQ((times.gate & kGateDirected) != 0, in_force);
    CHECK_EQ((times.gate & kGateExpired) != 0, n == 3);
  }
  CHECK_EQ(table.seat.counts().directed.value(), uint64_t{3});
  CHECK_EQ(table.seat.counts().expired.value(), uint64_t{1});
  low.until = table.start + 100 * kPeriod;
  CHECK(table.seat.Direct(low).ok());  // the other one has run out
  table.Tick(6);
  CHECK_EQ(table.game.actions.back().interact, 1.0f);
}

TEST(tick_lets_go_of_a_directive_where_another_run_begins) {
  Table table;
  table.Capture(0, 9);
  Directive hold = {.id = 7,
                    .action = DirectiveAction::kHold,
                    .priority = 3,
                    .until = table.start + 100 * kPeriod};
  CHECK(table.seat.Direct(hold).ok());  // before the first run, for it
  table.game.begins = 1;
  CHECK(table.Tick(0).gate & kGateDirected);
  CHECK(table.Tick(1).gate & kGateDirected);
  table.game.begins = 3;
  const TickTimes began = table.Tick(2);
  CHECK_EQ(began.gate, kGateDecided | kGateBegins);
  CHECK_EQ(table.game.actions.back().move[0], 0.5f);
  hold.run = 1;
  CHECK(!table.seat.Direct(hold).ok());  // it came too late for its run
  CHECK_EQ(table.Tick(3).gate, kGateDecided + 0);
  hold.run = 2;
  hold.priority = 0;  // and what was more important was so in the other run
  CHECK(table.seat.Direct(hold).ok());
  CHECK(table.Tick(4).gate & kGateDirected);
  CHECK(table.Tick(5).gate & kGateDirected);
}

TEST(tick_follows_no_directive_whose_run_ended_while_it_was_on_its_way) {
  Table table;
  table.Capture(0, 9);
  Meanwhile source(table.game);
  Seat seat(table.clock, source, table.decider, table.game, nullptr, {});
  const auto tick = [&](uint64_t n) {
    const int64_t planned = table.start + static_cast<int64_t>(n) * kPeriod;
    table.clock.now = std::max(table.clock.now, planned);
    Beat beat;
    beat.tick = n;
    beat.planned = planned;
    beat.next = planned + kPeriod;
    return seat.Tick(beat).gate;
  };
  const Directive hold = {
      .id = 7, .action = DirectiveAction::kHold, .until = table.start + 100 * kPeriod};
  tick(0);
  table.game.begins = 2;
  // After the tick has looked for directives, and before it finds that a run began.
  source.meanwhile = [&] { CHECK(seat.Direct(hold).ok()); };
  CHECK_EQ(tick(1), kGateDecided | kGateBegins);
  CHECK_EQ(tick(2), kGateDecided + 0);
  CHECK(seat.Direct(hold).ok());
  CHECK(tick(3) & kGateDirected);
}

TEST(tick_holds_an_action_with_its_directive) {
  Table table;
  table.Capture(0, 2);
  const Directive hold = {
      .id = 7, .action = DirectiveAction::kHold, .until = table.start + 5 * kPeriod};
  for (uint64_t n = 0; n < 8; ++n) {
    if (n == 2) CHECK(table.seat.Direct(hold).ok());
    if (n == 4) {  // one that comes while nothing is seen is carried out once something is
      const Directive move = {.id = 8,
                              .action = DirectiveAction::kMove,
                              .kind = TargetKind::kCompass,
                              .target = 4,
                              .until = table.start + 7 * kPeriod};
      CHECK(table.seat.Direct(move).ok());
    }
    if (n == 6) table.Capture(6, 7);
    const TickTimes times = table.Tick(n);
    CHECK_EQ((times.gate & kGateHeld) != 0, n >= 3 && n < 6);
    CHECK_EQ((times.gate & kGateDirected) != 0, n == 2 || n == 3 || n == 6);
    CHECK_EQ((times.gate & kGateExpired) != 0, n == 7);
    CHECK_NEAR(table.game.actions.back().move[0],
               n < 2 || n == 7 ? 0.5f
               : n == 6        ? -1.0f
                               : 0.0f,
               1e-5);
  }
}

TEST(tick_counts_a_deadline_that_was_missed) {
  Table table;
  table.Capture(0, 3);
  table.Tick(0);
  table.decider.takes = kPeriod;
  CHECK(table.Tick(1).gate & kGateMissed);
  CHECK_EQ(table.seat.counts().missed.value(), uint64_t{1});
}

TEST(tick_counts_actions_that_another_thread_sent_late_or_never) {
  Table table;
  table.game.sent_by_another = true;
  table.Capture(0, 9);
  Settled settled;
  for (uint64_t n = 0; n < 6; ++n) {
    CHECK_EQ(table.Tick(n).sent, int64_t{0});  // handed over, and not known to have left
    CHECK(!table.seat.Settle(&settled));
  }
  const int64_t planned = table.start;
  table.game.sender.Tell(1, planned + kPeriod);          // just in time
  table.game.sender.Tell(2, planned + 2 * kPeriod + 1);  // late
  table.game.sender.Tell(5, planned + 4 * kPeriod + kMillisecond);
  const int64_t wanted[] = {planned + kPeriod, planned + 2 * kPeriod + 1, Sends::kOvertaken,
                            Sends::kOvertaken, planned + 4 * kPeriod + kMillisecond};
  for (uint64_t number = 1; number <= 5; ++number) {
    CHECK(table.seat.Settle(&settled));
    CHECK_EQ(settled.number, number);
    CHECK_EQ(settled.sent, wanted[number - 1]);
  }
  CHECK(!table.seat.Settle(&settled));
  CHECK_EQ(table.seat.counts().missed.value(), uint64_t{3});
  CHECK_EQ(table.seat.latency().count(), uint64_t{3});  // of those that left
  CHECK(table.seat.latency().most() > static_cast<uint64_t>(kPeriod));
}

TEST(tick_counts_a_deadline_once_though_it_was_handed_over_and_sent_late) {
  Table table;
  table.game.sent_by_another = true;
  table.Capture(0, 3);
  table.decider.takes = kPeriod;
  const TickTimes times = table.Tick(0);
  CHECK(times.gate & kGateMissed);
  CHECK_EQ(table.seat.counts().missed.value(), uint64_t{1});
  table.game.sender.Tell(1, times.acted + kMillisecond);
  Settled settled;
  CHECK(table.seat.Settle(&settled));
  CHECK_EQ(table.seat.counts().missed.value(), uint64_t{1});
}

TEST(tick_gives_up_on_what_a_sender_that_hangs_was_given) {
  Table table;
  table.game.sent_by_another = true;
  Settled settled;
  uint64_t number = 0;
  for (uint64_t n = 0; n < 3 * Sends::kOpen; ++n) {
    table.Tick(n);
    while (table.seat.Settle(&settled)) {
      CHECK_EQ(settled.number, ++number);
      CHECK_EQ(settled.sent, Sends::kOvertaken);
    }
  }
  CHECK_EQ(number, 2 * Sends::kOpen + 1);
  CHECK_EQ(table.seat.counts().missed.value(), number);
}

TEST(tick_holds_where_the_policy_has_no_answer) {
  Table table;
  table.Capture(0, 4);
  table.decider.status = {Code::kOutOfRange, "index", "is none"};
  CHECK_EQ(table.Tick(0).gate, kGateFault + kGateHeld);
  table.decider.status = {Code::kUnavailable, "policy", "has no answer yet"};
  CHECK_EQ(table.Tick(1).gate, kGateUnanswered + kGateHeld);
  table.decider.status = Status::Ok();
  CHECK_EQ(table.Tick(2).gate, kGateDecided + 0);
  // What began at the first moment was told again after the fault, and once only.
  CHECK((table.decider.begins == std::vector<bool>{true, true, false}));
  table.game.takes = false;
  CHECK_EQ(table.Tick(3).gate, kGateDecided + kGateRefused);
  CHECK_EQ(table.seat.counts().refused.value(), uint64_t{1});
  CHECK_EQ(table.seat.counts().faults.value(), uint64_t{1});
  CHECK_EQ(table.seat.counts().unanswered.value(), uint64_t{1});
}

TEST(tick_tells_the_ledger_what_it_did) {
  const TemporaryDirectory directory;
  std::unique_ptr<Journal> ledger;
  CHECK(Journal::Create(directory / "ledger", "ledger", sizeof(LedgerTick), 64, &ledger).ok());
  SeatSettings settings;
  settings.agent = 3;
  Table table(settings, ledger.get());
  table.Capture(0, 4);
  const Directive hold = {
      .id = 9, .action = DirectiveAction::kHold, .until = table.start + 100 * kPeriod};
  for (uint64_t n = 0; n < 5; ++n) {
    if (n == 2) CHECK(table.seat.Direct(hold).ok());
    table.Tick(n);
  }
  ledger.reset();
  std::ifstream file(directory / "ledger", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  CHECK_EQ(bytes.size(), kJournalHeader + 6 * sizeof(LedgerTick));
  uint64_t tick = 0;
  for (int i = 0; i < 6; ++i) {
    LedgerTick record;
    std::memcpy(&record, &bytes[kJournalHeader + static_cast<size_t>(i) * sizeof record],
                sizeof record);
    CHECK_EQ(record.agent, 3);
    if (i == 2) {
      LedgerDirective told;
      std::memcpy(&told, &record, sizeof told);
      CHECK(told.entry == Entry::kDirective);
      CHECK_EQ(told.id, 9u);
      CHECK_EQ(told.until, hold.until);
      CHECK_EQ(told.kind, static_cast<uint8_t>(TargetKind::kHere));
      CHECK_EQ(told.number, 0u);
      CHECK_EQ(told.tick, uint64_t{2});
      continue;
    }
    CHECK(record.entry == Entry::kTick);
    CHECK_EQ(record.tick, tick);
    CHECK_EQ(record.sequence, tick + 1);
    CHECK_EQ(record.directive, i < 2 ? 0u : 9u);
    CHECK_EQ(record.action.move[0], i < 2 ? 0.5f : 0.0f);
    CHECK(record.woke >= 0 && record.woke <= record.seen && record.decided <= record.acted);
    CHECK_NEAR(record.dt, 1.0f / 60.0f, 1e-6);
    ++tick;
  }
}

TEST(tick_allocates_nothing) {
  const TemporaryDirectory directory;
  std::unique_ptr<Journal> ledger;
  CHECK(Journal::Create(directory / "ledger", "ledger", sizeof(LedgerTick), 4096, &ledger).ok());
  FakeClock clock;
  FakeGame game(clock);
  for (int i = 0; i < 600; ++i) game.captures.push_back(clock.now + i * kPeriod);
  game.actions.reserve(1000);
  game.answers.reserve(1000);
  const nn::Program program = StatePilot();
  CHECK(CompiledDecider::CheckProgram(program).ok());
  CompiledDecider decider(program, nn::WeightsOf(program, 1), 5, HashNumber(1), clock);
  Seat seat(clock, game, decider, game, ledger.get(), {});
  Pacer pacer(clock, {kPeriod, 0});
  pacer.Start(clock.now + kMillisecond);
  seat.Tick(pacer.Wait());
  const size_t before = check::Allocations();
  for (int n = 0; n < 500; ++n) seat.Tick(pacer.Wait());
  CHECK_EQ(check::Allocations() - before, size_t{0});
  CHECK_EQ(seat.counts().decided.value(), uint64_t{501});
}

TEST(tick_mutes_the_policys_presses_and_not_its_moves) {
  Table table;
  table.Capture(0, 3);
  table.decider.action.choice = 3.0f;
  table.seat.Mute(true);
  for (uint64_t n = 0; n < 2; ++n) {
    const TickTimes times = table.Tick(n);
    CHECK(times.gate & kGateMuted);
    CHECK(!(times.gate & kGateReleased));
    CHECK_EQ(table.game.actions.back().choice, 0.0f);
    CHECK_EQ(table.game.actions.back().move[0], 0.5f);
  }
  table.seat.Mute(false);
  CHECK(!(table.Tick(2).gate & kGateMuted));
  CHECK_EQ(table.game.actions.back().choice, 3.0f);
  table.decider.action.choice = 0.0f;
  table.seat.Mute(true);
  CHECK(!(table.Tick(3).gate & kGateMuted));  // nothing was left out
}

TEST(tick_shows_its_moments_to_a_watch) {
  Table table;
  Watch watch(2 * kPeriod - kMillisecond, 0);
  table.seat.SetWatch(&watch);
  table.Capture(0, 5);
  std::vector<uint64_t> seen;
  for (uint64_t n = 0; n < 8; ++n) {  // the last two find nothing new
    table.Tick(n);
    if (const Glimpse* glimpse = watch.Look()) seen.push_back(glimpse->sequence);
  }
  CHECK(seen == std::vector<uint64_t>({1, 3, 5}));
  CHECK_EQ(watch.shown(), uint64_t{3});
}

}  // namespace metabonk::play
