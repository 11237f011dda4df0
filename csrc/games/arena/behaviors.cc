// What each kind of enemy decides when its timer runs out. Movement between decisions follows from
// the phase (steering.h); bosses are in bosses.cc.
#include "games/arena/content.h"
#include "games/arena/enemies.h"
#include "games/arena/numbers.h"
#include "games/arena/steering.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

constexpr float kGlance = 0.15f;  // seconds until a kind looks again whether it is near enough

struct Bearing {
  float x, y;  // unit vector to the player
  float distance;
};

Bearing BearingOf(const World& world, int index) {
  const float dx = world.player.x - world.enemies.x[index];
  const float dy = world.player.y - world.enemies.y[index];
  const float distance = Length(dx, dy);
  const float inverse = 1.0f / Max(distance, 0.01f);
  return {dx * inverse, dy * inverse, distance};
}

void Enter(World& world, int index, Phase phase, float seconds) {
  world.enemies.phase[index] = phase;
  world.enemies.timer[index] = seconds;
}

void Stop(Enemies& enemies, int index) { enemies.vx[index] = enemies.vy[index] = 0.0f; }

void Weave(World& world, int index, const EnemyDef& def) {
  const bool back = world.enemies.phase[index] == kRoam;
  const float seconds = def.period * DrawBetween(world.combat_random, 0.3f, 0.7f);
  Enter(world, index, back ? kSwarmBack : kRoam, seconds);
}

int PackAround(const World& world, int index, float reach) {
  const Enemies& enemies = world.enemies;
  int near = 0;
  for (int i = 0; i < enemies.count; ++i) {
    const float away = Length(enemies.x[i] - world.player.x, enemies.y[i] - world.player.y);
    near += enemies.kind[i] == enemies.kind[index] && away < reach;
  }
  return near;
}

// Circles until enough of the pack are there, crouches, leaps at where the player is.
void Pounce(World& world, int index, const EnemyDef& def) {
  constexpr int kPack = 3;
  Enemies& enemies = world.enemies;
  const Bearing bearing = BearingOf(world, index);
  switch (enemies.phase[index]) {
    case kRoam: {
      const bool ready = bearing.distance < def.range * 1.2f &&
                         (PackAround(world, index, def.range * 2.0f) >= kPack ||
                          DrawChance(world.combat_random, 0.05f));
      Enter(world, index, ready ? kCrouch : kRoam, ready ? def.windup : kGlance);
      break;
    }
    case kCrouch: {
      constexpr float kLeapSeconds = 0.5f;
      const float speed = Max(bearing.distance, 2.0f) / kLeapSeconds;
      enemies.vx[index] = bearing.x * speed;
      enemies.vy[index] = bearing.y * speed;
      enemies.vz[index] = 0.5f * kLeapSeconds * kBody.gravity;
      Enter(world, index, kLeap, kLeapSeconds);
      break;
    }
    default:
      Enter(world, index, kRoam, def.period);
      break;
  }
}

// Archers and mages: aim once in range, shoot, wait.
void Shoot(World& world, const Level& level, int index, const EnemyDef& def) {
  Enemies& enemies = world.enemies;
  if (enemies.phase[index] == kRoam) {
    const bool near = BearingOf(world, index).distance < def.range * 1.6f;
    Enter(world, index, near ? kAim : kRoam, near ? def.windup : kGlance);
    return;
  }
  ShootAtPlayer(world, level, index, 0.0f, def.behavior == Behavior::kMage);
  Enter(world, index, kRoam, def.period);
}

void Burst(World& world, const Level& level, int index, const EnemyDef& def) {
  Enemies& enemies = world.enemies;
  StrikeDisc(world, level, index, def.bolt_radius, def.power);
  for (int i = 0; i < enemies.count; ++i) {
    const float dx = enemies.x[i] - enemies.x[index];
    const float dy = enemies.y[i] - enemies.y[index];
    const float away = Length(dx, dy);
    if (i == index || away > def.bolt_radius) continue;
    const float push = 8.0f / Max(away, 0.5f);
    HurtEnemy(world, level, i, def.power * 0.5f, dx * push, dy * push);
  }
  enemies.health[index] = 0.0f;
}

