// What render_scene.cc collects and render_items.cc draws: things at places on the screen.
#pragma once

#include <cstdint>

#include "games/arena/canvas.h"
#include "games/arena/render_camera.h"
#include "games/arena/view.h"

namespace metabonk::arena {

inline constexpr int kMaxItems = 2048;
inline constexpr int kStreakSprite = 255;                 // a line from (x, y) to (x + dx, y + dy)
inline constexpr int kDepthUnits = 64;                    // of a metre
inline constexpr int kDepthSlack = kDepthUnits * 7 / 10;  // that things may be behind their ground

enum ItemFlag : uint8_t {
  kItemFlash = 1,  // just hit; these four are the styles of stamps
  kItemElite = 2,
  kItemGhost = 4,  // half transparent
  kItemAlarm = 8,  // about to do something
  kItemStyles = 15,
  kItemFlip = 16,
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
  uint16_t extra;  // bar in parts of 255 (0: none), a chest's price, or a streak's colour in 5:6:5
};
static_assert(sizeof(Item) == 16);

struct ItemList {
  int count = 0;
  Item items[kMaxItems];
};

// Draw them far to near; obstacles in front of the box of the player give way to it.
void DrawPlainItems(const ItemList& list, const Box& player, const Canvas& canvas);
void DrawDetailedItems(const ItemList& list, const Box& player, uint32_t haze,
                       const Canvas& canvas);

// What both share.
void SortByDepth(const ItemList& list, uint16_t* order);
bool HidesPlayer(const Item& item, const Box& player);
void DrawStreak(const Item& item, const Canvas& canvas);
void DrawLabel(const Item& item, const Canvas& canvas);  // bar or price

// Where weapons struck at once: slashes, lightning, novas and bursts (the marks among the shots),
// and the reach of auras.
void DrawStrikes(const World& world, const Terrain& terrain, const Camera& camera,
                 const Canvas& canvas);

}  // namespace metabonk::arena
