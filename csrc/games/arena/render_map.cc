// The shaded map of a terrain: colours at half a metre and the obstacles by tile.
#include <algorithm>
#include <cmath>

#include "games/arena/colour.h"
#include "games/arena/render_ground.h"
#include "games/arena/sprites.h"
#include "support/random.h"

namespace metabonk::arena {

namespace {

constexpr Scenery kSceneries[] = {
    // Forest: a clear late morning.
    {Rgb(74, 134, 200),
     Rgb(186, 214, 222),
     Rgb(142, 178, 196),
     Rgb(104, 146, 150),
     Rgb(58, 104, 136),
     {Rgb(92, 148, 66), Rgb(206, 182, 122), Rgb(124, 120, 116), Rgb(226, 234, 242),
      Rgb(52, 112, 162)},
     {Rgb(118, 168, 74), Rgb(222, 200, 142), Rgb(142, 138, 130), Rgb(240, 246, 252),
      Rgb(62, 126, 176)},
     Rgb(124, 98, 74)},
    // Desert: an orange evening.
    {Rgb(196, 104, 88),
     Rgb(248, 206, 148),
     Rgb(214, 140, 112),
     Rgb(168, 100, 90),
     Rgb(150, 96, 84),
     {Rgb(166, 150, 74), Rgb(226, 178, 108), Rgb(158, 108, 84), Rgb(244, 226, 198),
      Rgb(64, 132, 140)},
     {Rgb(186, 166, 86), Rgb(238, 196, 128), Rgb(176, 124, 94), Rgb(250, 238, 216),
      Rgb(76, 148, 150)},
     Rgb(150, 84, 62)},
    // Glacier: a cold dusk.
    {Rgb(40, 52, 104),
     Rgb(150, 160, 206),
     Rgb(96, 108, 164),
     Rgb(66, 76, 128),
     Rgb(40, 62, 110),
     {Rgb(96, 140, 136), Rgb(168, 178, 192), Rgb(98, 106, 134), Rgb(206, 220, 242),
      Rgb(46, 84, 146)},
     {Rgb(116, 158, 152), Rgb(186, 194, 206), Rgb(116, 124, 152), Rgb(226, 236, 252),
      Rgb(64, 108, 168)},
     Rgb(88, 92, 128)},
};

// Towards the sun, not normalised; its height over its length along the ground casts the shadows.
constexpr float kSunX = -0.62f;
constexpr float kSunY = 0.48f;
constexpr float kSunZ = 0.75f;
constexpr float kSteep = 0.95f;  // rise per metre from which ground looks like a cliff

struct Lights {  // of each vertex
  float light[kGridVertices * kGridVertices];
  float steep[kGridVertices * kGridVertices];
};

float HeightAt(const Terrain& terrain, int x, int y) {
  x = std::clamp(x, 0, kGridCells);
  y = std::clamp(y, 0, kGridCells);
  return terrain.height[y * kGridVertices + x];
}

// Parts of the sun that reach a vertex: higher ground towards the sun takes it away.
float Sunlight(const Terrain& terrain, int x, int y, float height) {
  float blocked = 0.0f;
  for (int k = 1; k <= 5; ++k) {
    const float over =
        HeightAt(terrain, x - k, y + (3 * k) / 4) - height - 0.95f * static_cast<float>(k);
    blocked = std::max(blocked, over);
  }
  return 1.0f - std::min(blocked, 1.0f);
}

void LightVertices(const Terrain& terrain, int vertices, Lights* out) {
  const float sun = 1.0f / std::sqrt(kSunX * kSunX + kSunY * kSunY + kSunZ * kSunZ);
  for (int y = 0; y < vertices; ++y) {
    for (int x = 0; x < vertices; ++x) {
      const float height = HeightAt(terrain, x, y);
      const float dx = 0.5f * (HeightAt(terrain, x + 1, y) - HeightAt(terrain, x - 1, y));
      const float dy = 0.5f * (HeightAt(terrain, x, y + 1) - HeightAt(terrain, x, y - 1));
      const float slope2 = dx * dx + dy * dy;
      const float facing = (kSunZ - dx * kSunX - dy * kSunY) * sun / std::sqrt(1.0f + slope2);
      const float sunlight = Sunlight(terrain, x, y, height);
      const float hollow = 0.25f * (HeightAt(terrain, x + 2, y) + HeightAt(terrain, x - 2, y) +
                                    HeightAt(terrain, x, y + 2) + HeightAt(terrain, x, y - 2)) -
                           height;
      const int index = y * kGridVertices + x;
      out->light[index] = std::clamp(0.50f + 0.72f * std::max(facing, 0.0f) * sunlight -
                                         0.10f * std::clamp(hollow, -1.0f, 2.0f) + 0.012f * height,
                                     0.38f, 1.32f);
      out->steep[index] = std::sqrt(slope2);
    }
  }
}

uint32_t Hash2(int x, int y, uint32_t salt) {
  uint32_t h =
      static_cast<uint32_t>(x) * 0x9E3779B1u ^ static_cast<uint32_t>(y) * 0x85EBCA77u ^ salt;
  h = (h ^ h >> 15) * 0x2C1B3C6Du;
  h = (h ^ h >> 12) * 0x297A2D39u;
  return h ^ h >> 15;
}

float Bilinear(const float* grid, int cell_x, int cell_y, float fx, float fy) {
  const float* row = grid + cell_y * kGridVertices + cell_x;
  const float low = row[0] + (row[1] - row[0]) * fx;
  const float high = row[kGridVertices] + (row[kGridVertices + 1] - row[kGridVertices]) * fx;
  return low + (high - low) * fy;
}

// Smooth noise 0..256 with features of `cells` texels.
int PatchNoise(int x, int y, int cells, uint32_t salt) {
  const int cx = x / cells, cy = y / cells;
  const int fx = x % cells, fy = y % cells;
  const auto at = [&](int i, int j) { return static_cast<int>(Hash2(cx + i, cy + j, salt) & 255); };
  const int low = at(0, 0) * (cells - fx) + at(1, 0) * fx;
  const int high = at(0, 1) * (cells - fx) + at(1, 1) * fx;
  return (low * (cells - fy) + high * fy) / (cells * cells);
}

uint32_t Scale(uint32_t colour, float light) {
  const auto part = [&](int shift) {
    const float value = static_cast<float>(colour >> shift & 255) * light;
    return static_cast<uint32_t>(std::clamp(value, 0.0f, 255.0f)) << shift;
  };
  return part(0) | part(8) | part(16);
}

// One row of texels.
void PaintRow(const Terrain& terrain, const Scenery& scenery, const Lights& lights, int side, int y,
              uint32_t salt, uint32_t* out) {
  const int cells = side / kMapTexelsPerMetre;
  for (int x = 0; x < side; ++x) {
    const int cell_x = x >> 1, cell_y = y >> 1;
    const float fx = (x & 1) ? 0.75f : 0.25f;
    const float fy = (y & 1) ? 0.75f : 0.25f;
    const uint32_t noise = Hash2(x, y, salt);
    // Borders between materials wander by a texel.
    const int from_x = std::clamp(
        (x + static_cast<int>(noise & 1) - static_cast<int>(noise >> 1 & 1)) >> 1, 0, cells - 1);
    const int from_y =
        std::clamp((y + static_cast<int>(noise >> 2 & 1) - static_cast<int>(noise >> 3 & 1)) >> 1,
                   0, cells - 1);
    uint32_t material = std::min<uint32_t>(terrain.ground[from_y * kGridCells + from_x],
                                           static_cast<uint32_t>(Ground::kCount) - 1);
    const bool water = material == static_cast<uint32_t>(Ground::kWater);
    float light = Bilinear(lights.light, cell_x, cell_y, fx, fy);
    const float steep = Bilinear(lights.steep, cell_x, cell_y, fx, fy);
    uint32_t colour = MixColour(scenery.ground[material], scenery.ground_alt[material],
                                static_cast<uint32_t>(PatchNoise(x, y, 12, salt)));
    if (!water && steep > kSteep * 0.75f) {
      const float part = std::clamp((steep - kSteep * 0.75f) * 2.2f, 0.0f, 1.0f);
      colour = MixColour(colour, scenery.cliff, static_cast<uint32_t>(part * 256.0f));
      if (part > 0.5f) material = kCliffMaterial;
    }
    if (terrain.obstacle[cell_y * kGridCells + cell_x] != 0) light *= 0.72f;
    light *= 0.955f + static_cast<float>(noise >> 8 & 255) * (0.09f / 255.0f);
    out[x] = Scale(colour, water ? 0.75f + 0.25f * light : light) | material << 24;
  }
}

int CellsOf(float size) { return std::clamp(static_cast<int>(size), 1, kGridCells); }

void CollectObstacles(const Terrain& terrain, int cells, int tier, uint32_t salt, TerrainMap* map) {
  map->obstacles.clear();
  map->obstacle_x.clear();
  map->obstacle_y.clear();
  for (int y = 0; y < cells; ++y) {
    for (int x = 0; x < cells; ++x) {
      const int index = y * kGridCells + x;
      if (terrain.obstacle[index] == 0) continue;
      const uint32_t noise = Hash2(x, y, salt ^ 0x51u);
      MapObstacle thing;
      thing.z = Bilinear(terrain.height, x, y, 0.5f, 0.5f);
      thing.height = 0.25f * static_cast<float>(terrain.obstacle[index]);
      thing.sprite =
          ObstacleSprite(static_cast<Ground>(terrain.ground[index]), thing.height, tier, noise);
      thing.flip = static_cast<uint8_t>(noise >> 16 & 1);
      map->obstacles.push_back(thing);
      map->obstacle_x.push_back(static_cast<float>(x) + 0.5f);
      map->obstacle_y.push_back(static_cast<float>(y) + 0.5f);
    }
  }
}

}  // namespace

void RenderScratch::Reserve(float size) {
  const auto cells = static_cast<size_t>(CellsOf(size));
  map.colour.reserve(static_cast<size_t>(kMapTexels) * kMapTexels);
  map.obstacles.reserve(cells * cells);
  map.obstacle_x.reserve(cells * cells);
  map.obstacle_y.reserve(cells * cells);
}

const Scenery& SceneryOf(int tier) { return kSceneries[std::clamp(tier, 1, 3) - 1]; }

void UpdateTerrainMap(const World& world, const Level& level, TerrainMap* map) {
  const Terrain& terrain = *level.terrain;
  const LevelSpec& spec = level.spec;
  if (map->ready && map->seed == terrain.seed && map->size == terrain.size &&
      map->relief == spec.relief && map->obstacle_rate == spec.obstacles &&
      map->ledges == spec.ledges && map->tier == world.tier) {
    return;
  }
  map->ready = true;
  map->seed = terrain.seed;
  map->size = terrain.size;
  map->relief = spec.relief;
  map->obstacle_rate = spec.obstacles;
  map->ledges = spec.ledges;
  map->tier = world.tier;
  const Scenery& scenery = SceneryOf(world.tier);
  const uint32_t salt = static_cast<uint32_t>(Mix64(terrain.seed));
  const int cells = CellsOf(terrain.size);
  const int side = cells * kMapTexelsPerMetre;
  map->colour.assign(static_cast<size_t>(kMapTexels) * kMapTexels,
                     scenery.beyond | kBeyondMaterial << 24);
  map->highest = *std::max_element(terrain.height, terrain.height + kGridVertices * kGridVertices);
  Lights lights;
  LightVertices(terrain, cells + 1, &lights);
  for (int y = 0; y < side; ++y) {
    PaintRow(terrain, scenery, lights, side, y, salt, map->colour.data() + y * kMapTexels);
  }
  CollectObstacles(terrain, cells, world.tier, salt, map);
}

}  // namespace metabonk::arena
