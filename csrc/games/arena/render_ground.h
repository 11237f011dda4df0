// The ground and the sky of a frame.
#pragma once

#include <cstdint>

#include "games/arena/render_camera.h"
#include "games/arena/view.h"

namespace metabonk::arena {

// What a tier looks like; colours are R | G << 8 | B << 16.
struct Scenery {
  uint32_t zenith, haze;                                  // the sky, top and at the horizon
  uint32_t ridge_far, ridge_near;                         // hills beyond the map
  uint32_t beyond;                                        // the plane beyond the map's edge
  uint32_t ground[static_cast<int>(Ground::kCount)];      // by material
  uint32_t ground_alt[static_cast<int>(Ground::kCount)];  // its second tone
  uint32_t cliff;
};

const Scenery& SceneryOf(int tier);

// The material in a map texel's top byte: a Ground, or one of these.
inline constexpr uint32_t kCliffMaterial = 5;
inline constexpr uint32_t kBeyondMaterial = 6;
inline constexpr int kMaterials = 7;

// Makes the map fit the level's terrain and the world's tier, if it does not yet.
void UpdateTerrainMap(const World& world, const Level& level, TerrainMap* map);

// Fill the whole frame. Depth is in 1/64 metre, one entry per pixel with the same stride.
void DrawPlainGround(const Camera& camera, const TerrainMap& map, int height, int width, int stride,
                     uint32_t* pixels);
void DrawHeightField(const Camera& camera, const Terrain& terrain, const TerrainMap& map,
                     uint64_t tick, int height, int width, int stride, uint32_t* pixels,
                     uint16_t* depth);

// The sky down to `rows`, with the hills that stand beyond the map if `ridges`.
void DrawSky(const Camera& camera, const Scenery& scenery, int rows, int width, int stride,
             bool ridges, uint32_t* pixels);

}  // namespace metabonk::arena
