// The ground of detailed frames: each column of the screen marches outwards over the height field
// and paints what rises above what it has seen (the "voxel space" scheme of late-eighties flight
// games), here with per-pixel texture, cliffs, fog and a depth buffer.
#include <algorithm>
#include <array>
#include <cmath>

#include "games/arena/colour.h"
#include "games/arena/render_ground.h"

namespace metabonk::arena {

namespace {

constexpr int kMaxSteps = 1024;
constexpr int kDetail = 64;             // side of a material's texture, at 1/16 metre
constexpr float kBeyondHeight = -3.0f;  // of the plane beyond the map

struct Step {
  float depth;
  float scale;    // focal / depth
  uint32_t fog;   // 0..256
  int texture;    // 0..32: fades with distance before it would shimmer
  uint16_t code;  // depth in 1/64 metre
};

struct March {
  Step steps[kMaxSteps];
  int count;
};

using DetailTable = std::array<std::array<uint8_t, kDetail * kDetail>, kMaterials>;

uint32_t Noise(int x, int y, uint32_t salt) {
  uint32_t h = static_cast<uint32_t>(x & (kDetail - 1)) * 0x9E3779B1u ^
               static_cast<uint32_t>(y & (kDetail - 1)) * 0x85EBCA77u ^ salt * 0xC2B2AE3Du;
  h = (h ^ h >> 15) * 0x2C1B3C6Du;
  h = (h ^ h >> 12) * 0x297A2D39u;
  return h >> 24;
}

int Triangle(int position, int period) {  // 0..period/2
  const int t = position & (period - 1);
  return t < period / 2 ? t : period - t;
}

// Brightness of one texel, 128 is neutral.
int DetailTexel(uint32_t material, int x, int y) {
  const int fine = static_cast<int>(Noise(x, y, material + 1));
  const int coarse = static_cast<int>(Noise(x >> 2, y >> 2, material + 17));
  int shade = 128;
  switch (material) {
    case static_cast<uint32_t>(Ground::kGrass): {
      shade += (fine - 128) / 12 + (coarse - 128) / 14;
      const bool tuft = Noise(x, y >> 2, 41) > 232;  // short upright strokes
      if (tuft) shade += 10 + 6 * (y & 3) - (Noise(x >> 2, y >> 2, 43) > 128 ? 34 : 0);
      break;
    }
    case static_cast<uint32_t>(Ground::kSand):
      shade += (fine - 128) / 22 + 2 * Triangle(y + Triangle(x, 32) / 2, 16) - 8;
      break;
    case static_cast<uint32_t>(Ground::kRock):
      shade += (fine - 128) / 14 + (coarse - 128) / 7;
      if (Noise(x >> 1, y >> 3, 47) > 240) shade -= 22;
      break;
    case static_cast<uint32_t>(Ground::kSnow):
      shade += (fine - 128) / 32 + (coarse - 128) / 24 + (fine > 252 ? 18 : 0);
      break;
    case static_cast<uint32_t>(Ground::kWater):
      shade += 2 * Triangle(y + 2 * Triangle(x, 16), 32) - 16 + (coarse > 236 ? 16 : 0);
      break;
    case kCliffMaterial:
      shade += (fine - 128) / 14 + (coarse - 128) / 8;
      break;
    default:
      break;
  }
  return std::clamp(shade, 60, 196);
}

const DetailTable& Details() {
  static const DetailTable table = [] {
    DetailTable made;
    for (uint32_t m = 0; m < kMaterials; ++m) {
      for (int i = 0; i < kDetail * kDetail; ++i) {
        made[m][static_cast<size_t>(i)] =
            static_cast<uint8_t>(DetailTexel(m, i % kDetail, i / kDetail));
      }
    }
    return made;
  }();
  return table;
}

// Depths at which columns sample: about one per pixel of flat ground, closer than the grid's cells.
void PlanMarch(const Camera& camera, float highest, int height, March* march) {
  const float bottom = std::max(static_cast<float>(height) - camera.horizon, 1.0f);
  const float rows = camera.focal * 9.0f;
  // No ground nearer than this can rise into the frame.
  float depth = std::max(kNearDepth, camera.focal * (camera.eye_z - highest) / bottom);
  march->count = 0;
  while (depth < kFarDepth && march->count < kMaxSteps) {
    Step& step = march->steps[march->count++];
    step.depth = depth;
    step.scale = camera.focal / depth;
    step.fog = FogAt(depth);
    step.texture = std::clamp(static_cast<int>(48.0f - depth), 0, 32);
    step.code = static_cast<uint16_t>(depth * 64.0f);
    depth += std::clamp(depth * depth / rows, 0.09f, 0.5f);
  }
}

// Three channels in sixteen bits each, so that one multiplication scales all of them.
constexpr uint64_t kChannels = 0x00FF00FF00FFull;

uint64_t Spread(uint32_t colour) {
  return (colour & 0xFFu) | static_cast<uint64_t>(colour & 0xFF00u) << 8 |
         static_cast<uint64_t>(colour & 0xFF0000u) << 16;
}

uint32_t Gather(uint64_t spread) {
  return static_cast<uint32_t>((spread & 0xFFu) | (spread >> 8 & 0xFF00u) |
                               (spread >> 16 & 0xFF0000u));
}

struct Texel {
  uint64_t colour;  // bilinear, spread
  uint32_t material;
};

// (x, y) is on the map.
Texel MapTexel(const TerrainMap& map, float x, float y) {
  const float tx = x * kMapTexelsPerMetre - 0.5f;
  const float ty = y * kMapTexelsPerMetre - 0.5f;
  const int ix = std::min(static_cast<int>(tx), kMapTexels - 2);  // rounds -0.5..0 to 0
  const int iy = std::min(static_cast<int>(ty), kMapTexels - 2);
  const int fx = std::clamp(static_cast<int>((tx - static_cast<float>(ix)) * 256.0f), 0, 256);
  const int fy = std::clamp(static_cast<int>((ty - static_cast<float>(iy)) * 256.0f), 0, 256);
  const uint32_t* row = map.colour.data() + iy * kMapTexels + ix;
  const uint64_t both = static_cast<uint64_t>(fx * fy >> 8);
  const uint64_t right = static_cast<uint64_t>(fx) - both;
  const uint64_t above = static_cast<uint64_t>(fy) - both;
  const uint64_t sum = Spread(row[0]) * (256 - right - above - both) + Spread(row[1]) * right +
                       Spread(row[kMapTexels]) * above + Spread(row[kMapTexels + 1]) * both;
  return {sum >> 8 & kChannels, row[(fy >> 7 & 1) * kMapTexels + (fx >> 7 & 1)] >> 24};
}

// Everything a column needs that does not change along it.
struct Field {
  const Camera& camera;
  const Terrain& terrain;
  const TerrainMap& map;
  const DetailTable& details;
  const March& march;
  float side;                    // of the playable square
  uint64_t haze, beyond, cliff;  // colours of the scenery, spread
  int flow;                      // texels that water has moved
};

bool Inside(const Field& field, float x, float y) {
  return x >= 0.0f && y >= 0.0f && x < field.side && y < field.side;
}

float FieldHeight(const Field& field, float x, float y) {
  const int ix = static_cast<int>(x);
  const int iy = static_cast<int>(y);
  const float fx = x - static_cast<float>(ix);
  const float fy = y - static_cast<float>(iy);
  const float* row = field.terrain.height + iy * kGridVertices + ix;
  const float low = row[0] + (row[1] - row[0]) * fx;
  const float high = row[kGridVertices] + (row[kGridVertices + 1] - row[kGridVertices]) * fx;
  return low + (high - low) * fy;
}

// `edge`: the face of the map's border, seen from outside.
uint32_t PixelColour(const Field& field, float x, float y, float z, const Step& step, bool edge) {
  Texel texel = {field.beyond, kBeyondMaterial};
  if (edge) {
    texel = {field.cliff, kCliffMaterial};
  } else if (Inside(field, x, y)) {
    texel = MapTexel(field.map, x, y);
  }
  int tx = static_cast<int>(x * 16.0f);
  int ty = static_cast<int>(y * 16.0f);
  if (texel.material == static_cast<uint32_t>(Ground::kWater)) ty += field.flow;
  if (texel.material == kCliffMaterial) {  // layers of rock follow the height
    tx += ty;
    ty = static_cast<int>((z + 64.0f) * 12.0f);
  }
  const size_t at = static_cast<size_t>((ty & (kDetail - 1)) * kDetail + (tx & (kDetail - 1)));
  const int detail = field.details[texel.material][at] - 128;
  const uint64_t shade = static_cast<uint64_t>(128 + detail * step.texture / 32);
  uint64_t colour = texel.colour * shade >> 7 & 0x01FF01FF01FFull;
  const uint64_t over = colour & 0x010001000100ull;  // a channel beyond 255 becomes 255
  colour = (colour | (over - (over >> 8))) & kChannels;
  return Gather((colour * (256 - step.fog) + field.haze * step.fog) >> 8 & kChannels);
}

void PaintColumn(const Field& field, int column, int height, int stride, uint32_t* pixels,
                 uint16_t* depth) {
  const Camera& camera = field.camera;
  const float side = (static_cast<float>(column) + 0.5f - camera.center_x) / camera.focal;
  const float ray_x = camera.forward_x + camera.right_x * side;
  const float ray_y = camera.forward_y + camera.right_y * side;
  int top = height;  // rows from here down are painted
  float last_y = static_cast<float>(height);
  float last_depth = field.march.steps[0].depth;
  float last_z = 0.0f;
  bool last_inside = false;
  for (int k = 0; k < field.march.count && top > 0; ++k) {
    const Step& step = field.march.steps[k];
    const float x = camera.eye_x + ray_x * step.depth;
    const float y = camera.eye_y + ray_y * step.depth;
    const bool inside = Inside(field, x, y);
    const float z = inside ? FieldHeight(field, x, y) : kBeyondHeight;
    const float row_y = camera.horizon + (camera.eye_z - z) * step.scale;
    if (row_y < static_cast<float>(top)) {
      const int from = row_y > 0.0f ? static_cast<int>(row_y + 0.5f) : 0;
      const float span = std::max(last_y - row_y, 1e-3f);
      const bool edge = inside && !last_inside && k > 0;
      for (int row = top - 1; row >= from; --row) {
        const float t = std::clamp((static_cast<float>(row) + 0.5f - row_y) / span, 0.0f, 1.0f);
        const float back = t * (step.depth - last_depth);
        pixels[row * stride + column] = PixelColour(field, x - ray_x * back, y - ray_y * back,
                                                    z + (last_z - z) * t, step, edge);
        depth[row * stride + column] = step.code;
      }
      top = std::min(top, from);
    }
    last_y = row_y;
    last_depth = step.depth;
    last_z = z;
    last_inside = inside;
  }
}

}  // namespace

void DrawHeightField(const Camera& camera, const Terrain& terrain, const TerrainMap& map,
                     uint64_t tick, int height, int width, int stride, uint32_t* pixels,
                     uint16_t* depth) {
  const Scenery& scenery = SceneryOf(map.tier);
  const float end = camera.horizon + camera.focal * (camera.eye_z - kBeyondHeight) / kFarDepth;
  const int sky = std::clamp(static_cast<int>(end) + 1, 0, height);
  DrawSky(camera, scenery, sky, width, stride, true, pixels);
  for (int y = sky; y < height; ++y) std::fill_n(pixels + y * stride, width, scenery.haze);
  std::fill_n(depth, height * stride, static_cast<uint16_t>(0xFFFF));
  March march;
  PlanMarch(camera, std::max(map.highest, kBeyondHeight), height, &march);
  const float side = std::min(terrain.size, static_cast<float>(kGridCells)) - 0.001f;
  const Field field{camera,
                    terrain,
                    map,
                    Details(),
                    march,
                    side,
                    Spread(scenery.haze),
                    Spread(scenery.beyond),
                    Spread(scenery.cliff),
                    static_cast<int>(tick / 6 & 1023)};
  for (int i = 0; i < width; ++i) PaintColumn(field, i, height, stride, pixels, depth);
}

}  // namespace metabonk::arena
