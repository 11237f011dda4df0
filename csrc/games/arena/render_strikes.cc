// Marks that lie on the ground or hang in the air for a moment: rings, slashes, lightning.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "games/arena/arsenal.h"
#include "games/arena/colour.h"
#include "games/arena/render_items.h"
#include "games/arena/shots.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

constexpr float kTurn = 6.2831853f;
constexpr float kMarkLife = 0.2f;  // seconds that marks last, at most

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
  if (camera.plain) {
    const int at_x = static_cast<int>(sx), at_y = static_cast<int>(sy);
    if (at_x < 0 || at_y < 0 || at_x >= canvas.width || at_y >= canvas.height) return;
    uint32_t* pixel = canvas.pixels + at_y * canvas.stride + at_x;
    *pixel = MixColour(*pixel, colour, alpha);
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

void DrawRing(const Camera& camera, const Terrain& terrain, const Canvas& canvas, float x, float y,
              float radius, uint32_t colour, uint32_t alpha) {
  const int dots = camera.plain ? 40 : 220;
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

// A slash from the player towards (to_x, to_y), `half_angle` to both sides.
void DrawSlash(const Camera& camera, const Terrain& terrain, const Canvas& canvas,
               const Player& player, float to_x, float to_y, float reach, float half_angle,
               uint32_t colour, float progress) {
  const int dots = camera.plain ? 20 : 100;
  const int bands = camera.plain ? 2 : 7;
  const float dx = to_x - player.x, dy = to_y - player.y;
  const float length = std::max(std::sqrt(dx * dx + dy * dy), 0.01f);
  const int shown = static_cast<int>(static_cast<float>(dots) * std::min(1.0f, 0.4f + progress));
  for (int i = 0; i < shown; ++i) {
    const float t = static_cast<float>(i) / static_cast<float>(dots - 1);
    float sine, cosine;
    SinCos(half_angle * (2.0f * t - 1.0f), &sine, &cosine);
    const float turned_x = (dx * cosine - dy * sine) / length;
    const float turned_y = (dx * sine + dy * cosine) / length;
    for (int band = 0; band < bands; ++band) {
      const float r = reach * (1.0f - 0.05f * static_cast<float>(band));
      const uint32_t alpha =
          camera.plain
              ? 256u
              : static_cast<uint32_t>(static_cast<float>(210 - 26 * band) * (0.3f + 0.7f * t));
      Dot(camera, terrain, canvas, player.x + turned_x * r, player.y + turned_y * r, 0.16f, colour,
          alpha);
    }
  }
}

// Lightning from where the last one of the chain struck, or from the player.
struct Chain {
  bool begun = false;
  float x = 0, y = 0;

  void Continue(const Camera& camera, const Canvas& canvas, const Player& player, float to_x,
                float to_y, float to_z, uint32_t colour) {
    float depth, sx, sy;
    if (!begun) {
      const float z = camera.plain ? 0.9f : player.z + 0.9f;
      if (!ProjectPoint(camera, player.x, player.y, z, &depth, &x, &y)) return;
    }
    if (!ProjectPoint(camera, to_x, to_y, camera.plain ? 0.5f : to_z, &depth, &sx, &sy)) return;
    Zigzag(canvas, static_cast<int>(x), static_cast<int>(y), static_cast<int>(sx),
           static_cast<int>(sy), canvas.depth ? 2 : 1, colour);
    begun = true;
    x = sx;
    y = sy;
  }
};

}  // namespace

void DrawStrikes(const World& world, const Terrain& terrain, const Camera& camera,
                 const Canvas& canvas) {
  const Player& player = world.player;
  const Shots& shots = world.shots;
  const auto ring = [&](float x, float y, float radius, uint32_t colour, uint32_t alpha) {
    DrawRing(camera, terrain, canvas, x, y, radius, colour, alpha);
  };
  Chain chain;
  for (int i = 0; i < shots.count; ++i) {
    if (shots.state[i] != kShotMark) continue;
    const WeaponDef& def = kWeaponDefs[std::min<int>(shots.weapon[i], kWeaponCount - 1)];
    const uint32_t colour = Rgb(def.color[0], def.color[1], def.color[2]);
    const float x = shots.x[i], y = shots.y[i], radius = shots.radius[i];
    const float progress = std::clamp(1.0f - shots.life[i] / kMarkLife, 0.0f, 1.0f);
    switch (def.pattern) {
      case Pattern::kArc:
        DrawSlash(camera, terrain, canvas, player, x, y, radius / 0.6f, def.spread, colour,
                  progress);
        break;
      case Pattern::kChain:
        chain.Continue(camera, canvas, player, x, y, shots.z[i], colour);
        break;
      case Pattern::kAura:
        ring(x, y, radius, colour, 220);
        break;
      default:  // novas and bursts grow
        ring(x, y, radius * (0.35f + 0.65f * progress), colour, 230);
        if (!camera.plain) ring(x, y, radius * (0.2f + 0.6f * progress), Rgb(255, 240, 200), 150);
        break;
    }
  }
  for (const Slot& slot : player.weapons) {
    if (slot.kind == 0 || slot.kind > kWeaponCount) continue;
    const WeaponDef& def = kWeaponDefs[slot.kind - 1];
    if (def.pattern != Pattern::kAura) continue;
    const float reach =
        NumbersOf(def, std::max<int>(slot.level, 1)).reach * StatOf(player, Stat::kArea);
    ring(player.x, player.y, reach, Rgb(def.color[0], def.color[1], def.color[2]), 90);
  }
}

}  // namespace metabonk::arena
