// What the files about enemies call of each other; rules.h has what the rest of the arena calls.
#pragma once

#include "games/arena/rules.h"

namespace metabonk::arena {

// behaviors.cc: what an enemy whose timer ran out does next. Sets phase and timer.
void Think(World& world, const Level& level, int index);
// bosses.cc: the same for stage bosses.
void ThinkBoss(World& world, const Level& level, int index);

// bolts.cc: a shot of an enemy; dropped where kMaxBolts are in the air. Height is that of the
// middle.
struct BoltLaunch {
  float x, y, z;
  float vx, vy, vz;
  bool homing;
};
void AddBolt(World& world, const Level& level, int enemy, const BoltLaunch& launch);
// One aimed at where the player will be, turned by `angle` radians.
void ShootAtPlayer(World& world, const Level& level, int enemy, float angle, bool homing);
// `count` of them in all directions, the first at `angle`.
void ShootRing(World& world, const Level& level, int enemy, int count, float angle);

// enemies.cc
float DamageOf(const World& world, const Level& level, int index, float base);
float SpeedScale(const World& world, const Level& level);
// Hurts the player if the disc reaches him and he is not above it.
void StrikeDisc(World& world, const Level& level, int enemy, float radius, float damage);
// A walkable place at this distance from a point, or false after a few tries.
bool FindPlace(World& world, const Level& level, float x, float y, float near, float far,
               bool flying, float* out_x, float* out_y);

}  // namespace metabonk::arena
