// The enemies as a crowd: how they move, touch, are hurt, die and leave things behind. What each
// kind decides is in behaviors.cc and bosses.cc, the hot loops are in kernels.inl.
#include "games/arena/enemies.h"

#include "games/arena/content.h"
#include "games/arena/kernels.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"
#include "games/arena/scratch.h"
#include "games/arena/steering.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

// Counting sort by strip; within a strip enemies keep the order of their indices.
void SortIntoStrips(const Enemies& enemies, const Scratch& scratch, StripIndex* strips) {
  const int count = enemies.count;
  int32_t next[kStrips + 1] = {};
  for (int i = 0; i < count; ++i) ++next[scratch.strip[i] + 1];
  int32_t sum = 0;
  for (int i = 0; i <= kStrips; ++i) {
    sum += next[i];
    next[i] = sum;
    strips->start[i] = sum;
  }
  for (int i = 0; i < count; ++i) {
    const int place = next[scratch.strip[i]]++;
    strips->x[place] = enemies.x[i];
    strips->y[place] = enemies.y[i];
    strips->radius[place] = scratch.radius[i];
    strips->enemy[place] = i;
  }
  strips->count = count;
}

// Enemies far behind are put down again near the player, so that the crowd keeps up.
void Leash(World& world, const Level& level, int index) {
  Enemies& enemies = world.enemies;
  float x;
  float y;
  const bool flying = kEnemyDefs[enemies.kind[index]].flying;
  if (!FindPlace(world, level, world.player.x, world.player.y, kWave.near, kWave.far, flying, &x,
                 &y)) {
    return;
  }
  enemies.x[index] = x;
  enemies.y[index] = y;
  enemies.z[index] = GroundHeight(*level.terrain, x, y);
  enemies.vx[index] = enemies.vy[index] = 0.0f;
}

void LeashFar(World& world, const Level& level) {
  const Enemies& enemies = world.enemies;
  constexpr float kFar = kWave.leash * kWave.leash;
  constexpr int kTurns = 16;  // each is looked at every so many ticks
  for (int i = static_cast<int>(world.tick % kTurns); i < enemies.count; i += kTurns) {
    const float dx = enemies.x[i] - world.player.x;
    const float dy = enemies.y[i] - world.player.y;
    if (dx * dx + dy * dy > kFar && !(enemies.flags[i] & kEntityBoss)) Leash(world, level, i);
  }
}

void ThinkDue(World& world, const Level& level) {
  const int count = world.enemies.count;  // those called by others act from the next tick on
  for (int i = 0; i < count; ++i) {
    if (world.enemies.timer[i] > 0.0f) continue;
    if (world.enemies.flags[i] & kEntityBoss) {
      ThinkBoss(world, level, i);
    } else {
      Think(world, level, i);
    }
  }
}

bool Walkable(const Terrain& terrain, float x, float y) {
  const int cell_x = static_cast<int>(Clamp(x, 0.0f, kGridCells - 1.0f));
  const int cell_y = static_cast<int>(Clamp(y, 0.0f, kGridCells - 1.0f));
  return terrain.walkable[cell_y * kGridCells + cell_x] != 0;
}

// To the next places, along obstacles where they are in the way.
void Advance(Enemies& enemies, const Terrain& terrain, const Scratch& scratch, int count) {
  for (int i = 0; i < count; ++i) {
    const float x = scratch.next_x[i];
    const float y = scratch.next_y[i];
    if (terrain.walkable[scratch.next_cell[i]]) {
      enemies.x[i] = x;
      enemies.y[i] = y;
    } else if (kEnemyDefs[enemies.kind[i]].flying) {
      enemies.x[i] = Clamp(x, 1.0f, terrain.size - 1.0f);
      enemies.y[i] = Clamp(y, 1.0f, terrain.size - 1.0f);
    } else if (Walkable(terrain, x, enemies.y[i])) {
      enemies.x[i] = x;
      enemies.vy[i] = 0.0f;
    } else if (Walkable(terrain, enemies.x[i], y)) {
      enemies.y[i] = y;
      enemies.vx[i] = 0.0f;
    } else {
      enemies.vx[i] = enemies.vy[i] = 0.0f;
    }
  }
}

void Touch(World& world, const Level& level, const Scratch& scratch, int count) {
  Player& player = world.player;
  if (player.invulnerable > 0.0f) return;
  const Enemies& enemies = world.enemies;
  for (int i = 0; i < count; ++i) {
    if (scratch.distance[i] >= scratch.radius[i] + kBody.radius) continue;
    const EnemyDef& def = kEnemyDefs[enemies.kind[i]];
    const float above = player.z - enemies.z[i];
    if (above > def.height || above < -kBody.height || enemies.health[i] <= 0.0f) continue;
    const bool dash = (def.behavior == Behavior::kCharger && enemies.phase[i] == kDash) ||
                      (def.behavior == Behavior::kPack && enemies.phase[i] == kLeap) ||
                      (def.behavior == Behavior::kGolem && enemies.phase[i] == kCharge);
    const float damage = DamageOf(world, level, i, dash ? def.power : def.damage);
    const float thorns = StatOf(player, Stat::kThorns);
    if (thorns > 0.0f) HurtEnemy(world, level, i, thorns, 0.0f, 0.0f);
    HurtPlayer(world, level, damage, enemies.x[i], enemies.y[i]);
    if (player.invulnerable > 0.0f) return;
  }
}

