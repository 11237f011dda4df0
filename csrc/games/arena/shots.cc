// The player's shots: how they fly, whom they strike, when they burst or return. Knows shots and
// the enemies they touch; who sends them out is weapons.cc's.
#include "games/arena/shots.h"

#include "games/arena/arsenal.h"
#include "games/arena/content.h"
#include "games/arena/kernels.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"
#include "games/arena/scratch.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

constexpr float kReturnPull = 30.0f;  // metres a second a second of a boomerang coming back
constexpr float kCatch = 1.0f;        // metres at which it is caught
constexpr uint32_t kRehitTicks = 8;   // between two hits of blades and boomerangs

void CopyShot(Shots& shots, int from, int to) {
  shots.x[to] = shots.x[from];
  shots.y[to] = shots.y[from];
  shots.z[to] = shots.z[from];
  shots.vx[to] = shots.vx[from];
  shots.vy[to] = shots.vy[from];
  shots.vz[to] = shots.vz[from];
  shots.life[to] = shots.life[from];
  shots.radius[to] = shots.radius[from];
  shots.damage[to] = shots.damage[from];
  shots.weapon[to] = shots.weapon[from];
  shots.pierce[to] = shots.pierce[from];
  shots.state[to] = shots.state[from];
  shots.last_hit[to] = shots.last_hit[from];
}

const WeaponDef& DefOf(const Shots& shots, int shot) { return kWeaponDefs[shots.weapon[shot]]; }

// Moves one shot; returns false if it is gone.
bool Fly(World& world, const Terrain& terrain, int i) {
  Shots& shots = world.shots;
  const Player& player = world.player;
  shots.life[i] -= kTickSeconds;
  if (shots.life[i] <= 0.0f) return false;
  switch (shots.state[i]) {
    case kShotMark:
    case kShotMine:
      return true;
    case kShotOrbit: {
      shots.vx[i] += shots.vy[i] * kTickSeconds;
      float sine;
      float cosine;
      SinCos(shots.vx[i], &sine, &cosine);
      shots.x[i] = player.x + cosine * shots.vz[i];
      shots.y[i] = player.y + sine * shots.vz[i];
      shots.z[i] = player.z + kShotHeight;
      return true;
    }
    case kShotOutbound:
    case kShotReturning: {
      const float dx = player.x - shots.x[i];
      const float dy = player.y - shots.y[i];
      const float away = Length(dx, dy);
      const bool returning = shots.vx[i] * dx + shots.vy[i] * dy > 0.0f && away > kCatch;
      if (returning) shots.state[i] = kShotReturning;
      if (shots.state[i] == kShotReturning && away < kCatch) return false;
      const float pull = kReturnPull * kTickSeconds / Max(away, 0.1f);
      shots.vx[i] += dx * pull;
      shots.vy[i] += dy * pull;
      break;
    }
    default:
      break;
  }
  shots.x[i] += shots.vx[i] * kTickSeconds;
  shots.y[i] += shots.vy[i] * kTickSeconds;
  const float rest = GroundHeight(terrain, shots.x[i], shots.y[i]) + kShotHeight;
  const float before = shots.z[i];
  shots.z[i] = rest;
  if (shots.state[i] != kShotFlying) return true;
  // Straight shots follow the ground but neither climb walls nor pass through obstacles.
  return rest - before < 0.5f && FloorHeight(terrain, shots.x[i], shots.y[i]) <= rest;
}

void Strike(World& world, const Level& level, int shot, int enemy, float from_x, float from_y) {
  const Enemies& enemies = world.enemies;
  const float dx = enemies.x[enemy] - from_x;
  const float dy = enemies.y[enemy] - from_y;
  const float knock = DefOf(world.shots, shot).knockback * StatOf(world.player, Stat::kKnockback) /
                      Max(Length(dx, dy), 0.01f);
  HurtEnemy(world, level, enemy, RolledDamage(world, world.shots.damage[shot]), dx * knock,
            dy * knock);
}

// A burst strikes everything around; the radius is the weapon's at its present level.
void Burst(World& world, const Level& level, const Scratch& scratch, int shot) {
  const Shots& shots = world.shots;
  const Player& player = world.player;
  int weapon_level = 1;
  for (const Slot& slot : player.weapons) {
    if (slot.kind == shots.weapon[shot] + 1) weapon_level = slot.level;
  }
  const float blast =
      NumbersOf(DefOf(shots, shot), weapon_level).blast * StatOf(player, Stat::kArea);
  int32_t found[kMaxEnemies];
  const int count =
      ActiveKernels().overlaps(scratch.strips, shots.x[shot], shots.y[shot], blast, found);
  for (int i = 0; i < count; ++i) {
    Strike(world, level, shot, found[i], shots.x[shot], shots.y[shot]);
  }
  AddShot(world, {.x = shots.x[shot],
                  .y = shots.y[shot],
                  .z = shots.z[shot],
                  .life = 0.2f,
                  .radius = blast,
                  .weapon = shots.weapon[shot],
                  .state = kShotMark});
}

// Strikes whom the shot touches; returns false once it is spent.
bool Touch(World& world, const Level& level, const Scratch& scratch, int i) {
  Shots& shots = world.shots;
  if (shots.state[i] == kShotMark) return true;
  const bool lasting = shots.state[i] != kShotFlying && shots.state[i] != kShotMine;
  if (lasting && (world.tick + static_cast<uint64_t>(i)) % kRehitTicks != 0) return true;
  int32_t found[kMaxEnemies];
  const int count =
      ActiveKernels().overlaps(scratch.strips, shots.x[i], shots.y[i], shots.radius[i], found);
  const bool bursts = DefOf(shots, i).blast > 0.0f;
  for (int k = 0; k < count; ++k) {
    const int enemy = found[k];
    if (world.enemies.health[enemy] <= 0.0f) continue;
    if (bursts) {
      Burst(world, level, scratch, i);
      return false;
    }
    if (!lasting && world.enemies.id[enemy] == shots.last_hit[i]) continue;
    shots.last_hit[i] = world.enemies.id[enemy];
    Strike(world, level, i, enemy, world.player.x, world.player.y);
    if (!lasting && --shots.pierce[i] == 0) return false;
  }
  return true;
}

}  // namespace

void AddShot(World& world, const ShotLaunch& launch) {
  Shots& shots = world.shots;
  if (shots.count >= kMaxShots) return;
  const int i = shots.count++;
  shots.x[i] = launch.x;
  shots.y[i] = launch.y;
  shots.z[i] = launch.z;
  shots.vx[i] = launch.vx;
  shots.vy[i] = launch.vy;
  shots.vz[i] = launch.vz;
  shots.life[i] = launch.life;
  shots.radius[i] = launch.radius;
  shots.damage[i] = launch.damage;
  shots.weapon[i] = static_cast<uint8_t>(launch.weapon);
  shots.pierce[i] = static_cast<uint8_t>(launch.pierce);
  shots.state[i] = launch.state;
  shots.last_hit[i] = 0;
}

void MoveShots(World& world, const Level& level, Scratch& scratch) {
  Shots& shots = world.shots;
  for (int i = 0; i < shots.count;) {
    if (Fly(world, *level.terrain, i) && Touch(world, level, scratch, i)) {
      ++i;
      continue;
    }
    CopyShot(shots, shots.count - 1, i);
    --shots.count;
  }
}

}  // namespace metabonk::arena
