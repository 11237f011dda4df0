// What the stage bosses decide: one pattern each, quicker below half their health. Knows the
// phases of steering.h; what bolts do is in bolts.cc.
#include "games/arena/content.h"
#include "games/arena/enemies.h"
#include "games/arena/numbers.h"
#include "games/arena/steering.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

bool Enraged(const World& world, int index) {
  return world.enemies.health[index] < 0.5f * world.enemies.max_health[index];
}

void Enter(World& world, int index, Phase phase, float seconds) {
  world.enemies.phase[index] = phase;
  world.enemies.timer[index] = seconds * (Enraged(world, index) ? 0.6f : 1.0f);
}

float Away(const World& world, int index) {
  return Length(world.player.x - world.enemies.x[index], world.player.y - world.enemies.y[index]);
}

// Slams the ground when the player is near (a jump clears it), charges when he is far.
void ThinkGolem(World& world, const Level& level, int index, const EnemyDef& def) {
  Enemies& enemies = world.enemies;
  switch (enemies.phase[index]) {
    case kRoam:
      Enter(world, index, Away(world, index) < def.range ? kSlam : kWindup, def.windup);
      break;
    case kSlam:
      StrikeDisc(world, level, index, def.bolt_radius, def.power);
      if (Enraged(world, index)) ShootRing(world, level, index, 8, 0.0f);
      Enter(world, index, kRoam, def.period);
      break;
    case kWindup: {
      const float inverse = 1.0f / Max(Away(world, index), 0.01f);
      const float speed = def.bolt_speed * SpeedScale(world, level);
      enemies.vx[index] = (world.player.x - enemies.x[index]) * inverse * speed;
      enemies.vy[index] = (world.player.y - enemies.y[index]) * inverse * speed;
      world.enemies.phase[index] = kCharge;
      world.enemies.timer[index] = def.bolt_life;
      break;
    }
    default:
      Enter(world, index, kRoam, def.period);
      break;
  }
}

void CallSpiders(World& world, const Level& level, int index, int count) {
  if (level.spec.enemy_mix[kEnemySpider] <= 0.0f) return;
  for (int i = 0; i < count; ++i) {
    if (world.enemies.count >= static_cast<int>(level.spec.max_enemies)) return;
    float x;
    float y;
    if (!FindPlace(world, level, world.enemies.x[index], world.enemies.y[index], 1.5f, 4.0f, false,
                   &x, &y)) {
      return;
    }
    SpawnEnemy(world, level, kEnemySpider, x, y);
  }
}

// Rings of bolts, a fan at the player, spiders.
void ThinkQueen(World& world, const Level& level, int index, const EnemyDef& def) {
  switch (world.enemies.phase[index]) {
    case kRing:
      ShootRing(world, level, index, 12, DrawUnit(world.combat_random));
      break;
    case kSummon:
      CallSpiders(world, level, index, Enraged(world, index) ? 5 : 3);
      break;
    case kVolley:
      for (int i = -1; i <= 1; ++i) {
        ShootAtPlayer(world, level, index, 0.22f * static_cast<float>(i), false);
      }
      break;
    default: {
      const uint32_t next = DrawBelow(world.combat_random, 3);
      Enter(world, index, static_cast<Phase>(kRing + next), def.windup);
      return;
    }
  }
  Enter(world, index, kRoam, def.period);
}

void BlinkNearPlayer(World& world, const Level& level, int index, const EnemyDef& def) {
  Enemies& enemies = world.enemies;
  float x;
  float y;
  if (!FindPlace(world, level, world.player.x, world.player.y, def.range * 0.5f, def.range, true,
                 &x, &y)) {
    return;
  }
  enemies.x[index] = x;
  enemies.y[index] = y;
  enemies.z[index] = GroundHeight(*level.terrain, x, y) + def.hover;
  enemies.vx[index] = enemies.vy[index] = 0.0f;
}

// Blinks around the player, homing volleys, turning rings.
void ThinkLich(World& world, const Level& level, int index, const EnemyDef& def) {
  switch (world.enemies.phase[index]) {
    case kRing:
      ShootRing(world, level, index, Enraged(world, index) ? 16 : 10,
                DrawUnit(world.combat_random));
      break;
    case kSummon:
    case kVolley:
      for (int i = -2; i <= 2; ++i) {
        ShootAtPlayer(world, level, index, 0.5f * static_cast<float>(i), true);
      }
      break;
    case kBlink:
      BlinkNearPlayer(world, level, index, def);
      ShootRing(world, level, index, 6, 0.0f);
      break;
    default: {
      constexpr Phase kNext[3] = {kRing, kVolley, kBlink};
      Enter(world, index, kNext[DrawBelow(world.combat_random, 3)], def.windup);
      return;
    }
  }
  Enter(world, index, kRoam, def.period);
}

}  // namespace

void ThinkBoss(World& world, const Level& level, int index) {
  const EnemyDef& def = kEnemyDefs[world.enemies.kind[index]];
  switch (def.behavior) {
    case Behavior::kGolem:
      return ThinkGolem(world, level, index, def);
    case Behavior::kQueen:
      return ThinkQueen(world, level, index, def);
    case Behavior::kLich:
      return ThinkLich(world, level, index, def);
    default:
      return Think(world, level, index);
  }
}

}  // namespace metabonk::arena
