// Puts a frame together: ground, things, lens, screens, and packs it into bytes.
#include <algorithm>
#include <cstring>

#include "games/arena/canvas.h"
#include "games/arena/colour.h"
#include "games/arena/content.h"
#include "games/arena/hud.h"
#include "games/arena/render_camera.h"
#include "games/arena/render_ground.h"
#include "games/arena/render_kernels.h"
#include "games/arena/render_scene.h"
#include "games/arena/view.h"

namespace metabonk::arena {

namespace {

constexpr int kRowStep = 16;  // rows start at multiples of so many pixels
constexpr int kMaxPlainRows = kPlainFramePixels / kMinFrameSide;

int PlainStride(int width) { return (width + kRowStep - 1) / kRowStep * kRowStep; }

// An odd number of cache lines, so that the pixels of a column do not share few cache sets.
int DetailedStride(int width) { return (PlainStride(width) / 16 | 1) * 16; }

// Darkens towards the corners; at the edges towards red while the player is hurt.
void DrawVignette(const World& world, const Canvas& canvas) {
  const Player& player = world.player;
  const float most = std::max(StatOf(player, Stat::kMaxHealth), 1.0f);
  const bool low = world.menus.screen == Screen::kPlaying && player.health < 0.25f * most &&
                   player.health > 0.0f;
  const int pulse = low ? static_cast<int>(world.total_ticks & 31) : 0;
  const bool playing = world.menus.screen == Screen::kPlaying;
  const float fresh = std::clamp(player.invulnerable / kBody.invulnerable, 0.0f, 1.0f);
  uint32_t red = playing ? static_cast<uint32_t>(90.0f * fresh) : 0;
  if (low) red = std::max(red, static_cast<uint32_t>(48 + 2 * std::min(pulse, 32 - pulse)));
  const int cx = canvas.width / 2, cy = canvas.height / 2;
  const int reach2 = cx * cx + cy * cy;
  const uint32_t tone = red ? Rgb(150, 12, 24) : Rgb(10, 10, 30);
  const int64_t strength = (red ? 90 + red : 96) * 65536ll / reach2;
  for (int y = 0; y < canvas.height; ++y) {
    uint32_t* row = canvas.pixels + y * canvas.stride;
    const int dy2 = (y - cy) * (y - cy);
    for (int x = 0; x < canvas.width; ++x) {
      const int r2 = (x - cx) * (x - cx) + dy2;
      const int over = 2 * r2 - reach2;  // starts at 0.7 of the way to the corner
      if (over <= 0) continue;
      const uint32_t part = static_cast<uint32_t>(over * strength >> 16);
      row[x] = MixColour(row[x], tone, std::min(part, 220u));
    }
  }
}

void Pack(const Canvas& canvas, uint8_t* rgb) {
  const RenderKernels& kernels = ActiveRenderKernels();
  for (int y = 0; y < canvas.height; ++y) {
    kernels.pack(canvas.pixels + y * canvas.stride, rgb + static_cast<size_t>(y) * 3 * canvas.width,
                 canvas.width);
  }
}

void RenderPlain(const World& world, const Level& level, int height, int width, uint8_t* rgb,
                 const TerrainMap& map) {
  // On the stack, where the last frame left it in the cache.
  alignas(64) uint32_t buffer[kPlainFramePixels + kRowStep * kMaxPlainRows + 2 * kFrameMargin];
  uint32_t* const pixels = buffer + kFrameMargin;
  const Canvas canvas{pixels, nullptr, width, height, PlainStride(width)};
  const Camera camera = MakeCamera(world, level, height, width);
  DrawPlainGround(camera, map, height, width, canvas.stride, pixels);
  DrawScene(world, level, camera, map, canvas);
  DrawScreen(world, level, canvas);
  Pack(canvas, rgb);
}

void RenderDetailed(const World& world, const Level& level, int height, int width, uint8_t* rgb,
                    RenderScratch& scratch) {
  const int stride = DetailedStride(width);
  const size_t count = static_cast<size_t>(stride) * static_cast<size_t>(height);
  if (scratch.pixels.size() < count) {
    scratch.pixels.resize(count);
    scratch.depth.resize(count);
  }
  const Canvas canvas{scratch.pixels.data(), scratch.depth.data(), width, height, stride};
  const Camera camera = MakeCamera(world, level, height, width);
  DrawHeightField(camera, *level.terrain, scratch.map, world.tick, height, width, stride,
                  canvas.pixels, canvas.depth);
  DrawScene(world, level, camera, scratch.map, canvas);
  DrawVignette(world, canvas);
  DrawScreen(world, level, canvas);
  Pack(canvas, rgb);
}

}  // namespace

Status CheckFrame(int height, int width) {
  if (height < kMinFrameSide || height > kMaxFrameSide) {
    return {Code::kOutOfRange, "height", "must be within 8..1920 pixels"};
  }
  if (width < kMinFrameSide || width > kMaxFrameSide) {
    return {Code::kOutOfRange, "width", "must be within 8..1920 pixels"};
  }
  return Status::Ok();
}

void Render(const World& world, const Level& level, int height, int width, uint8_t* rgb,
            RenderScratch& scratch) {
  UpdateTerrainMap(world, level, &scratch.map);
  if (IsPlainFrame(height, width)) {
    RenderPlain(world, level, height, width, rgb, scratch.map);
  } else {
    RenderDetailed(world, level, height, width, rgb, scratch);
  }
}

bool ProjectToFrame(const World& world, const Level& level, int height, int width, float x, float y,
                    float z, float* screen_x, float* screen_y) {
  const Camera camera = MakeCamera(world, level, height, width);
  const float base = camera.plain ? z - GroundHeight(*level.terrain, x, y) : z;
  float depth;
  return ProjectPoint(camera, x, y, base, &depth, screen_x, screen_y);
}

}  // namespace metabonk::arena
