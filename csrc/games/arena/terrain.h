// Terrain: the ground of one run, a pure function of a seed and of the level's terrain settings.
#pragma once

#include <cstdint>

namespace metabonk::arena {

struct LevelSpec;

inline constexpr int kGridCells = 128;  // cells of one metre a side
inline constexpr int kGridVertices = kGridCells + 1;

enum class Ground : uint8_t { kGrass, kSand, kRock, kSnow, kWater, kCount };

struct Terrain {
  uint64_t seed;
  float size;                                   // the playable square is [0, size) on both axes
  float height[kGridVertices * kGridVertices];  // metres, row y, column x
  uint8_t walkable[kGridCells * kGridCells];    // 1: can be stood on
  uint8_t ground[kGridCells * kGridCells];      // Ground
  uint8_t obstacle[kGridCells * kGridCells];    // 0 none, else height in quarter metres
};

void GenerateTerrain(const LevelSpec& spec, uint64_t run_seed, Terrain* out);
// The seed that GenerateTerrain stores: equal seeds and settings, equal terrain.
uint64_t TerrainSeed(const LevelSpec& spec, uint64_t run_seed);

// Height of the ground under (x, y), bilinear between the vertices, without obstacles.
float GroundHeight(const Terrain& terrain, float x, float y);
// Height at which a body comes to stand at (x, y): the ground, or the top of an obstacle.
float FloorHeight(const Terrain& terrain, float x, float y);
Ground GroundAt(const Terrain& terrain, float x, float y);
// Where a body of this radius may stand at (x, y): 0 free, 1 blocked by obstacle, edge or water.
int Blocked(const Terrain& terrain, float x, float y, float radius);
// Gradient of the ground, rise per metre.
void GroundSlope(const Terrain& terrain, float x, float y, float* dx, float* dy);

}  // namespace metabonk::arena
