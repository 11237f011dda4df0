#include "play/ground.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace metabonk::play {

namespace {

constexpr float kStride = 0.3f;  // metres between the places of a line that are looked at

int Clamped(float value) {
  // Comparisons that a NaN fails: it becomes 0.
  if (!(value > 0.0f)) return 0;
  return value < static_cast<float>(kWalkSide) ? static_cast<int>(value) : kWalkSide - 1;
}

}  // namespace

void MakeWalkGrid(const arena::Terrain& terrain, WalkGrid* out) {
  static_assert(sizeof(out->open) == sizeof(terrain.walkable));
  out->size = terrain.size;
  std::memcpy(out->open, terrain.walkable, sizeof(out->open));
  for (int cell = 0; cell < kWalkCells; ++cell) {
    const float height = arena::GroundHeight(terrain, MiddleX(cell), MiddleY(cell));
    out->height[cell] = static_cast<int16_t>(std::clamp(height * 100.0f, -32000.0f, 32000.0f));
  }
}

int CellOf(float x, float y) { return Clamped(y) * kWalkSide + Clamped(x); }

bool Stands(const WalkGrid& grid, float x, float y) {
  constexpr float r = kBodyRadius;
  if (!(x >= 1.0f + r && y >= 1.0f + r && x <= grid.size - 1.0f - r && y <= grid.size - 1.0f - r)) {
    return false;
  }
  return grid.open[CellOf(x - r, y - r)] && grid.open[CellOf(x + r, y - r)] &&
         grid.open[CellOf(x - r, y + r)] && grid.open[CellOf(x + r, y + r)];
}

bool Straight(const WalkGrid& grid, float from_x, float from_y, float to_x, float to_y) {
  const float dx = to_x - from_x, dy = to_y - from_y;
  const float length = std::sqrt(dx * dx + dy * dy);
  if (!(length < 4.0f * static_cast<float>(kWalkSide))) return false;
  if (length < 1e-3f) return true;
  return Room(grid, from_x, from_y, dx / length, dy / length, length) >= length;
}

float Room(const WalkGrid& grid, float x, float y, float dx, float dy, float most) {
  int before = CellOf(x, y);
  // Where one stands is never asked: a body may touch what it could not walk through.
  for (float gone = kStride;; gone += kStride) {
    const float at = std::min(gone, most);
    const float at_x = x + dx * at, at_y = y + dy * at;
    const int cell = CellOf(at_x, at_y);
    if (!Stands(grid, at_x, at_y) || grid.height[cell] - grid.height[before] > kClimb) {
      return gone - kStride;
    }
    before = cell;
    if (gone >= most) return most;
  }
}

int NearestOpen(const WalkGrid& grid, int cell, int reach) {
  const int x = cell % kWalkSide, y = cell / kWalkSide;
  int best = -1, nearest = 0;
  for (int dy = -reach; dy <= reach; ++dy) {
    for (int dx = -reach; dx <= reach; ++dx) {
      const int at_x = x + dx, at_y = y + dy, away = dx * dx + dy * dy;
      if (at_x < 0 || at_y < 0 || at_x >= kWalkSide || at_y >= kWalkSide) continue;
      if (!grid.open[at_y * kWalkSide + at_x] || (best >= 0 && away >= nearest)) continue;
      best = at_y * kWalkSide + at_x;
      nearest = away;
    }
  }
  return best;
}

}  // namespace metabonk::play
