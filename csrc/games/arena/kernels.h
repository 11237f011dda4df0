// The hot loops of a tick, one table of functions per instruction set; all of them give the same
// bits, because they do the same IEEE operations in the same order for every enemy. Knows arrays
// and arithmetic, no rules.
#pragma once

#include <cstdint>

#include "games/arena/scratch.h"
#include "games/arena/state.h"
#include "games/arena/terrain.h"

namespace metabonk::arena {

struct Kernels {
  const char* name;
  // Counts timers down.
  void (*count_down)(Enemies& enemies);
  // Direction and distance to the player, and the strip of each.
  void (*measure)(const Enemies& enemies, const Player& player, Scratch& scratch);
  // What each enemy wants: velocity, acceleration, radius, hover height by kind and phase.
  void (*steer)(const Enemies& enemies, float speed_scale, Scratch& scratch);
  // How hard each enemy is pushed by those it overlaps; half of them every tick.
  void (*separate)(Enemies& enemies, uint64_t tick, const Scratch& scratch);
  // Velocities and the next places and their cells, before obstacles.
  void (*accelerate)(Enemies& enemies, Scratch& scratch);
  // Heights above the ground at the new places.
  void (*settle)(Enemies& enemies, const Terrain& terrain, Scratch& scratch);
  // Enemies that overlap a disc, in the order of the strips; returns how many.
  int (*overlaps)(const StripIndex& strips, float x, float y, float radius, int32_t* found);
};

extern const Kernels kKernelsBaseline;
extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx512;
extern const Kernels kKernelsScalar;  // plain loops, compiled without vectorisation

// Those of ActiveTier(), or the scalar ones after UseScalarKernels(true): the benchmark's
// yardstick.
const Kernels& ActiveKernels();
void UseScalarKernels(bool scalar);

}  // namespace metabonk::arena
