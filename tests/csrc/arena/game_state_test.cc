// What the arena says about itself in the shared records.
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "arena/scene.h"
#include "check.h"

namespace metabonk::arena {
namespace {

std::unique_ptr<GameState> StateOf(const Run& run) {
  auto state = std::make_unique<GameState>();
  FillGameState(run.world, run.level, state.get());
  return state;
}

TEST(arena_game_state_tells_the_player_and_the_crowd) {
  Run run(Flat());
  Disarm(run);
  const int i = Put(run, kEnemyBrute, 5.0f, -3.0f);
  Put(run, kEnemyArcher, 9.0f, 0.0f);
  for (int t = 0; t < 300 && run.world.bolts.count == 0; ++t) run.Step(Idle());
  const auto state = StateOf(run);
  CHECK_EQ(state->entity_count, 3);
  CHECK(state->entities[0].flags & kEntityProjectile);
  const Entity& brute = state->entities[1];
  CHECK_EQ(brute.id, run.world.enemies.id[i]);
  CHECK_EQ(brute.kind, kEnemyBrute);
  CHECK_EQ(brute.position[0], run.world.enemies.x[i]);
  CHECK_EQ(brute.max_health, kEnemyDefs[kEnemyBrute].health);
  CHECK_EQ(state->position[0], run.world.player.x);
  CHECK_EQ(state->health, run.world.player.health);
  CHECK_EQ(state->xp_next, XpNeeded(1));
  CHECK_NEAR(state->time, GameTime(run.world), 1e-9);
  CHECK_EQ(state->playing, 1);
}

TEST(arena_game_state_ids_are_never_reused) {
  LevelSpec spec = DefaultSpec();
  spec.spawn_rate = 5.0f;
  spec.enemy_damage = 0.0f;
  spec.menus = 0;
  Run run(spec, 2);
  std::set<uint32_t> gone;
  std::set<uint32_t> before;
  for (int t = 0; t < 60 * kTickHz; ++t) {
    run.Step(Script(2, t));
    const auto state = StateOf(run);
    std::set<uint32_t> now;
    for (int i = 0; i < state->entity_count; ++i) now.insert(state->entities[i].id);
    CHECK_EQ(now.size(), static_cast<size_t>(state->entity_count));
    for (const uint32_t id : before) {
      if (now.count(id) == 0) gone.insert(id);
    }
    for (const uint32_t id : now) CHECK(gone.count(id) == 0);
    before = now;
  }
  CHECK(gone.size() > 50);
}

TEST(arena_game_state_a_projectile_keeps_its_id_while_it_flies) {
  Run run(Flat(), 4);
  Disarm(run);
  for (int i = 0; i < 12; ++i) Put(run, kEnemyArcher, 9.0f, 1.5f * static_cast<float>(i) - 9.0f);
  struct Seen {
    int place;
    float x, y;
  };
  std::map<uint32_t, Seen> before;
  int followed = 0;
  int moved_up = 0;  // into the place of one that is gone
  for (int t = 0; t < 20 * kTickHz; ++t) {
    run.world.player.health = 100.0f;
    run.Step(Script(4, t));
    const auto state = StateOf(run);
    std::map<uint32_t, Seen> now;
    for (int i = 0; i < state->entity_count; ++i) {
      const Entity& bolt = state->entities[i];
      if (!(bolt.flags & kEntityProjectile)) continue;
      CHECK(now.emplace(bolt.id, Seen{i, bolt.position[0], bolt.position[1]}).second);
      const auto found = before.find(bolt.id);
      if (found == before.end()) continue;
      ++followed;
      moved_up += found->second.place != i;
      // The same thing, one tick further on its way.
      CHECK_NEAR(bolt.position[0], found->second.x + bolt.velocity[0] * kTickSeconds, 1e-3);
      CHECK_NEAR(bolt.position[1], found->second.y + bolt.velocity[1] * kTickSeconds, 1e-3);
    }
    before = std::move(now);
  }
  CHECK(followed > 500);
  CHECK(moved_up > 4);
}

TEST(arena_game_state_a_full_arena_hides_the_farthest_only) {
  Run run(Flat());
  Disarm(run);
  for (int i = 0; i < kMaxEnemies; ++i) {
    Put(run, kEnemyGoblin, 3.0f + 0.1f * static_cast<float>(i), 0.0f);
  }
  run.world.bolts.count = 20;
  const auto state = StateOf(run);
  CHECK_EQ(state->entity_count, kMaxEntities);
  float farthest = 0.0f;
  for (int i = 20; i < state->entity_count; ++i) {
    CHECK(!(state->entities[i].flags & kEntityProjectile));
    farthest = std::max(farthest, state->entities[i].position[0] - run.world.player.x);
  }
  CHECK_NEAR(farthest, 3.0 + 0.1 * (kMaxEnemies - 21), 1e-3);
}

TEST(arena_game_state_shorter_lists_leave_no_rests) {
  Run run(Flat());
  Disarm(run);
  for (int i = 0; i < 30; ++i) Put(run, kEnemyGoblin, 5.0f, static_cast<float>(i));
  GameState& state = *StateOf(run).release();
  const std::unique_ptr<GameState> owner(&state);
  run.world.enemies.count = 2;
  FillGameState(run.world, run.level, &state);
  const auto fresh = StateOf(run);
  CHECK(std::memcmp(&state, fresh.get(), sizeof(GameState)) == 0);
}

}  // namespace
}  // namespace metabonk::arena
