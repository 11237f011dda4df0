// What render_scene.cc collects and render_items.cc draws: things at places on the screen.
#pragma once

#include <cstdint>

#include "games/arena/canvas.h"
#include "games/arena/render_camera.h"
#include "games/arena/view.h"

namespace metabonk::arena {

inline constexpr int kMaxItems = 2048;
inline constexpr int kStreakSprite = 255;  // a line from (x, y) to (x + dx, y + dy)
inline constexpr int kDepthUnits = 64;     // of a metre

enum ItemFlag : uint8_t {
  kItemFlip = 1,
  kItemFlash = 2,  // just hit
  kItemElite = 4,
  kItemGhost = 8,   // half transparent
  kItemAlarm = 16,  // about to do something
  kItemShadow = 32,
  kItemObstacle = 64,
  kItemPlayer = 128,  // the first item, if it is in sight
};

struct Item {
  int16_t x, y;    // the middle of its foot, pixels
  int16_t dx, dy;  // of a streak
  uint16_t side;   // pixels
  uint16_t depth;  // kDepthUnits
  uint8_t sprite;
  uint8_t flags;   // ItemFlag
  uint16_t extra;  // health bar in parts of 255 (0: none), or the colour of a streak in 5:6:5
};
static_assert(sizeof(Item) == 16);

struct ItemList {
  int count = 0;
  Item items[kMaxItems];
};

// Draws them far to near; `player` is what obstacles in front of the player must not hide.
void DrawItems(const ItemList& list, const Box& player, const TerrainMap& map,
               const Canvas& canvas);

// Where weapons struck at once: slashes, lightning, novas and bursts (the marks among the shots),
// and the reach of auras.
void DrawStrikes(const World& world, const Terrain& terrain, const Camera& camera,
                 const Canvas& canvas);

}  // namespace metabonk::arena
