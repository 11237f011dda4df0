// The relation of two clocks, against clocks whose offset is known; and ids for enemies.
#include "link/clock.h"

#include <cstdlib>
#include <limits>
#include <memory>

#include "check.h"
#include "link/matcher.h"
#include "support/random.h"

namespace metabonk::link {
namespace {

TEST(link_clock_is_within_its_uncertainty) {
  ClockRelation clock;
  CHECK(!clock.known());
  CHECK_EQ(clock.Uncertainty(0), std::numeric_limits<int64_t>::max());
  constexpr int64_t kOffset = 987'654'321'000;  // theirs minus ours
  constexpr double kDrift = 50e-6;
  int64_t now = 1'000'000'000;
  const auto theirs = [&](int64_t ours) {
    return ours + kOffset + static_cast<int64_t>(static_cast<double>(ours) * kDrift);
  };
  for (uint64_t i = 0; i < 500; ++i) {
    // Delays there and back differ by anything up to 5 ms.
    const auto delay = [i](uint64_t n) {
      return static_cast<int64_t>(HashDraw(7, 2 * i + n) % 5'000'000);
    };
    const int64_t there = delay(0), back = delay(1), work = 20'000;
    const int64_t t1 = theirs(now + there), t2 = theirs(now + there + work);
    CHECK(clock.Add(now, t1, t2, now + there + work + back));
    now += there + work + back;
    const int64_t wrong = clock.Offset(now) - (theirs(now) - now);
    CHECK(std::abs(wrong) <= clock.Uncertainty(now));
    now += 250'000'000;
    const int64_t later = clock.Offset(now) - (theirs(now) - now);
    CHECK(std::abs(later) <= clock.Uncertainty(now));
  }
  CHECK(clock.Uncertainty(now) < 1'500'000);  // the best of sixteen, not the mean
  CHECK(clock.Uncertainty(now + 3'600'000'000'000) > 300'000'000);  // an hour later it knows less
}

TEST(link_clock_refuses_what_no_clock_says) {
  ClockRelation clock;
  CHECK(!clock.Add(10, 5, 6, 9));     // back before it left
  CHECK(!clock.Add(10, 9, 8, 20));    // left there before it arrived
  CHECK(!clock.Add(10, 5, 500, 20));  // lay there longer than it was away
  CHECK(!clock.Add(-1, 5, 6, 20));
  CHECK(!clock.Add(0, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::max(), 1));
  CHECK(!clock.known());
  CHECK(clock.Add(10, 1005, 1006, 21));
  CHECK_EQ(clock.round_trip(), int64_t{10});
  CHECK_NEAR(clock.Offset(21), 990, 2);
  clock.Reset();
  CHECK(!clock.known());
}

void Place(GameState* state, int i, float x, float y) {
  state->entities[i].position[0] = x;
  state->entities[i].position[1] = y;
}

TEST(link_enemies_keep_their_ids) {
  const auto state = std::make_unique<GameState>();
  Matcher matcher;
  state->entity_count = 3;
  for (int i = 0; i < 3; ++i) Place(state.get(), i, 10.0f * static_cast<float>(i), 0.0f);
  matcher.Match(0.0f, state.get());
  CHECK(state->entities[0].id == 1 && state->entities[1].id == 2 && state->entities[2].id == 3);
  // The first dies, the others move, a new one comes; the order is another.
  Place(state.get(), 0, 20.5f, 0.5f);
  Place(state.get(), 1, 9.5f, 0.5f);
  Place(state.get(), 2, 50.0f, 50.0f);
  matcher.Match(1.0f / 60.0f, state.get());
  CHECK(state->entities[0].id == 3 && state->entities[1].id == 2 && state->entities[2].id == 4);
  // Two near one place: the nearer has the id, the other is new.
  state->entity_count = 2;
  Place(state.get(), 0, 9.0f, 0.5f);
  Place(state.get(), 1, 9.4f, 0.5f);
  matcher.Match(1.0f / 60.0f, state.get());
  CHECK(state->entities[1].id == 2 && state->entities[0].id == 5);
  matcher.Forget();
  matcher.Match(0.0f, state.get());
  CHECK(state->entities[0].id == 6 && state->entities[1].id == 7);  // never used again
}

}  // namespace
}  // namespace metabonk::link