void LightFuse(World& world, const Level& level, int index, const EnemyDef& def) {
  if (world.enemies.phase[index] == kFuse) {
    Burst(world, level, index, def);
    return;
  }
  const bool near = BearingOf(world, index).distance < def.range;
  Enter(world, index, near ? kFuse : kRoam, near ? def.windup : kGlance);
}

void Charge(World& world, const Level& level, int index, const EnemyDef& def) {
  Enemies& enemies = world.enemies;
  const Bearing bearing = BearingOf(world, index);
  switch (enemies.phase[index]) {
    case kRoam: {
      const bool near = bearing.distance < def.range;
      Enter(world, index, near ? kBrace : kRoam, near ? def.windup : kGlance);
      break;
    }
    case kBrace: {
      const float speed = def.bolt_speed * SpeedScale(world, level);
      enemies.vx[index] = bearing.x * speed;
      enemies.vy[index] = bearing.y * speed;
      Enter(world, index, kDash, def.bolt_life);
      break;
    }
    case kDash:
      Enter(world, index, kTired, def.period);
      break;
    default:
      Enter(world, index, kRoam, kGlance);
      break;
  }
}

// Fades, reappears on the other side of the player, strikes for a moment.
void Haunt(World& world, const Level& level, int index, const EnemyDef& def) {
  constexpr float kStrikeSeconds = 1.2f;
  Enemies& enemies = world.enemies;
  const Terrain& terrain = *level.terrain;
  const Bearing bearing = BearingOf(world, index);
  switch (enemies.phase[index]) {
    case kRoam: {
      const bool far = bearing.distance > def.range;
      Enter(world, index, far ? kFade : kStrike, far ? def.windup : kStrikeSeconds);
      break;
    }
    case kFade:
      enemies.x[index] = Clamp(world.player.x + bearing.x * def.range, 1.5f, terrain.size - 1.5f);
      enemies.y[index] = Clamp(world.player.y + bearing.y * def.range, 1.5f, terrain.size - 1.5f);
      enemies.z[index] = GroundHeight(terrain, enemies.x[index], enemies.y[index]) + def.hover;
      Stop(enemies, index);
      Enter(world, index, kStrike, kStrikeSeconds);
      break;
    default:
      Enter(world, index, kRoam, def.period);
      break;
  }
}

void Mend(World& world, int index, const EnemyDef& def) {
  Enemies& enemies = world.enemies;
  if (enemies.phase[index] == kRoam) {
    Enter(world, index, kAim, def.windup);
    return;
  }
  for (int i = 0; i < enemies.count; ++i) {
    const float away = Length(enemies.x[i] - enemies.x[index], enemies.y[i] - enemies.y[index]);
    if (i == index || away > def.bolt_radius || enemies.health[i] <= 0.0f) continue;
    enemies.health[i] = Min(enemies.max_health[i], enemies.health[i] + def.power);
    enemies.slow[i] = 0.0f;
  }
  Enter(world, index, kRoam, def.period);
}

void Hop(World& world, int index, const EnemyDef& def) {
  Enemies& enemies = world.enemies;
  const uint8_t small = enemies.phase[index] >= kSmall ? kSmall : kRoam;
  if (enemies.phase[index] % 2 == kRest) {
    enemies.vz[index] = 4.0f;
    Enter(world, index, static_cast<Phase>(small), def.period * 0.5f);
  } else {
    Enter(world, index, static_cast<Phase>(small + kRest), def.period * 0.5f);
  }
}

}  // namespace

void Think(World& world, const Level& level, int index) {
  const EnemyDef& def = kEnemyDefs[world.enemies.kind[index]];
  switch (def.behavior) {
    case Behavior::kSwarm:
      return Weave(world, index, def);
    case Behavior::kPack:
      return Pounce(world, index, def);
    case Behavior::kArcher:
    case Behavior::kMage:
      return Shoot(world, level, index, def);
    case Behavior::kBomber:
      return LightFuse(world, level, index, def);
    case Behavior::kCharger:
      return Charge(world, level, index, def);
    case Behavior::kBlinker:
      return Haunt(world, level, index, def);
    case Behavior::kShaman:
      return Mend(world, index, def);
    case Behavior::kSplitter:
      return Hop(world, index, def);
    default:
      world.enemies.timer[index] = kNever;
      return;
  }
}

}  // namespace metabonk::arena
