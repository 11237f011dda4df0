// The arena as pictures: what a person or a policy sees of a World. Knows how things look; changes
// nothing and knows no rule.
//
// Two levels of detail, chosen by the size of the frame alone:
// - up to kPlainFramePixels (84x84, 96x96, 160x90 ...): the ground is a flat plane textured with a
//   shaded map of the terrain, sprites are precomputed stamps; built for millions of frames;
// - above: a height field with relief, cliffs, fog and texture, sprites with outlines, shadows and
//   depth, text; built for people and recordings.
// Integer and IEEE arithmetic only: the same World gives the same bytes on every CPU tier, thread
// and batch position.
#pragma once

#include <cstdint>
#include <vector>

#include "games/arena/rules.h"
#include "games/arena/state.h"
#include "metabonk/status.h"

namespace metabonk::arena {

inline constexpr int kMinFrameSide = 8;
inline constexpr int kMaxFrameSide = 1920;
inline constexpr int kPlainFramePixels = 128 * 128;
inline constexpr int kMapTexelsPerMetre = 2;
inline constexpr int kMapTexels = kGridCells * kMapTexelsPerMetre;

// An obstacle as the view draws it.
struct MapObstacle {
  float z;  // of its foot
  float height;
  uint8_t sprite;
  uint8_t flip;
};

// What the view derives from the terrain, kept until the terrain changes.
struct TerrainMap {
  bool ready = false;
  uint64_t seed = 0;
  float size = 0, relief = 0, obstacle_rate = 0, ledges = 0;
  int tier = 0;
  float highest = 0;  // ground, metres
  // [kMapTexels, kMapTexels], row y: R | G << 8 | B << 16 | material << 24
  std::vector<uint32_t> colour;
  std::vector<float> obstacle_x, obstacle_y;  // the middle of each obstacle
  std::vector<MapObstacle> obstacles;
};

// What Render keeps between frames: the map of the terrain and the pixels of large frames. One per
// environment; allocates on the first frame and on a larger one, and on a new terrain only where
// Reserve was not called for its size.
struct RenderScratch {
  TerrainMap map;
  std::vector<uint32_t> pixels;
  std::vector<uint16_t> depth;
  void Reserve(float size);                    // room for any terrain of that side, in metres
  void ForgetTerrain() { map.ready = false; }  // after changing a Terrain in place
};

// Whether a frame can be rendered.
Status CheckFrame(int height, int width);

// Draws the world as its player sees it: rgb is row-major from the top left, [height, width, 3].
// Height and width are within [kMinFrameSide, kMaxFrameSide].
void Render(const World& world, const Level& level, int height, int width, uint8_t* rgb,
            RenderScratch& scratch);

// Where a point of the world lands in such a frame, in pixels; false where it is behind the eye.
bool ProjectToFrame(const World& world, const Level& level, int height, int width, float x, float y,
                    float z, float* screen_x, float* screen_y);

}  // namespace metabonk::arena
