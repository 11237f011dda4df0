// WalkGrid: where one can walk in a run, a square metre at a time, and how high each lies. Plain
// data, to go through a mailbox. Knows cells and straight lines; knows no enemies and no routes.
#pragma once

#include <cstdint>

#include "games/arena/terrain.h"

namespace metabonk::play {

inline constexpr int kWalkSide = arena::kGridCells;
inline constexpr int kWalkCells = kWalkSide * kWalkSide;

struct WalkGrid {
  uint64_t number = 0;              // of this one among those that a game has made; 0: none yet
  float size = 0.0f;                // the playable square is [0, size) on both axes, metres
  uint8_t open[kWalkCells] = {};    // row y, column x; 1: can be stood on
  int16_t height[kWalkCells] = {};  // of the cell's middle, centimetres
};

// A rise between neighbouring cells that takes a jump, and one that not even a jump overcomes.
inline constexpr int kClimb = 70, kTooHigh = 140;  // centimetres
inline constexpr float kBodyRadius = 0.4f;         // metres

void MakeWalkGrid(const arena::Terrain& terrain, WalkGrid* out);

// The cell of a position; of one outside the nearest.
int CellOf(float x, float y);
inline float MiddleX(int cell) { return static_cast<float>(cell % kWalkSide) + 0.5f; }
inline float MiddleY(int cell) {
  const int row = cell / kWalkSide;
  return static_cast<float>(row) + 0.5f;
}

// Whether a body may stand at (x, y).
bool Stands(const WalkGrid& grid, float x, float y);
// Whether it can walk from one to the other in a straight line, without a jump.
bool Straight(const WalkGrid& grid, float from_x, float from_y, float to_x, float to_y);
// How far it can walk from (x, y) in a direction of unit length, at most `most` metres.
float Room(const WalkGrid& grid, float x, float y, float dx, float dy, float most);
// The open cell nearest to one, within `reach` cells on each axis; -1 if there is none.
int NearestOpen(const WalkGrid& grid, int cell, int reach);

}  // namespace metabonk::play
