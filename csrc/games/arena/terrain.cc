// Terrain from a seed: value noise in four octaves, terraces, scattered obstacles, ponds; whatever
// the centre cannot reach on foot or by a jump is closed off, so that nothing spawns out of reach.
#include "games/arena/terrain.h"

#include <cstring>

#include "games/arena/numbers.h"
#include "games/arena/spec.h"
#include "support/random.h"

namespace metabonk::arena {

namespace {

constexpr float kTerrace = 1.2f;       // height of a ledge: too steep to walk, low enough to jump
constexpr float kJumpable = 1.4f;      // rise between neighbouring cells that a jump overcomes
constexpr float kWaterLevel = -0.32f;  // fraction of the relief below which there is water
constexpr float kClearing = 5.0f;      // radius around the centre without obstacles or water

constexpr int kOctaves = 4;
constexpr int kLattice[kOctaves] = {32, 16, 8, 4};  // metres between lattice points
constexpr float kWeight[kOctaves] = {0.55f, 0.27f, 0.13f, 0.05f};

uint64_t At(uint64_t seed, int layer, int x, int y) {
  return HashDraw(seed + static_cast<uint64_t>(layer) * 0x9E3779B97F4A7C15ull,
                  static_cast<uint64_t>(y) << 32 | static_cast<uint32_t>(x));
}

float Smooth(float t) { return t * t * (3.0f - 2.0f * t); }

// Adds one octave in [-weight, weight] to every vertex.
void AddOctave(uint64_t seed, int octave, float* height) {
  const int step = kLattice[octave];
  const int points = kGridCells / step + 2;
  float lattice[(kGridCells / 4 + 2) * (kGridCells / 4 + 2)];
  for (int y = 0; y < points; ++y) {
    for (int x = 0; x < points; ++x) {
      lattice[y * points + x] = (2.0f * UnitFloat(At(seed, octave, x, y)) - 1.0f) * kWeight[octave];
    }
  }
  float weights[32];
  for (int i = 0; i < step; ++i) {
    weights[i] = Smooth(static_cast<float>(i) / static_cast<float>(step));
  }
  for (int y = 0; y < kGridVertices; ++y) {
    const float* below = lattice + (y / step) * points;
    const float* above = below + points;
    const float ty = weights[y % step];
    float* row = height + y * kGridVertices;
    for (int x = 0; x < kGridVertices; ++x) {
      const int cell = x / step;
      const float tx = weights[x % step];
      row[x] +=
          Lerp(Lerp(below[cell], below[cell + 1], tx), Lerp(above[cell], above[cell + 1], tx), ty);
    }
  }
}

// Metres from the unit noise: scaled by the relief, partly cut into terraces, flat at the centre.
void ShapeHeights(const LevelSpec& spec, float* height) {
  const float center = spec.size * 0.5f;
  for (int y = 0; y < kGridVertices; ++y) {
    for (int x = 0; x < kGridVertices; ++x) {
      float& h = height[y * kGridVertices + x];
      h *= spec.relief;
      const float level = h / kTerrace;
      const int below = static_cast<int>(level + 1024.0f) - 1024;
      // A step is half a cell of level ground, then the rise: sharp ledges with flat tops.
      const float within = level - static_cast<float>(below);
      const float sharp = Clamp((within - 0.4f) * 5.0f, 0.0f, 1.0f);
      h = Lerp(h, (static_cast<float>(below) + Smooth(sharp)) * kTerrace, spec.ledges);
      const float away = Length(static_cast<float>(x) - center, static_cast<float>(y) - center);
      h *= Smooth(Clamp((away - 2.0f) / (2.0f * kClearing), 0.0f, 1.0f));
    }
  }
}

float CellHeight(const Terrain& terrain, int x, int y) {
  const float* h = terrain.height + y * kGridVertices + x;
  return 0.25f * (h[0] + h[1] + h[kGridVertices] + h[kGridVertices + 1]);
}

float CellRise(const Terrain& terrain, int x, int y) {
  const float* h = terrain.height + y * kGridVertices + x;
  const float low = Min(Min(h[0], h[1]), Min(h[kGridVertices], h[kGridVertices + 1]));
  const float high = Max(Max(h[0], h[1]), Max(h[kGridVertices], h[kGridVertices + 1]));
  return high - low;
}

Ground GroundKind(const LevelSpec& spec, float height, float rise, uint64_t bits) {
  const float grain = (UnitFloat(bits) - 0.5f) * 0.12f;
  const float level = spec.relief > 0.0f ? height / spec.relief + grain : grain;
  if (spec.relief > 0.0f && height / spec.relief < kWaterLevel) return Ground::kWater;
  if (rise > 0.9f) return Ground::kRock;
  if (level < -0.2f) return Ground::kSand;
  if (level > 0.34f) return Ground::kSnow;
  return level > 0.26f ? Ground::kRock : Ground::kGrass;
}

// `obstacles` is the fraction of cells that hold one.
void PlaceCells(const LevelSpec& spec, float obstacles, Terrain* out) {
  const float center = spec.size * 0.5f;
  for (int y = 0; y < kGridCells; ++y) {
    for (int x = 0; x < kGridCells; ++x) {
      const int cell = y * kGridCells + x;
      const float middle_x = static_cast<float>(x) + 0.5f;
      const float middle_y = static_cast<float>(y) + 0.5f;
      const uint64_t bits = At(out->seed, kOctaves, x, y);
      const Ground ground = GroundKind(spec, CellHeight(*out, x, y), CellRise(*out, x, y), bits);
      out->ground[cell] = static_cast<uint8_t>(ground);
      // Obstacles come in groves: the coarse draw decides where, the fine one which cells.
      const float grove = 2.0f * UnitFloat(At(out->seed, kOctaves + 1, x / 6, y / 6));
      const bool clear =
          Length(middle_x - center, middle_y - center) < kClearing || ground == Ground::kWater;
      const bool stands =
          !clear && UnitFloat(At(out->seed, kOctaves + 2, x, y)) < obstacles * grove;
      out->obstacle[cell] = stands ? static_cast<uint8_t>(3 + (bits & 15)) : 0;
      const bool inside = middle_x > 1.0f && middle_y > 1.0f && middle_x < spec.size - 1.0f &&
                          middle_y < spec.size - 1.0f;
      out->walkable[cell] = inside && !stands && ground != Ground::kWater;
    }
  }
}

// Flood fill from the centre over walkable cells whose rise a jump overcomes; returns how many.
int CloseUnreachable(const LevelSpec& spec, Terrain* out) {
  uint8_t reached[kGridCells * kGridCells] = {};
  uint16_t queue[kGridCells * kGridCells];
  const int center = static_cast<int>(spec.size * 0.5f);
  int head = 0;
  int tail = 0;
  queue[tail++] = static_cast<uint16_t>(center * kGridCells + center);
  reached[queue[0]] = 1;
  while (head < tail) {
    const int cell = queue[head++];
    const int x = cell % kGridCells;
    const int y = cell / kGridCells;
    constexpr int kSteps[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
    for (const auto& step : kSteps) {
      const int next_x = x + step[0];
      const int next_y = y + step[1];
      if (next_x < 0 || next_y < 0 || next_x >= kGridCells || next_y >= kGridCells) continue;
      const int next = next_y * kGridCells + next_x;
      if (reached[next] || !out->walkable[next]) continue;
      if (CellHeight(*out, next_x, next_y) - CellHeight(*out, x, y) > kJumpable) continue;
      reached[next] = 1;
      queue[tail++] = static_cast<uint16_t>(next);
    }
  }
  std::memcpy(out->walkable, reached, sizeof(reached));
  return tail;
}

int CellOf(float x, float y) {
  const int cell_x = static_cast<int>(Clamp(x, 0.0f, kGridCells - 1.0f));
  const int cell_y = static_cast<int>(Clamp(y, 0.0f, kGridCells - 1.0f));
  return cell_y * kGridCells + cell_x;
}

// The cell that holds a point, or the nearest one.
struct Patch {
  const float* h;  // height of its corner at least x and y; the others are one and one row on
  float tx, ty;    // where in it the point is, 0..1
};

Patch PatchAt(const Terrain& terrain, float x, float y) {
  const float inside_x = Clamp(x, 0.0f, kGridCells - 0.001f);
  const float inside_y = Clamp(y, 0.0f, kGridCells - 0.001f);
  const int cell_x = static_cast<int>(inside_x);
  const int cell_y = static_cast<int>(inside_y);
  return {terrain.height + cell_y * kGridVertices + cell_x, inside_x - static_cast<float>(cell_x),
          inside_y - static_cast<float>(cell_y)};
}

}  // namespace

void GenerateTerrain(const LevelSpec& spec, uint64_t run_seed, Terrain* out) {
  out->seed = TerrainSeed(spec, run_seed);
  out->size = spec.size;
  std::memset(out->height, 0, sizeof(out->height));
  for (int octave = 0; octave < kOctaves; ++octave) AddOctave(out->seed, octave, out->height);
  ShapeHeights(spec, out->height);
  // Groves may wall the centre in; then they are thinned out until most of the square is open.
  constexpr float kOpen = 0.5f;
  for (float obstacles = spec.obstacles;; obstacles *= 0.5f) {
    PlaceCells(spec, obstacles, out);
    const int open = CloseUnreachable(spec, out);
    if (static_cast<float>(open) > kOpen * spec.size * spec.size || obstacles < 0.01f) return;
  }
}

uint64_t TerrainSeed(const LevelSpec& spec, uint64_t run_seed) {
  return HashDraw(spec.terrain_seed != 0 ? spec.terrain_seed : run_seed, 0x7E44A1);
}

float GroundHeight(const Terrain& terrain, float x, float y) {
  const auto [h, tx, ty] = PatchAt(terrain, x, y);
  return Lerp(Lerp(h[0], h[1], tx), Lerp(h[kGridVertices], h[kGridVertices + 1], tx), ty);
}

float FloorHeight(const Terrain& terrain, float x, float y) {
  const int cell = CellOf(x, y);
  const float ground = GroundHeight(terrain, x, y);
  if (terrain.obstacle[cell] == 0) return ground;
  return CellHeight(terrain, cell % kGridCells, cell / kGridCells) +
         0.25f * static_cast<float>(terrain.obstacle[cell]);
}

Ground GroundAt(const Terrain& terrain, float x, float y) {
  return static_cast<Ground>(terrain.ground[CellOf(x, y)]);
}

int Blocked(const Terrain& terrain, float x, float y, float radius) {
  if (x < radius || y < radius || x > terrain.size - radius || y > terrain.size - radius) return 1;
  return !(terrain.walkable[CellOf(x - radius, y - radius)] &&
           terrain.walkable[CellOf(x + radius, y - radius)] &&
           terrain.walkable[CellOf(x - radius, y + radius)] &&
           terrain.walkable[CellOf(x + radius, y + radius)]);
}

void GroundSlope(const Terrain& terrain, float x, float y, float* dx, float* dy) {
  const auto [h, tx, ty] = PatchAt(terrain, x, y);
  *dx = Lerp(h[1] - h[0], h[kGridVertices + 1] - h[kGridVertices], ty);
  *dy = Lerp(h[kGridVertices] - h[0], h[kGridVertices + 1] - h[1], tx);
}

}  // namespace metabonk::arena
