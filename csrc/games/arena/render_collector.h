// Finds what is in sight and puts it into an ItemList, for render_scene.cc.
#pragma once

#include <algorithm>

#include "games/arena/render_items.h"
#include "games/arena/render_kernels.h"

namespace metabonk::arena {

class Collector {
 public:
  Collector(const World& world, const Terrain& terrain, const Camera& camera, const Canvas& canvas,
            ItemList* list)
      : world_(world),
        terrain_(terrain),
        camera_(camera),
        canvas_(canvas),
        kernels_(ActiveRenderKernels()),
        list_(list) {}

  // Calls place(i) for each of `count` points in sight, i its index; Add then puts a thing there.
  template <typename Place>
  void Each(const float* x, const float* y, int count, float far, const Place& place) {
    constexpr float kWidest = 3.0f;  // half of it, metres
    const Projection view{camera_.eye_x,
                          camera_.eye_y,
                          camera_.forward_x,
                          camera_.forward_y,
                          camera_.right_x,
                          camera_.right_y,
                          camera_.focal,
                          kNearDepth,
                          far,
                          camera_.center_x / camera_.focal,
                          kWidest};
    for (int from = 0; from < count; from += kProjectMost) {
      const int part = std::min(count - from, kProjectMost);
      const int seen = kernels_.project(view, x + from, y + from, part, &seen_);
      for (at_ = 0; at_ < seen; ++at_) place(from + seen_.index[at_]);
    }
  }

  // A thing of `height` metres whose foot is at height `z` (detailed frames) or `lift` above the
  // ground (plain ones). Null where the frame has no room for it.
  Item* Add(int sprite, float z, float lift, float height, int least) {
    const float scale = seen_.scale[at_];
    const float x = camera_.center_x + seen_.across[at_] * scale;
    const float y = camera_.horizon + (camera_.eye_z - (camera_.plain ? lift : z)) * scale;
    const float side = std::max(height * scale, static_cast<float>(least));
    const float half = 0.5f * side + 1.0f;
    if (list_->count >= kMaxItems || x < -half || x > static_cast<float>(canvas_.width) + half ||
        y < 0.0f || y - side > static_cast<float>(canvas_.height)) {
      return nullptr;
    }
    Item* item = &list_->items[list_->count++];
    *item = {};
    item->x = static_cast<int16_t>(x);
    item->y = static_cast<int16_t>(y + 0.5f);
    item->side = static_cast<uint16_t>(side + 0.5f);
    item->depth = static_cast<uint16_t>(seen_.depth[at_] * kDepthUnits);
    item->sprite = static_cast<uint8_t>(sprite);
    return item;
  }

  // A line behind something fast at (x, y).
  void AddStreak(float x, float y, float z, float vx, float vy, float vz, const uint8_t colour[3]) {
    constexpr float kTrail = 0.07f;  // seconds
    constexpr float kThick = 0.16f;  // metres
    float depth, sx, sy, tail_x, tail_y;
    if (list_->count >= kMaxItems || !ProjectPoint(camera_, x, y, z, &depth, &sx, &sy)) return;
    const float w = static_cast<float>(canvas_.width), h = static_cast<float>(canvas_.height);
    if (sx < 0.0f || sx >= w || sy < 0.0f || sy >= h) return;
    const uint16_t code = static_cast<uint16_t>(depth * kDepthUnits);
    if (!ProjectPoint(camera_, x - vx * kTrail, y - vy * kTrail, z - vz * kTrail, &depth, &tail_x,
                      &tail_y)) {
      return;
    }
    Item* item = &list_->items[list_->count++];
    *item = {};
    item->x = static_cast<int16_t>(sx);
    item->y = static_cast<int16_t>(sy);
    item->dx = static_cast<int16_t>(std::clamp(tail_x - sx, -w, w));
    item->dy = static_cast<int16_t>(std::clamp(tail_y - sy, -h, h));
    item->side = static_cast<uint16_t>(std::max(1.0f, kThick * camera_.focal / depth + 0.5f));
    item->depth = code;
    item->sprite = kStreakSprite;
    item->extra =
        static_cast<uint16_t>((colour[0] >> 3) << 11 | (colour[1] >> 2) << 5 | colour[2] >> 3);
  }

  float Lift(float x, float y, float z) const { return z - GroundHeight(terrain_, x, y); }
  // Up and down, `height` metres, each thing at its own time.
  float Bob(uint32_t salt, float height) const {
    const int phase = static_cast<int>((world_.tick + salt * 7) & 63);
    return height * static_cast<float>(phase < 32 ? phase : 64 - phase) * (1.0f / 32.0f);
  }
  bool plain() const { return camera_.plain; }
  const Camera& camera() const { return camera_; }

 private:
  const World& world_;
  const Terrain& terrain_;
  const Camera& camera_;
  const Canvas& canvas_;
  const RenderKernels& kernels_;
  ItemList* list_;
  Projected seen_;
  int at_ = 0;  // of the point that is being placed
};

}  // namespace metabonk::arena
