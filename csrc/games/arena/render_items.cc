#include "games/arena/render_items.h"

#include <algorithm>
#include <cstdlib>

#include "games/arena/hud.h"
#include "games/arena/render_ground.h"
#include "games/arena/render_kernels.h"
#include "games/arena/text_line.h"

namespace metabonk::arena {

namespace {

constexpr int kBuckets = static_cast<int>(kFarDepth) * kDepthUnits / 16 + 1;  // a quarter metre
constexpr int kDepthSlack =
    kDepthUnits * 7 / 10;  // that a sprite may be behind the ground it is on
constexpr uint32_t kBarBack = Rgb(30, 20, 28);
constexpr uint32_t kBarFill = Rgb(232, 64, 64);

uint32_t Unpack565(uint16_t colour) {
  return Rgb((colour >> 11) * 255u / 31u, (colour >> 5 & 63) * 255u / 63u,
             (colour & 31) * 255u / 31u);
}

// Far to near; equal depths keep their order.
void SortByDepth(const ItemList& list, uint16_t* order) {
  uint16_t start[kBuckets + 1] = {};
  const auto bucket = [](const Item& item) {
    return kBuckets - 1 - std::min(item.depth >> 4, kBuckets - 1);
  };
  for (int i = 0; i < list.count; ++i) ++start[bucket(list.items[i]) + 1];
  for (int b = 0; b < kBuckets; ++b) start[b + 1] = static_cast<uint16_t>(start[b + 1] + start[b]);
  for (int i = 0; i < list.count; ++i)
    order[start[bucket(list.items[i])]++] = static_cast<uint16_t>(i);
}

bool Hides(const Item& item, const Box& player) {
  const int half = item.side / 2;
  return item.x + half > player.x0 && item.x - half < player.x1 && item.y > player.y1 &&
         item.y - item.side < player.y1;
}

void DrawStreak(const Item& item, const Canvas& canvas) {
  const uint32_t colour = Unpack565(item.extra);
  const int steps =
      std::max({std::abs(static_cast<int>(item.dx)), std::abs(static_cast<int>(item.dy)), 1});
  const int thick = item.side;
  for (int i = 0; i <= steps; ++i) {
    const int x = item.x + item.dx * i / steps, y = item.y + item.dy * i / steps;
    if (x < 0 || y < 0 || x >= canvas.width || y >= canvas.height) continue;
    if (canvas.depth && canvas.depth[y * canvas.stride + x] + kDepthSlack < item.depth) continue;
    const uint32_t alpha =
        canvas.depth ? 256u - static_cast<uint32_t>(200 * i / (steps + 1)) : 256u;
    Blend(canvas, {x - thick / 2, y - thick / 2, x - thick / 2 + thick, y - thick / 2 + thick},
          colour, alpha);
  }
}

void DrawPrice(const Item& item, const Canvas& canvas) {
  TextLine line;
  line.Add(item.extra);
  const int size = canvas.depth ? DotSize(canvas) : 0;
  DrawShadedText(canvas, item.x - TextWidth(line, size) / 2,
                 item.y - item.side - TextHeight(size) - 1, line, size, Rgb(250, 208, 84));
}

void DrawBar(const Item& item, const Canvas& canvas) {
  const int wide = std::clamp<int>(item.side, 5, 120);
  const int tall = canvas.depth ? 4 : 1;
  const int x = item.x - wide / 2, y = item.y - item.side - tall - 2;
  const int filled = std::max(1, wide * (item.extra - 1) / 254);
  const uint32_t colour = item.sprite == kSpriteShrine ? Rgb(170, 130, 255) : kBarFill;
  if (canvas.depth) Fill(canvas, Box{x, y, x + wide, y + tall}.Grown(1), kBarBack);
  Fill(canvas, {x, y, x + wide, y + tall}, kBarBack);
  Fill(canvas, {x, y, x + filled, y + tall}, colour);
}

// ---- plain frames

void DrawPlain(const Item& item, const Canvas& canvas, const RenderKernels& kernels) {
  uint32_t keep = 0xFFFFFFFFu, add = 0;
  if (item.flags & kItemFlash) add = Rgb(0xC0, 0xC0, 0xC0);
  if (item.flags & kItemAlarm) keep = Rgb(0xFF, 0x3F, 0x3F), add = Rgb(0xC0, 0, 0);
  if (item.flags & kItemElite) add |= Rgb(0x60, 0x40, 0);
  if (item.flags & kItemGhost) keep = Rgb(0x7F, 0x7F, 0x7F);
  const int side = item.side;
  const int x = item.x - side / 2, y = item.y - side;
  if (side <= kStampMax) {
    kernels.stamp(canvas.pixels, canvas.stride, canvas.width, canvas.height,
                  SpriteStamp(item.sprite, side), x, y, keep, add);
    return;
  }
  DrawPicture(canvas, item.sprite, x, y, side, add, add ? 110 : 0);
}

// ---- detailed frames

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

void DrawItems(const ItemList& list, const Box& player, const TerrainMap& map,
               const Canvas& canvas) {
  uint16_t order[kMaxItems];
  SortByDepth(list, order);
  const RenderKernels& kernels = ActiveRenderKernels();
  const uint32_t haze = SceneryOf(map.tier).haze;
  for (int i = 0; i < list.count; ++i) {
    const Item& item = list.items[order[i]];
    const bool hides = (item.flags & kItemObstacle) && Hides(item, player);
    if (item.sprite == kStreakSprite) {
      DrawStreak(item, canvas);
      continue;
    }
    if (canvas.depth) {
      if (item.flags & kItemShadow) DrawShadow(item, canvas);
      DrawDetailed(item, canvas, haze, hides ? 96 : 256);
    } else if (!hides) {
      DrawPlain(item, canvas, kernels);
    }
    if (item.extra && item.sprite == kSpriteChest) {
      DrawPrice(item, canvas);
    } else if (item.extra) {
      DrawBar(item, canvas);
    }
  }
  // Whoever is hidden behind a crowd still shows through it.
  if (list.count > 0 && list.items[0].flags & kItemPlayer) {
    if (canvas.depth) {
      DrawDetailed(list.items[0], canvas, haze, 110);
    } else {
      DrawPlain(list.items[0], canvas, kernels);
    }
  }
}

}  // namespace metabonk::arena
