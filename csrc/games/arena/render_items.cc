#include "games/arena/render_items.h"

#include <algorithm>
#include <cstdlib>

#include "games/arena/colour.h"
#include "games/arena/hud.h"
#include "games/arena/render_kernels.h"
#include "games/arena/text_line.h"

namespace metabonk::arena {

namespace {

constexpr int kBuckets = static_cast<int>(kFarDepth) * kDepthUnits / 16 + 1;  // a quarter metre
constexpr uint32_t kBarBack = Rgb(30, 20, 28);
constexpr uint32_t kBarFill = Rgb(232, 64, 64);

uint32_t Unpack565(uint16_t colour) {
  return Rgb((colour >> 11) * 255u / 31u, (colour >> 5 & 63) * 255u / 63u,
             (colour & 31) * 255u / 31u);
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
  Fill(canvas, {x, y, x + filled, y + tall}, colour);
  Fill(canvas, {x + filled, y, x + wide, y + tall}, kBarBack);
}

}  // namespace

void SortByDepth(const ItemList& list, uint16_t* order) {
  uint16_t start[kBuckets + 1] = {};
  const auto bucket = [](const Item& item) {
    return kBuckets - 1 - std::min(item.depth >> 4, kBuckets - 1);
  };
  for (int i = 0; i < list.count; ++i) ++start[bucket(list.items[i]) + 1];
  for (int b = 0; b < kBuckets; ++b) start[b + 1] = static_cast<uint16_t>(start[b + 1] + start[b]);
  for (int i = 0; i < list.count; ++i) {
    order[start[bucket(list.items[i])]++] = static_cast<uint16_t>(i);
  }
}

bool HidesPlayer(const Item& item, const Box& player) {
  const int half = item.side / 2;
  return (item.flags & kItemObstacle) && item.x + half > player.x0 && item.x - half < player.x1 &&
         item.y > player.y1 && item.y - item.side < player.y1;
}

void DrawStreak(const Item& item, const Canvas& canvas) {
  const uint32_t colour = Unpack565(item.extra);
  const int steps =
      std::max({std::abs(static_cast<int>(item.dx)), std::abs(static_cast<int>(item.dy)), 1});
  const int thick = item.side;
  // The direction in 16.16, so that a step is an addition.
  const int step_x = item.dx * 65536 / steps, step_y = item.dy * 65536 / steps;
  int at_x = item.x << 16, at_y = item.y << 16;
  for (int i = 0; i <= steps; ++i, at_x += step_x, at_y += step_y) {
    const int x = at_x >> 16, y = at_y >> 16;
    if (x < 0 || y < 0 || x >= canvas.width || y >= canvas.height) continue;
    if (canvas.depth == nullptr) {
      canvas.pixels[y * canvas.stride + x] = colour;
      continue;
    }
    if (canvas.depth[y * canvas.stride + x] + kDepthSlack < item.depth) continue;
    const int from_x = x - thick / 2, from_y = y - thick / 2;
    Blend(canvas, {from_x, from_y, from_x + thick, from_y + thick}, colour,
          256u - static_cast<uint32_t>(200 * i / (steps + 1)));
  }
}

void DrawLabel(const Item& item, const Canvas& canvas) {
  if (item.sprite == kSpriteChest) {
    DrawPrice(item, canvas);
  } else {
    DrawBar(item, canvas);
  }
}

void DrawPlainItems(const ItemList& list, const Box& player, const Canvas& canvas) {
  uint16_t order[kMaxItems];
  SortByDepth(list, order);
  StampDraw draws[kMaxItems + 1];
  int count = 0;
  const RenderKernels& kernels = ActiveRenderKernels();
  const Stamp* const table = StampTable();
  const PlainFrame frame{canvas.pixels, canvas.stride, canvas.width, canvas.height};
  const auto add = [&](const Item& item) {
    const int x = item.x - item.side / 2, y = item.y - item.side;
    if (item.side > kStampMax) {  // what was collected so far is behind it
      kernels.stamps(frame, table, draws, count);
      count = 0;
      DrawPicture(canvas, item.sprite, x, y, item.side, Rgb(255, 255, 255),
                  item.flags & (kItemFlash | kItemAlarm) ? 110 : 0);
      return;
    }
    draws[count++] = {static_cast<int16_t>(x), static_cast<int16_t>(y),
                      StampIndex(item.sprite, item.side),
                      static_cast<uint16_t>(item.flags & kItemStyles)};
  };
  int over[kMaxItems];  // streaks and labels lie over all: a few pixels must not be lost
  int overs = 0;
  for (int i = 0; i < list.count; ++i) {
    const Item& item = list.items[order[i]];
    if (item.extra) over[overs++] = order[i];
    if (item.sprite != kStreakSprite && !HidesPlayer(item, player)) add(item);
  }
  if (list.count > 0 && (list.items[0].flags & kItemPlayer)) add(list.items[0]);
  kernels.stamps(frame, table, draws, count);
  for (int i = 0; i < overs; ++i) {
    const Item& item = list.items[over[i]];
    if (item.sprite == kStreakSprite) {
      DrawStreak(item, canvas);
    } else {
      DrawLabel(item, canvas);
    }
  }
}

}  // namespace metabonk::arena
