// The eye behind and above the player, and where points land on the screen. Vertical lines stay
// vertical (the picture plane is upright, the horizon is shifted up), so a column of the screen is
// a straight line over the ground.
#pragma once

#include "games/arena/rules.h"
#include "games/arena/state.h"

namespace metabonk::arena {

inline constexpr float kNearDepth = 1.5f;  // metres; nothing nearer is drawn
inline constexpr float kFarDepth = 72.0f;  // metres; everything farther is fog
inline constexpr float kFogDepth = 26.0f;  // metres from which fog begins

struct Camera {
  float eye_x, eye_y, eye_z;
  float forward_x, forward_y;
  float right_x, right_y;
  float focal;     // pixels
  float center_x;  // pixels
  float horizon;   // pixels from the top; above the frame when looking steeply down
  float distance;  // metres from the eye to the player along the ground
  bool plain;      // the ground is the plane z = 0 and heights are above the ground
};

bool IsPlainFrame(int height, int width);
Camera MakeCamera(const World& world, const Level& level, int height, int width);

// Depth along the view and position on the screen; false where it is nearer than kNearDepth.
inline bool ProjectPoint(const Camera& camera, float x, float y, float z, float* depth,
                         float* screen_x, float* screen_y) {
  const float dx = x - camera.eye_x;
  const float dy = y - camera.eye_y;
  *depth = dx * camera.forward_x + dy * camera.forward_y;
  if (!(*depth >= kNearDepth)) return false;
  const float scale = camera.focal / *depth;
  *screen_x = camera.center_x + (dx * camera.right_x + dy * camera.right_y) * scale;
  *screen_y = camera.horizon + (camera.eye_z - z) * scale;
  return true;
}

// Parts of 256 that fog takes at this depth.
inline uint32_t FogAt(float depth) {
  const float t = (depth - kFogDepth) * (256.0f / (kFarDepth - kFogDepth));
  return t <= 0.0f ? 0u : t >= 256.0f ? 256u : static_cast<uint32_t>(t);
}

}  // namespace metabonk::arena
