#include "games/arena/render_camera.h"

#include <algorithm>

#include "games/arena/view.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

constexpr float kBehind = 12.0f;    // metres behind the player
constexpr float kAbove = 9.0f;      // metres above the player's feet at pitch 0
constexpr float kFocal = 0.85f;     // of the frame's height
constexpr float kFeetAt = 0.73f;    // of the frame's height from the top
constexpr float kPitchLift = 9.0f;  // metres that one radian of looking down lifts the eye
constexpr float kClearance = 0.6f;  // metres between the line of sight and the ground

// How high the eye must be for the ground between it and the player not to hide the player.
float ClearEye(const Terrain& terrain, const Camera& camera, const Player& player) {
  constexpr int kProbes = 8;
  float eye = camera.eye_z;
  for (int i = 1; i <= kProbes; ++i) {
    const float t = static_cast<float>(i) / (kProbes + 1);  // 0 at the player, 1 at the eye
    const float ground = GroundHeight(terrain, player.x + (camera.eye_x - player.x) * t,
                                      player.y + (camera.eye_y - player.y) * t);
    const float needed = (ground + kClearance - (1.0f - t) * (player.z + 1.0f)) / t;
    if (i > 1) eye = std::max(eye, std::min(needed, camera.eye_z + 8.0f));
  }
  return eye;
}

}  // namespace

bool IsPlainFrame(int height, int width) { return height * width <= kPlainFramePixels; }

Camera MakeCamera(const World& world, const Level& level, int height, int width) {
  const Player& player = world.player;
  Camera camera;
  camera.plain = IsPlainFrame(height, width);
  float sine, cosine;
  SinCos(player.yaw, &sine, &cosine);
  camera.forward_x = cosine;
  camera.forward_y = sine;
  camera.right_x = sine;
  camera.right_y = -cosine;
  camera.eye_x = player.x - cosine * kBehind;
  camera.eye_y = player.y - sine * kBehind;
  camera.distance = kBehind;
  const float h = static_cast<float>(height);
  const float w = static_cast<float>(width);
  camera.focal = kFocal * std::min(h, 1.25f * w);
  camera.center_x = 0.5f * w;
  const float above = std::clamp(kAbove - kPitchLift * player.pitch, 2.5f, 18.0f);
  // The horizon follows from the height over the ground that is wanted; a lifted eye looks down
  // more steeply, so that the player stays where it is on the screen.
  const float ground = GroundHeight(*level.terrain, player.x, player.y);
  if (camera.plain) {
    const float lift = std::clamp(player.z - ground, -2.0f, 6.0f);
    camera.eye_z = above + 0.5f * lift;
    camera.horizon = kFeetAt * h - camera.focal * above / kBehind;
  } else {
    const float feet = player.z + 0.5f * (ground - player.z);  // jumps move the eye half as much
    camera.eye_z = feet + above;
    camera.eye_z = ClearEye(*level.terrain, camera, player);
    camera.horizon = kFeetAt * h - camera.focal * (camera.eye_z - feet) / kBehind;
  }
  return camera;
}

}  // namespace metabonk::arena