void Drop(World& world, const Level& level, int index) {
  const Enemies& enemies = world.enemies;
  const EnemyDef& def = kEnemyDefs[enemies.kind[index]];
  const float x = enemies.x[index];
  const float y = enemies.y[index];
  const float z = GroundHeight(*level.terrain, x, y);
  const bool elite = enemies.flags[index] & kEntityElite;
  const float reward = kTierDefs[world.tier - 1].reward * (elite ? kWave.elite_reward : 1.0f);
  DropPickup(world, PickupKind::kXp, def.xp * reward, x, y, z);
  // A gold drop is a whole coin with the chance that its expectation is right.
  const float gold = def.gold * reward;
  if (gold >= 1.0f) {
    DropPickup(world, PickupKind::kGold, gold, x + 0.4f, y, z);
  } else if (DrawChance(world.world_random, gold)) {
    DropPickup(world, PickupKind::kGold, 1.0f, x + 0.4f, y, z);
  }
  if (DrawChance(world.world_random, kDrop.heart)) {
    DropPickup(world, PickupKind::kHeal, kDrop.heart_value, x - 0.4f, y, z);
  }
  if (DrawChance(world.world_random, kDrop.magnet)) {
    DropPickup(world, PickupKind::kMagnet, 1.0f, x, y + 0.4f, z);
  }
  if (enemies.flags[index] & kEntityBoss) {
    for (int i = 0; i < static_cast<int>(kDrop.boss_hearts); ++i) {
      DropPickup(world, PickupKind::kHeal, kDrop.heart_value, x + static_cast<float>(i) - 1.0f,
                 y - 1.0f, z);
    }
  }
}

void Split(World& world, const Level& level, int index) {
  Enemies& enemies = world.enemies;
  if (kEnemyDefs[enemies.kind[index]].behavior != Behavior::kSplitter) return;
  if (enemies.phase[index] >= kSmall) return;
  for (const float side : {-0.5f, 0.5f}) {
    const float x = enemies.x[index] + side;
    const int small = SpawnEnemy(world, level, enemies.kind[index], x, enemies.y[index]);
    if (small < 0) return;
    enemies.phase[small] = kSmall + kRest;
    enemies.flags[small] = 0;
    enemies.max_health[small] = enemies.max_health[index] * 0.4f;
    enemies.health[small] = enemies.max_health[small];
    enemies.vx[small] = side * 8.0f;
    enemies.timer[small] = 0.4f;
  }
}

void CountKill(World& world, const Level& level, int index) {
  const Enemies& enemies = world.enemies;
  const EnemyDef& def = kEnemyDefs[enemies.kind[index]];
  const bool elite = enemies.flags[index] & kEntityElite;
  ++world.totals.kills;
  world.totals.score +=
      def.score * kTierDefs[world.tier - 1].score * (elite ? kWave.elite_reward : 1.0f);
  if (enemies.flags[index] & kEntityBoss) {
    ++world.totals.boss_kills;
    world.director.boss_dead = 1;
    OpenPortal(world, level, enemies.x[index], enemies.y[index]);
  }
}

void CopyEnemy(Enemies& enemies, int from, int to) {
  enemies.x[to] = enemies.x[from];
  enemies.y[to] = enemies.y[from];
  enemies.z[to] = enemies.z[from];
  enemies.vx[to] = enemies.vx[from];
  enemies.vy[to] = enemies.vy[from];
  enemies.vz[to] = enemies.vz[from];
  enemies.health[to] = enemies.health[from];
  enemies.max_health[to] = enemies.max_health[from];
  enemies.timer[to] = enemies.timer[from];
  enemies.slow[to] = enemies.slow[from];
  enemies.push_x[to] = enemies.push_x[from];
  enemies.push_y[to] = enemies.push_y[from];
  enemies.id[to] = enemies.id[from];
  enemies.kind[to] = enemies.kind[from];
  enemies.phase[to] = enemies.phase[from];
  enemies.flags[to] = enemies.flags[from];
  enemies.flash[to] = enemies.flash[from];
}

}  // namespace

void MoveEnemies(World& world, const Level& level, Scratch& scratch) {
  const Kernels& kernels = ActiveKernels();
  Enemies& enemies = world.enemies;
  kernels.count_down(enemies);
  ThinkDue(world, level);
  LeashFar(world, level);
  kernels.measure(enemies, world.player, scratch);
  kernels.steer(enemies, SpeedScale(world, level), scratch);
  SortIntoStrips(enemies, scratch, &scratch.strips);
  kernels.separate(enemies, world.tick, scratch);
  kernels.accelerate(enemies, scratch);
  Advance(enemies, *level.terrain, scratch, enemies.count);
  kernels.settle(enemies, *level.terrain, scratch);
  Touch(world, level, scratch, enemies.count);
}

