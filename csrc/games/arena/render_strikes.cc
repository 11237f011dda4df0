// Marks that lie on the ground or hang in the air for a moment: rings, slashes, lightning.
#include <algorithm>
#include <cstdlib>

#include "games/arena/render_items.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

constexpr float kTurn = 6.2831853f;

// A dot of about `metres` on the ground at (x, y).
void Dot(const Camera& camera, const Terrain& terrain, const Canvas& canvas, float x, float y,
         float metres, uint32_t colour, uint32_t alpha) {
  const float z = camera.plain ? 0.0f : GroundHeight(terrain, x, y) + 0.05f;
  float depth, sx, sy;
  if (!ProjectPoint(camera, x, y, z, &depth, &sx, &sy) || depth > kFarDepth) return;
  if (sx < -8.0f || sy < -8.0f || sx > static_cast<float>(canvas.width) + 8.0f ||
      sy > static_cast<float>(canvas.height) + 8.0f) {
    return;
  }
  const float scale = camera.focal / depth;
  const int wide = std::max(1, static_cast<int>(metres * scale));
  const int tall = std::max(1, static_cast<int>(0.6f * metres * scale));
  const int px = static_cast<int>(sx) - wide / 2, py = static_cast<int>(sy) - tall / 2;
  if (canvas.depth && px >= 0 && py >= 0 && px < canvas.width && py < canvas.height &&
      canvas.depth[py * canvas.stride + px] + 2 * kDepthUnits <
          static_cast<int>(depth * kDepthUnits)) {
    return;
  }
  Blend(canvas, {px, py, px + wide, py + tall}, colour, alpha);
}

void Zigzag(const Canvas& canvas, int x0, int y0, int x1, int y1, int thick, uint32_t colour) {
  const int steps = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
  if (steps > 4 * canvas.width) return;
  const int swing = std::max(1, steps / 12);
  for (int i = 0; i <= steps; ++i) {
    const int wave = (i * 6 / steps & 1) ? swing : -swing;
    const int x = x0 + (x1 - x0) * i / steps + wave, y = y0 + (y1 - y0) * i / steps - wave;
    Fill(canvas, {x, y, x + thick, y + thick}, colour);
  }
}

}  // namespace

void DrawRing(const Camera& camera, const Terrain& terrain, const Canvas& canvas, float x, float y,
              float radius, uint32_t colour, uint32_t alpha) {
  const int dots = camera.plain ? 32 : 220;
  float sine, cosine;
  SinCos(kTurn / static_cast<float>(dots), &sine, &cosine);
  float dx = radius, dy = 0.0f;
  for (int i = 0; i < dots; ++i) {
    Dot(camera, terrain, canvas, x + dx, y + dy, 0.14f, colour, alpha);
    const float turned = dx * cosine - dy * sine;
    dy = dx * sine + dy * cosine;
    dx = turned;
  }
}

void DrawArc(const Camera& camera, const Terrain& terrain, const Canvas& canvas,
             const Player& player, float reach, float half_angle, uint32_t colour, float progress) {
  const int dots = camera.plain ? 20 : 90;
  const int bands = camera.plain ? 2 : 6;
  const int shown = static_cast<int>(static_cast<float>(dots) * std::min(1.0f, 0.4f + progress));
  for (int i = 0; i < shown; ++i) {
    const float t = static_cast<float>(i) / static_cast<float>(dots - 1);
    float sine, cosine;
    SinCos(player.yaw + half_angle * (2.0f * t - 1.0f), &sine, &cosine);
    for (int band = 0; band < bands; ++band) {
      const float r = reach * (1.0f - 0.05f * static_cast<float>(band));
      const uint32_t alpha =
          static_cast<uint32_t>(static_cast<float>(200 - 28 * band) * (0.3f + 0.7f * t));
      Dot(camera, terrain, canvas, player.x + cosine * r, player.y + sine * r, 0.16f, colour,
          camera.plain ? 256 : alpha);
    }
  }
}

void DrawChain(const World& world, const Camera& camera, const Canvas& canvas, float reach,
               int jumps, uint32_t colour) {
  const Enemies& enemies = world.enemies;
  float depth, sx, sy;
  const float lift = 1.0f;
  const float from_z = camera.plain ? lift : world.player.z + lift;
  if (!ProjectPoint(camera, world.player.x, world.player.y, from_z, &depth, &sx, &sy)) return;
  for (int i = 0; i < enemies.count && jumps > 0; ++i) {
    const float dx = enemies.x[i] - world.player.x, dy = enemies.y[i] - world.player.y;
    if (enemies.flash[i] == 0 || dx * dx + dy * dy > reach * reach) continue;
    float to_x, to_y;
    const float to_z = camera.plain ? 0.5f : enemies.z[i] + 0.5f;
    if (!ProjectPoint(camera, enemies.x[i], enemies.y[i], to_z, &depth, &to_x, &to_y)) continue;
    const int thick = canvas.depth ? 2 : 1;
    Zigzag(canvas, static_cast<int>(sx), static_cast<int>(sy), static_cast<int>(to_x),
           static_cast<int>(to_y), thick, colour);
    sx = to_x;
    sy = to_y;
    --jumps;
  }
}

}  // namespace metabonk::arena
