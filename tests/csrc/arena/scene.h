// Scenes for the tests of the rules: a flat empty arena into which a test puts what it needs, and
// an action script that keeps a run busy.
#pragma once

#include <algorithm>
#include <cmath>

#include "arena_menus/run.h"
#include "games/arena/content.h"
#include "games/arena/enemies.h"
#include "games/arena/steering.h"
#include "support/random.h"

namespace metabonk::arena {

inline LevelSpec Flat() {
  LevelSpec spec = Quiet();
  spec.max_enemies = kMaxEnemies;
  spec.relief = 0.0f;
  spec.obstacles = 0.0f;
  spec.chests = 0;
  spec.shrines = 0;
  return spec;
}

// An enemy of the plain kind, this far from the player, that decides at once.
inline int Put(Run& run, int kind, float dx, float dy) {
  World& world = run.world;
  const int i = SpawnEnemy(world, run.level, kind, world.player.x + dx, world.player.y + dy);
  world.enemies.flags[i] = static_cast<uint8_t>(world.enemies.flags[i] & ~kEntityElite);
  world.enemies.max_health[i] = world.enemies.health[i] = kEnemyDefs[kind].health;
  if (world.enemies.timer[i] < kNever) world.enemies.timer[i] = 0.0f;
  return i;
}

inline void Disarm(Run& run) { std::fill_n(run.world.player.weapons, kLoadoutSlots, Slot{}); }

inline float AwayFromPlayer(const World& world, int enemy) {
  return std::hypot(world.enemies.x[enemy] - world.player.x,
                    world.enemies.y[enemy] - world.player.y);
}

// Deterministic busy play: wanders, jumps, slides, picks, uses. A function of seed and time alone.
inline Action Script(uint64_t seed, int time) {
  const auto draw = [&](uint64_t what, int hold) {
    return UnitFloat(HashDraw(seed * 16 + what, static_cast<uint64_t>(time / hold)));
  };
  Action action = Idle();
  action.move[0] = 2.0f * draw(0, 30) - 1.0f;
  action.move[1] = 2.0f * draw(1, 30) - 1.0f;
  action.look[0] = 2.0f * draw(2, 20) - 1.0f;
  action.jump = draw(3, 10) < 0.2f;
  action.slide = draw(4, 10) < 0.1f;
  action.interact = draw(5, 4) < 0.5f;
  action.fire = draw(6, 60) < 0.2f;
  action.ability = draw(7, 7) < 0.1f;
  action.choice = time % 2 == 0 ? std::floor(4.0f * draw(8, 1)) : 0.0f;
  return action;
}

}  // namespace metabonk::arena