float SpeedScale(const World& world, const Level& level) {
  return level.spec.enemy_speed * kTierDefs[world.tier - 1].speed;
}

float DamageOf(const World& world, const Level& level, int index, float base) {
  const float wave = static_cast<float>(world.director.wave);
  const float elite = (world.enemies.flags[index] & kEntityElite) ? kWave.elite_damage : 1.0f;
  return base * level.spec.enemy_damage * kTierDefs[world.tier - 1].damage * elite *
         (1.0f + kWave.damage_growth * wave);
}

void StrikeDisc(World& world, const Level& level, int enemy, float radius, float damage) {
  const Player& player = world.player;
  const Enemies& enemies = world.enemies;
  const float away = Length(player.x - enemies.x[enemy], player.y - enemies.y[enemy]);
  if (away > radius + kBody.radius) return;
  const float above = player.z - GroundHeight(*level.terrain, player.x, player.y);
  if (above > 0.7f) return;  // a jump clears what runs along the ground
  HurtPlayer(world, level, DamageOf(world, level, enemy, damage), enemies.x[enemy],
             enemies.y[enemy]);
}

bool FindPlace(World& world, const Level& level, float x, float y, float near, float far,
               bool flying, float* out_x, float* out_y) {
  constexpr int kTries = 8;
  const float edge = level.terrain->size - 1.5f;
  for (int i = 0; i < kTries; ++i) {
    const float angle = DrawBetween(world.world_random, -kPi, kPi);
    const float away = DrawBetween(world.world_random, near, far);
    float sine;
    float cosine;
    SinCos(angle, &sine, &cosine);
    const float at_x = x + cosine * away;
    const float at_y = y + sine * away;
    if (at_x < 1.5f || at_y < 1.5f || at_x > edge || at_y > edge) continue;
    if (!flying && !Walkable(*level.terrain, at_x, at_y)) continue;
    *out_x = at_x;
    *out_y = at_y;
    return true;
  }
  return false;
}

int SpawnEnemy(World& world, const Level& level, int kind, float x, float y) {
  Enemies& enemies = world.enemies;
  if (enemies.count >= kMaxEnemies) return -1;
  const EnemyDef& def = kEnemyDefs[kind];
  const TierDef& tier = kTierDefs[world.tier - 1];
  const float wave = static_cast<float>(world.director.wave);
  const int i = enemies.count++;
  const bool boss = def.weight == 0.0f;
  const bool elite =
      !boss && DrawChance(world.world_random, tier.elite + kWave.elite_growth * wave);
  enemies.x[i] = x;
  enemies.y[i] = y;
  enemies.z[i] = GroundHeight(*level.terrain, x, y) + def.hover;
  enemies.vx[i] = enemies.vy[i] = enemies.vz[i] = 0.0f;
  enemies.max_health[i] = def.health * level.spec.enemy_health * tier.health *
                          (1.0f + kWave.health_growth * wave) * (elite ? kWave.elite_health : 1.0f);
  enemies.health[i] = enemies.max_health[i];
  // Kinds without acts never think; the others start at different moments.
  enemies.timer[i] =
      def.behavior == Behavior::kChase ? kNever : def.period * DrawUnit(world.world_random);
  enemies.slow[i] = 0.0f;
  enemies.push_x[i] = enemies.push_y[i] = 0.0f;
  enemies.id[i] = ++enemies.next_id;
  enemies.kind[i] = static_cast<uint8_t>(kind);
  enemies.phase[i] = kRoam;
  enemies.flags[i] = static_cast<uint8_t>((elite ? kEntityElite : 0) | (boss ? kEntityBoss : 0));
  enemies.flash[i] = 0;
  return i;
}

void HurtEnemy(World& world, const Level&, int index, float damage, float knock_x, float knock_y) {
  Enemies& enemies = world.enemies;
  const EnemyDef& def = kEnemyDefs[enemies.kind[index]];
  if (enemies.health[index] <= 0.0f) return;
  if (def.behavior == Behavior::kBlinker && enemies.phase[index] == kFade) return;
  const float dealt = Min(damage, enemies.health[index]);
  enemies.health[index] -= damage;
  enemies.vx[index] += knock_x * def.knock;
  enemies.vy[index] += knock_y * def.knock;
  enemies.flash[index] = 8;
  world.totals.damage_dealt += dealt;
  HealPlayer(world, dealt * StatOf(world.player, Stat::kLifesteal));
}

void RemoveDead(World& world, const Level& level) {
  Enemies& enemies = world.enemies;
  int dead = 0;
  for (int i = 0; i < enemies.count; ++i) dead += enemies.health[i] <= 0.0f;
  if (dead == 0) return;
  for (int i = 0; i < enemies.count;) {
    if (enemies.health[i] > 0.0f) {
      ++i;
      continue;
    }
    CountKill(world, level, i);
    Drop(world, level, i);
    Split(world, level, i);
    CopyEnemy(enemies, enemies.count - 1, i);
    --enemies.count;
  }
}

}  // namespace metabonk::arena
