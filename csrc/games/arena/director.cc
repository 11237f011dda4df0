// Who comes when: waves whose budget grows, kinds saved up for one after the other, the stage boss
// on a timer. Knows the content's weights and costs; how enemies behave is elsewhere.
#include "games/arena/content.h"
#include "games/arena/enemies.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"

namespace metabonk::arena {

namespace {

constexpr float kSavings = 30.0f;  // budget is not saved beyond this while the arena is full

float WeightOf(const World& world, const Level& level, int kind) {
  const EnemyDef& def = kEnemyDefs[kind];
  if (world.tier < def.from_tier || world.director.wave < def.from_wave) return 0.0f;
  return def.weight * level.spec.enemy_mix[kind];
}

// A kind by weight, or -1 if none may come.
int PickKind(World& world, const Level& level) {
  float total = 0.0f;
  for (int kind = 0; kind < kEnemyCount; ++kind) total += WeightOf(world, level, kind);
  if (total <= 0.0f) return -1;
  float left = DrawUnit(world.world_random) * total;
  int last = -1;
  for (int kind = 0; kind < kEnemyCount; ++kind) {
    const float weight = WeightOf(world, level, kind);
    if (weight <= 0.0f) continue;
    last = kind;
    left -= weight;
    if (left < 0.0f) break;
  }
  return last;
}

bool Room(const World& world, const Level& level) {
  return world.enemies.count < static_cast<int>(level.spec.max_enemies);
}

// A group of one kind around one place; returns how many came.
int SpawnGroup(World& world, const Level& level, int kind, int size, float near, float far) {
  const EnemyDef& def = kEnemyDefs[kind];
  float x;
  float y;
  if (!FindPlace(world, level, world.player.x, world.player.y, near, far, def.flying, &x, &y)) {
    return 0;
  }
  int came = 0;
  for (; came < size && Room(world, level); ++came) {
    float at_x = x;
    float at_y = y;
    if (came > 0) FindPlace(world, level, x, y, 0.6f, 2.5f, def.flying, &at_x, &at_y);
    SpawnEnemy(world, level, kind, at_x, at_y);
  }
  return came;
}

void AdvanceWave(World& world) {
  Director& director = world.director;
  director.wave_time += kTickSeconds;
  if (director.wave_time < kWave.seconds) return;
  director.wave_time -= kWave.seconds;
  ++director.wave;
  director.budget += kWave.rush * static_cast<float>(director.wave);
}

void SpendBudget(World& world, const Level& level) {
  Director& director = world.director;
  const float wave = static_cast<float>(director.wave);
  const float rate = (kWave.budget + kWave.budget_growth * wave) * level.spec.spawn_rate *
                     kTierDefs[world.tier - 1].spawn;
  director.budget = Min(director.budget + rate * kTickSeconds, kSavings);
  if (!Room(world, level)) return;
  if (director.planned == 0) director.planned = static_cast<uint8_t>(PickKind(world, level) + 1);
  if (director.planned == 0) return;
  const EnemyDef& def = kEnemyDefs[director.planned - 1];
  const float cost = def.cost * static_cast<float>(def.group);
  if (director.budget < cost) return;
  if (SpawnGroup(world, level, director.planned - 1, def.group, kWave.near, kWave.far) == 0) return;
  director.budget -= cost;
  director.planned = 0;
}

void CallBoss(World& world, const Level& level) {
  Director& director = world.director;
  const int kind = kTierDefs[world.tier - 1].enemy;
  if (director.boss_spawned || level.spec.boss_at < 0.0f || level.spec.enemy_mix[kind] <= 0.0f) {
    return;
  }
  director.boss_timer -= kTickSeconds;
  if (director.boss_timer > 0.0f || world.enemies.count >= kMaxEnemies) return;
  director.boss_spawned = SpawnGroup(world, level, kind, 1, kWave.near * 0.7f, kWave.near) > 0;
}

// Keeps as many alive as the level started with: what benchmarks measure must not drift.
void Sustain(World& world, const Level& level) {
  constexpr int kTries = 256;  // places may be hard to find
  for (int i = 0; i < kTries; ++i) {
    if (world.enemies.count >= static_cast<int>(level.spec.start_enemies)) return;
    const int kind = PickKind(world, level);
    if (kind < 0) return;
    SpawnGroup(world, level, kind, 1, 4.0f, kWave.far);
  }
}

}  // namespace

void DirectSpawns(World& world, const Level& level) {
  if (level.spec.sustain) {
    Sustain(world, level);
    return;
  }
  AdvanceWave(world);
  SpendBudget(world, level);
  CallBoss(world, level);
}

void StartDirector(World& world, const Level& level) {
  world.director.boss_timer = level.spec.boss_at;
  for (uint32_t i = 0; i < level.spec.start_enemies && Room(world, level); ++i) {
    const int kind = PickKind(world, level);
    if (kind < 0) return;
    SpawnGroup(world, level, kind, 1, kWave.near * 0.5f, kWave.far);
  }
}

}  // namespace metabonk::arena
