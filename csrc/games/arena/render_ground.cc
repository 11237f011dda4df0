// The ground of plain frames and the sky of all.
#include "games/arena/render_ground.h"

#include <algorithm>
#include <cmath>

#include "games/arena/colour.h"
#include "games/arena/render_kernels.h"

namespace metabonk::arena {

namespace {

// Height 0..1 of hills at the horizon in a direction given by a whole turn of 1024 steps.
float Ridge(float turn, int wave_length, uint32_t salt) {
  const int position = static_cast<int>(std::floor(turn * 16.0f)) & 16383;
  const int span = wave_length * 16;
  const int cell = position / span;
  const float t = static_cast<float>(position % span) / static_cast<float>(span);
  const auto at = [&](int i) {
    uint32_t h = static_cast<uint32_t>(i % (16384 / span)) * 0x9E3779B1u ^ salt;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    return static_cast<float>(h >> 24) * (1.0f / 255.0f);
  };
  const float smooth = t * t * (3.0f - 2.0f * t);
  return at(cell) + (at(cell + 1) - at(cell)) * smooth;
}

// Direction of (x, y) in 1024ths of a turn. Diamond angle: monotone, without an arc tangent.
float TurnOf(float x, float y) {
  const float sum = std::fabs(x) + std::fabs(y);
  const float part = sum > 0.0f ? y / sum : 0.0f;
  const float quarter = x >= 0.0f ? part : 2.0f - part;
  return 256.0f * (quarter < 0.0f ? quarter + 4.0f : quarter);
}

// They stand on the row where the ground ends in fog, not on the horizon a little above it.
void DrawRidges(const Camera& camera, const Scenery& scenery, int rows, int width, int stride,
                uint32_t* pixels) {
  const float foot = static_cast<float>(rows);
  for (int i = 0; i < width; ++i) {
    const float side = (static_cast<float>(i) + 0.5f - camera.center_x) / camera.focal;
    const float turn =
        TurnOf(camera.forward_x + camera.right_x * side, camera.forward_y + camera.right_y * side);
    const float far =
        0.6f * Ridge(turn, 32, 7) + 0.3f * Ridge(turn, 8, 11) + 0.1f * Ridge(turn, 2, 3);
    const float near = 0.7f * Ridge(turn, 64, 5) + 0.3f * Ridge(turn, 8, 13);
    const int far_top = static_cast<int>(foot - camera.focal * (0.03f + 0.095f * far));
    const int near_top = static_cast<int>(foot - camera.focal * (0.01f + 0.05f * near));
    for (int y = std::max(0, std::min(far_top, near_top)); y < rows; ++y) {
      const uint32_t ridge = y >= near_top ? scenery.ridge_near : scenery.ridge_far;
      const float low = (static_cast<float>(y) - foot) / (0.075f * camera.focal) + 1.0f;
      const uint32_t mist = static_cast<uint32_t>(std::clamp(low, 0.0f, 1.0f) * 256.0f);
      pixels[y * stride + i] = MixColour(ridge, scenery.haze, mist);
    }
  }
}

}  // namespace

void DrawSky(const Camera& camera, const Scenery& scenery, int rows, int width, int stride,
             bool ridges, uint32_t* pixels) {
  const float reach = std::max(1.0f, 0.45f * camera.focal);
  for (int y = 0; y < rows; ++y) {
    const float t = 1.0f - static_cast<float>(rows - y) / reach;
    const uint32_t part = static_cast<uint32_t>(std::clamp(t, 0.0f, 1.0f) * 256.0f);
    std::fill_n(pixels + y * stride, width, MixColour(scenery.zenith, scenery.haze, part));
  }
  if (ridges) DrawRidges(camera, scenery, rows, width, stride, pixels);
}

void DrawPlainGround(const Camera& camera, const TerrainMap& map, int height, int width, int stride,
                     uint32_t* pixels) {
  const Scenery& scenery = SceneryOf(map.tier);
  const float first = camera.horizon + camera.focal * camera.eye_z / kFarDepth;
  const int sky = std::clamp(static_cast<int>(std::ceil(first - 0.5f)), 0, height);
  DrawSky(camera, scenery, sky, width, stride, false, pixels);
  const auto fixed = [](float metres) { return static_cast<int32_t>(metres * 65536.0f); };
  const RenderKernels& kernels = ActiveRenderKernels();
  for (int y = sky; y < height; ++y) {
    const float depth =
        camera.focal * camera.eye_z / (static_cast<float>(y) + 0.5f - camera.horizon);
    const float step = depth / camera.focal;
    const float left = (0.5f - camera.center_x) * step;
    GroundRow row;
    row.u = fixed(camera.eye_x + camera.forward_x * depth + camera.right_x * left);
    row.v = fixed(camera.eye_y + camera.forward_y * depth + camera.right_y * left);
    row.du = fixed(camera.right_x * step);
    row.dv = fixed(camera.right_y * step);
    row.outside = scenery.beyond;
    row.fog_colour = scenery.haze;
    row.fog = FogAt(depth);
    kernels.ground_row(pixels + y * stride, width, map.colour.data(), row);
  }
}

}  // namespace metabonk::arena
