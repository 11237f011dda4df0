// The pacer: on time, bounded in its spin, and after a stall one late tick and no burst.
#include "play/pacer.h"

#include "check.h"
#include "play/loop_fakes.h"

namespace metabonk::play {

namespace {

constexpr int64_t kPeriod = 16'666'667;

}  // namespace

TEST(pacer_wakes_at_absolute_times) {
  FakeClock clock;
  Pacer pacer(clock, {kPeriod, 150'000});
  const int64_t first = clock.now + kPeriod;
  pacer.Start(first);
  for (uint64_t tick = 0; tick < 1000; ++tick) {
    const Beat beat = pacer.Wait();
    CHECK_EQ(beat.tick, tick);
    CHECK_EQ(beat.planned, first + static_cast<int64_t>(tick) * kPeriod);
    CHECK_EQ(beat.next, beat.planned + kPeriod);
    CHECK_EQ(beat.skipped, uint64_t{0});
    CHECK(beat.late() >= 0 && beat.late() <= clock.look);
    clock.now += static_cast<int64_t>(tick % 7) * kMillisecond;  // the tick's own work
  }
}

TEST(pacer_spins_no_longer_than_it_was_told) {
  FakeClock clock;
  Pacer pacer(clock, {kPeriod, 150'000});
  pacer.Start(clock.now + kPeriod);
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = clock.spins;
    pacer.Wait();
    CHECK(clock.spins - before <= static_cast<uint64_t>(150'000 / clock.look));
    CHECK(clock.spins > before);
  }
  FakeClock other;
  Pacer sleeper(other, {kPeriod, 0});
  sleeper.Start(other.now + kPeriod);
  for (int i = 0; i < 100; ++i) sleeper.Wait();
  CHECK_EQ(other.spins, uint64_t{0});
  CHECK_EQ(other.sleeps, uint64_t{100});
}

TEST(pacer_skips_what_a_stall_has_cost) {
  FakeClock clock;
  Pacer pacer(clock, {kPeriod, 0});
  const int64_t first = clock.now + kPeriod;
  pacer.Start(first);
  CHECK_EQ(pacer.Wait().tick, uint64_t{0});
  clock.now = first + 4 * kPeriod + kPeriod / 2;  // ticks 1, 2 and 3 are lost
  const Beat late = pacer.Wait();
  CHECK_EQ(late.skipped, uint64_t{3});
  CHECK_EQ(late.tick, uint64_t{4});
  CHECK_EQ(late.planned, first + 4 * kPeriod);
  CHECK(late.late() >= kPeriod / 2);
  const Beat next = pacer.Wait();
  CHECK_EQ(next.tick, uint64_t{5});
  CHECK_EQ(next.skipped, uint64_t{0});
  CHECK(next.late() <= clock.look);
}

TEST(pacer_is_late_once_where_a_sleep_ends_late) {
  FakeClock clock;
  clock.stalls = {0, 3 * kMillisecond, 0};
  Pacer pacer(clock, {kPeriod, 0});
  pacer.Start(clock.now + kPeriod);
  CHECK(pacer.Wait().late() <= clock.look);
  CHECK(pacer.Wait().late() >= 3 * kMillisecond);
  CHECK(pacer.Wait().late() <= clock.look);
}

TEST(pacer_shifts_its_plan_within_bounds) {
  FakeClock clock;
  Pacer pacer(clock, {kPeriod, 0});
  const int64_t first = clock.now + kPeriod;
  pacer.Start(first);
  pacer.Wait();
  pacer.Shift(1000);
  CHECK_EQ(pacer.planned(), first + kPeriod + 1000);
  pacer.Shift(-100 * kPeriod);
  CHECK_EQ(pacer.planned(), first + kPeriod + 1000 - kPeriod / 4);
}

TEST(pacer_settings_are_checked) {
  CHECK(CheckPacer({kPeriod, 150'000}).ok());
  CHECK(!CheckPacer({10, 0}).ok());
  CHECK(!CheckPacer({kPeriod, kPeriod}).ok());
  CHECK(!CheckPacer({kPeriod, -1}).ok());
}

}  // namespace metabonk::play
