// Things in detailed frames: outlined sprites with shadows, fog and depth.
#include <algorithm>

#include "games/arena/colour.h"
#include "games/arena/render_items.h"

namespace metabonk::arena {

namespace {

void DrawShadow(const Item& item, const Canvas& canvas) {
  const int rx = item.side * 2 / 5, ry = std::max(1, item.side / 8);
  for (int dy = -ry; dy <= ry; ++dy) {
    const int y = item.y - 1 + dy;
    if (y < 0 || y >= canvas.height) continue;
    for (int dx = -rx; dx <= rx; ++dx) {
      const int x = item.x + dx;
      if (x < 0 || x >= canvas.width) continue;
      if (dx * dx * ry * ry + dy * dy * rx * rx > rx * rx * ry * ry) continue;
      const int at = y * canvas.stride + x;
      if (canvas.depth[at] + 2 * kDepthSlack < item.depth) continue;
      canvas.pixels[at] = DimColour(canvas.pixels[at], 166);
    }
  }
}

struct Tint {
  uint32_t colour;
  uint32_t part;  // of 256
};

Tint TintOf(const Item& item) {
  if (item.flags & kItemFlash) return {Rgb(255, 255, 255), 190};
  if (item.flags & kItemAlarm) return {Rgb(255, 60, 40), 120};
  if (item.flags & kItemElite) return {Rgb(255, 200, 60), 70};
  return {0, 0};
}

void DrawDetailed(const Item& item, const Canvas& canvas, uint32_t haze, uint32_t opacity) {
  const int side = item.side;
  const int left = item.x - side / 2, top = item.y - side;
  const uint32_t* source = SpriteBitmap(item.sprite).pixels;
  const Tint tint = TintOf(item);
  const uint32_t fog = FogAt(static_cast<float>(item.depth) / kDepthUnits);
  if (item.flags & kItemGhost) opacity = opacity * 90 / 256;
  const int step = (kSpriteSide << 16) / side;
  const bool flip = (item.flags & kItemFlip) != 0;
  const int x0 = std::max(left, 0), x1 = std::min(left + side, canvas.width);
  for (int y = std::max(top, 0); y < std::min(top + side, canvas.height); ++y) {
    const uint32_t* from = source + ((y - top) * step >> 16) * kSpriteSide;
    uint32_t* row = canvas.pixels + y * canvas.stride;
    const uint16_t* depth = canvas.depth + y * canvas.stride;
    for (int x = x0; x < x1; ++x) {
      const int column = (x - left) * step >> 16;
      const uint32_t c = from[flip ? kSpriteSide - 1 - column : column];
      const uint32_t alpha = ((c >> 24) + (c >> 31)) * opacity >> 8;
      if (alpha == 0 || depth[x] + kDepthSlack < item.depth) continue;
      const uint32_t lit = MixColour(MixColour(c, tint.colour, tint.part), haze, fog);
      row[x] = MixColour(row[x], lit, alpha);
    }
  }
}

}  // namespace

void DrawDetailedItems(const ItemList& list, const Box& player, uint32_t haze,
                       const Canvas& canvas) {
  uint16_t order[kMaxItems];
  SortByDepth(list, order);
  for (int i = 0; i < list.count; ++i) {
    const Item& item = list.items[order[i]];
    if (item.sprite == kStreakSprite) {
      DrawStreak(item, canvas);
      continue;
    }
    if (item.flags & kItemShadow) DrawShadow(item, canvas);
    DrawDetailed(item, canvas, haze, HidesPlayer(item, player) ? 96 : 256);
    if (item.extra) DrawLabel(item, canvas);
  }
  // Whoever is hidden behind a crowd still shows through it.
  if (list.count > 0 && (list.items[0].flags & kItemPlayer)) {
    DrawDetailed(list.items[0], canvas, haze, 110);
  }
}

}  // namespace metabonk::arena
