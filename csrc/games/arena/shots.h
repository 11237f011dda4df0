// The player's shots as weapons.cc sends them out and shots.cc moves them.
#pragma once

#include <cstdint>

#include "games/arena/state.h"

namespace metabonk::arena {

inline constexpr float kShotHeight = 0.9f;  // above the ground

enum ShotState : uint8_t {
  kShotFlying,    // straight on, along the ground
  kShotOutbound,  // a boomerang on its way out
  kShotReturning,
  kShotOrbit,  // around the player; vx is its angle, vy its turning speed, vz its distance
  kShotMine,
  kShotMark,  // strikes nobody: shows where something struck
};

struct ShotLaunch {
  float x, y, z;
  float vx = 0.0f, vy = 0.0f, vz = 0.0f;
  float life;
  float radius;
  float damage = 0.0f;
  int weapon;
  int pierce = 0;
  ShotState state;
};

// Dropped where kMaxShots are in the air.
void AddShot(World& world, const ShotLaunch& launch);

}  // namespace metabonk::arena
