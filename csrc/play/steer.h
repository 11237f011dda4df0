// Steering: which of sixteen ways, or none, to go this very tick, so that one gets where one wants
// to be and out of the way of what would hurt. Looks two thirds of a second ahead: longer ways are
// route.h's. Knows what threatens and where one can stand; knows no directives.
//
// A sampled form of velocity obstacles (Fiorini and Shiller 1998): each way is judged by how near
// everything would be if both sides went on as they do.
#pragma once

#include <cstdint>

#include "metabonk/records.h"
#include "play/ground.h"

namespace metabonk::play {

inline constexpr int kWays = 16;
inline constexpr float kWalkSpeed = 6.0f;  // metres a second, where a state does not say

// What could hurt soon, relative to the player; the nearest ones, unordered.
struct Threats {
  static constexpr int kMost = 64;
  static constexpr float kRange = 14.0f;  // metres

  int count = 0;
  float x[kMost], y[kMost], vx[kMost], vy[kMost];
  float weight[kMost];   // how bad it is to touch, about 1 for the ordinary
  float contact[kMost];  // distance at which it is as bad as can be, metres
};

// Enemies and their projectiles within range; none where the state has no entities.
void FindThreats(const GameState& state, Threats* out);
// How bad it is to move with a velocity in metres a second; 0 where nothing is near, about 1 in
// touch of something ordinary.
float Harm(const Threats& threats, float vx, float vy);

struct Wish {
  float x = 0.0f, y = 0.0f;  // where to, in the world, of unit length; both 0: nowhere
  float caution = 4.0f;      // weight of harm against getting there
};

// The way to go, of unit length in the world, both 0 to stand; `last` is the one of the tick
// before. Without threats or walls it is the wish, to the bit.
struct Way {
  float x = 0.0f, y = 0.0f;
};
Way Steer(const Wish& wish, const Threats& threats, const GameState& state, const WalkGrid* grid,
          const Way& last);

}  // namespace metabonk::play
