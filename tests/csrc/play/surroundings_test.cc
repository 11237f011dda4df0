#include "play/surroundings.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "check.h"
#include "support/random.h"

namespace metabonk::play {

namespace {

GameState Standing() {
  GameState state = {};
  state.fields = kHasEverything;
  state.health = state.max_health = 100.0f;
  return state;
}

}  // namespace

TEST(surroundings_of_any_bytes_are_numbers_or_refused) {
  int found = 0;
  for (uint64_t round = 0; round < 400; ++round) {
    GameState state = {};
    auto* bytes = reinterpret_cast<uint8_t*>(&state);
    for (size_t i = 0; i < sizeof state; ++i) {
      bytes[i] = static_cast<uint8_t>(HashDraw(round, i));
    }
    Surroundings around;
    if (!LookAround(state, 5.0, 60.0, &around)) continue;
    ++found;
    CHECK(around.health >= 0.0 && around.health <= 1.0);
    CHECK(std::isfinite(around.danger) && std::isfinite(around.pull));
    CHECK(around.gap >= 0 && around.gap < kCompassBins);
    CHECK(around.enemies <= kMaxEntities);
  }
  CHECK(found > 300);
}

TEST(surroundings_need_a_position_and_health) {
  GameState state = Standing();
  Surroundings around;
  CHECK(LookAround(state, 5.0, 60.0, &around));
  CHECK_EQ(around.exits, kCompassBins);
  for (float* number : {&state.position[0], &state.position[1], &state.health}) {
    state = Standing();
    *number = std::numeric_limits<float>::quiet_NaN();
    CHECK(!LookAround(state, 5.0, 60.0, &around));
  }
}

TEST(surroundings_leave_a_way_that_is_away_from_who_comes) {
  GameState state = Standing();
  state.entity_count = 1;
  state.entities[0].position[1] = 5.0f;  // north, half as bad as at arm's length
  Surroundings around;
  CHECK(LookAround(state, 5.0, 60.0, &around));
  CHECK(std::abs(around.danger - 0.5) < 1e-12);
  CHECK(around.opponents && !around.boss);
  CHECK_EQ(around.gap, 12);
  CHECK_EQ(around.exits, kCompassBins - 1);
}

}  // namespace metabonk::play
