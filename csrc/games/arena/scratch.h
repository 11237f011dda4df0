// What one tick needs between its stages and nobody needs afterwards. Owned by whoever runs ticks,
// one per thread; nothing in it survives a tick, so it is no part of a run's state.
#pragma once

#include <cstdint>

#include "games/arena/state.h"

namespace metabonk::arena {

inline constexpr int kLanes = 16;  // every kernel works on whole groups of so many enemies
inline constexpr float kStripMetres = 0.5f;
inline constexpr int kStrips = 256;         // 128 m of playable square
inline constexpr float kPushRadius = 0.9f;  // nobody pushes farther than that

// Enemies sorted by the strip of y they are in, so that all that is near something lies in one
// contiguous range. Filled from the positions at the beginning of the tick.
struct StripIndex {
  int32_t count;
  int32_t start[kStrips + 1];  // first sorted place of each strip; the last is the count
  alignas(64) float x[kMaxEnemies + kLanes];
  alignas(64) float y[kMaxEnemies + kLanes];
  alignas(64) float radius[kMaxEnemies + kLanes];
  alignas(64) int32_t enemy[kMaxEnemies + kLanes];  // index in World::enemies
};

struct Scratch {
  StripIndex strips;
  // Of each enemy, relative to the player at the beginning of the tick.
  alignas(64) float toward_x[kMaxEnemies];  // unit vector to the player
  alignas(64) float toward_y[kMaxEnemies];
  alignas(64) float distance[kMaxEnemies];
  // How it wants to move, by kind and phase.
  alignas(64) float radius[kMaxEnemies];
  alignas(64) float hover[kMaxEnemies];
  alignas(64) float wish_x[kMaxEnemies];  // metres a second
  alignas(64) float wish_y[kMaxEnemies];
  alignas(64) float acceleration[kMaxEnemies];
  alignas(64) float next_x[kMaxEnemies];
  alignas(64) float next_y[kMaxEnemies];
  alignas(64) int32_t next_cell[kMaxEnemies];
  alignas(64) int32_t strip[kMaxEnemies];
};

}  // namespace metabonk::arena
