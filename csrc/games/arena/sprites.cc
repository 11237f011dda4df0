#include "games/arena/sprites.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "games/arena/sprite_art.h"

namespace metabonk::arena {

namespace {

constexpr int kSide = kSpriteSide;
constexpr uint32_t kOutline = Rgb(28, 20, 32);
constexpr float kOutlineRadius = 2.3f;

float Clamp01(float value) { return std::clamp(value, 0.0f, 1.0f); }

// Signed distance to the edge in grid units, negative inside.
float Distance(const Shape& s, float x, float y) {
  switch (s.kind) {
    case ShapeKind::kEllipse: {
      const float dx = (x - s.a) / s.c, dy = (y - s.b) / s.d;
      return (std::sqrt(dx * dx + dy * dy) - 1.0f) * std::min(s.c, s.d);
    }
    case ShapeKind::kCapsule: {
      const float bx = s.c - s.a, by = s.d - s.b;
      const float px = x - s.a, py = y - s.b;
      const float t = Clamp01((px * bx + py * by) / std::max(bx * bx + by * by, 1e-6f));
      const float dx = px - bx * t, dy = py - by * t;
      return std::sqrt(dx * dx + dy * dy) - (s.e + (s.f - s.e) * t);
    }
    case ShapeKind::kTriangle: {
      const float area = (s.c - s.a) * (s.f - s.b) - (s.d - s.b) * (s.e - s.a);
      const float turn = area < 0.0f ? -1.0f : 1.0f;
      const auto edge = [&](float x0, float y0, float x1, float y1) {
        const float ex = x1 - x0, ey = y1 - y0;
        return turn * ((x - x0) * ey - (y - y0) * ex) /
               std::sqrt(std::max(ex * ex + ey * ey, 1e-6f));
      };
      return std::max(
          {edge(s.a, s.b, s.c, s.d), edge(s.c, s.d, s.e, s.f), edge(s.e, s.f, s.a, s.b)});
    }
    default: {
      const float half_x = 0.5f * (s.c - s.a) - s.e, half_y = 0.5f * (s.d - s.b) - s.e;
      const float dx = std::fabs(x - 0.5f * (s.a + s.c)) - half_x;
      const float dy = std::fabs(y - 0.5f * (s.b + s.d)) - half_y;
      const float ox = std::max(dx, 0.0f), oy = std::max(dy, 0.0f);
      return std::sqrt(ox * ox + oy * oy) + std::min(std::max(dx, dy), 0.0f) - s.e;
    }
  }
}

struct Extent {
  float x0, y0, x1, y1;
};

Extent ExtentOf(const Shape& s) {
  switch (s.kind) {
    case ShapeKind::kEllipse:
      return {s.a - s.c, s.b - s.d, s.a + s.c, s.b + s.d};
    case ShapeKind::kCapsule: {
      const float r = std::max(s.e, s.f);
      return {std::min(s.a, s.c) - r, std::min(s.b, s.d) - r, std::max(s.a, s.c) + r,
              std::max(s.b, s.d) + r};
    }
    case ShapeKind::kTriangle:
      return {std::min({s.a, s.c, s.e}), std::min({s.b, s.d, s.f}), std::max({s.a, s.c, s.e}),
              std::max({s.b, s.d, s.f})};
    default:
      return {s.a, s.b, s.c, s.d};
  }
}

uint32_t Lighten(uint32_t colour, float factor) {
  const auto part = [&](int shift) {
    const float value = static_cast<float>(colour >> shift & 255) * factor;
    return static_cast<uint32_t>(std::clamp(value, 0.0f, 255.0f)) << shift;
  };
  return part(0) | part(8) | part(16);
}

uint32_t Resolve(uint32_t colour, uint32_t own) {
  switch (colour & 0xFF000000u) {
    case kOwn:
      return own;
    case kOwnLight:
      return MixColour(own, Rgb(255, 250, 235), 84);
    case kOwnDark:
      return Lighten(own, 0.72f);
    case kOwnDarker:
      return Lighten(own, 0.5f);
    default:
      return colour;
  }
}

void Over(uint32_t* pixel, uint32_t colour, uint32_t alpha) {  // alpha 0..255
  const uint32_t below = *pixel >> 24;
  if (alpha == 0) return;
  if (below == 0) {
    *pixel = (colour & 0xFFFFFFu) | alpha << 24;
    return;
  }
  const uint32_t mixed = MixColour(*pixel, colour, alpha + (alpha >> 7));
  *pixel = mixed | std::max(below, alpha) << 24;
}

// The art's grid moved inwards, so that outlines and tips of hats have room.
Shape Inset(Shape s) {
  constexpr float kScale = 57.0f / 64.0f, kLeft = 3.5f, kTop = 5.0f;
  const auto point = [](float* x, float* y) {
    *x = *x * kScale + kLeft;
    *y = *y * kScale + kTop;
  };
  point(&s.a, &s.b);
  if (s.kind == ShapeKind::kEllipse) {
    s.c *= kScale, s.d *= kScale;
    return s;
  }
  point(&s.c, &s.d);
  if (s.kind == ShapeKind::kTriangle) {
    point(&s.e, &s.f);
  } else {
    s.e *= kScale, s.f *= kScale;
  }
  return s;
}

void PaintShape(const Shape& art, uint32_t own, uint32_t* pixels) {
  const Shape shape = Inset(art);
  const Extent extent = ExtentOf(shape);
  const float wide = std::max(extent.x1 - extent.x0, 1.0f),
              tall = std::max(extent.y1 - extent.y0, 1.0f);
  const uint32_t colour = Resolve(shape.colour, own);
  const int x0 = std::max(0, static_cast<int>(extent.x0) - 1),
            x1 = std::min(kSide - 1, static_cast<int>(extent.x1) + 1);
  const int y0 = std::max(0, static_cast<int>(extent.y0) - 1),
            y1 = std::min(kSide - 1, static_cast<int>(extent.y1) + 1);
  for (int y = y0; y <= y1; ++y) {
    for (int x = x0; x <= x1; ++x) {
      const float px = static_cast<float>(x) + 0.5f, py = static_cast<float>(y) + 0.5f;
      const float cover = Clamp01(0.5f - Distance(shape, px, py));
      if (cover <= 0.0f) continue;
      uint32_t lit = colour;
      if (!shape.flat) {  // light from the upper left, in steps as a pixel artist would
        const float along = (px - extent.x0) / wide * 0.45f + (py - extent.y0) / tall * 0.9f;
        const float step = std::floor(along * 5.0f) * 0.2f;
        lit = Lighten(colour, 1.24f - 0.42f * step);
      }
      Over(pixels + y * kSide + x, lit, static_cast<uint32_t>(cover * 255.0f));
    }
  }
}

// Parts of 255 that the outline covers at (x, y), outside of the silhouette.
uint32_t OutlineAt(const uint32_t* pixels, int x, int y) {
  float best = 0.0f;
  for (int dy = -2; dy <= 2; ++dy) {
    for (int dx = -2; dx <= 2; ++dx) {
      const int nx = x + dx, ny = y + dy;
      if (nx < 0 || ny < 0 || nx >= kSide || ny >= kSide) continue;
      const float alpha = static_cast<float>(pixels[ny * kSide + nx] >> 24);
      const float far = std::sqrt(static_cast<float>(dx * dx + dy * dy));
      best = std::max(best, alpha * Clamp01(kOutlineRadius + 0.5f - far));
    }
  }
  return static_cast<uint32_t>(best);
}

void AddOutline(const uint32_t* plain, uint32_t* out) {
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const uint32_t pixel = plain[y * kSide + x];
      const uint32_t alpha = pixel >> 24;
      const uint32_t outline = OutlineAt(plain, x, y);
      const uint32_t mixed = MixColour(kOutline, pixel, alpha + (alpha >> 7));
      out[y * kSide + x] = mixed | std::max(alpha, outline) << 24;
    }
  }
}

// A sprite of the world at every size from 2 to kStampMax, without outline: at such sizes it would
// be all that is left of the sprite.
struct StampSheet {
  static constexpr int kNarrow = 16;
  static constexpr int kPixels = kNarrow * (16 * 17 / 2) + kStampMax * (32 * 33 / 2 - 16 * 17 / 2);
  alignas(64) uint32_t pixels[kPixels];
  uint32_t masks[32 * 33 / 2];
};

void FillStamp(const uint32_t* plain, int side, uint32_t* pixels, int stride, uint32_t* masks) {
  // Of 255 that a pixel must be covered; less where a sprite is so small that all its pixels are
  // edge.
  const uint32_t least = side <= 4 ? 56 : 100;
  for (int y = 0; y < side; ++y) {
    masks[y] = 0;
    for (int x = 0; x < side; ++x) {
      const int x0 = x * kSide / side, x1 = std::max(x0 + 1, (x + 1) * kSide / side);
      const int y0 = y * kSide / side, y1 = std::max(y0 + 1, (y + 1) * kSide / side);
      uint32_t sum[4] = {};
      for (int sy = y0; sy < y1; ++sy) {
        for (int sx = x0; sx < x1; ++sx) {
          const uint32_t c = plain[sy * kSide + sx];
          const uint32_t alpha = c >> 24;
          sum[0] += (c & 255) * alpha, sum[1] += (c >> 8 & 255) * alpha;
          sum[2] += (c >> 16 & 255) * alpha, sum[3] += alpha;
        }
      }
      const uint32_t area = static_cast<uint32_t>((x1 - x0) * (y1 - y0));
      if (sum[3] < least * area) continue;
      masks[y] |= 1u << x;
      pixels[y * stride + x] = Rgb(sum[0] / sum[3], sum[1] / sum[3], sum[2] / sum[3]);
    }
  }
}

void FillSheet(const uint32_t* plain, StampSheet* sheet, Stamp* stamps) {
  uint32_t* pixels = sheet->pixels;
  uint32_t* masks = sheet->masks;
  for (int side = 1; side <= kStampMax; ++side) {
    const int stride = side <= StampSheet::kNarrow ? StampSheet::kNarrow : kStampMax;
    FillStamp(plain, side, pixels, stride, masks);
    int first = 0, last = side;
    while (first < side && masks[first] == 0) ++first;
    while (last > first && masks[last - 1] == 0) --last;
    stamps[side] = {pixels,
                    masks,
                    static_cast<int16_t>(side),
                    static_cast<int16_t>(stride),
                    static_cast<int16_t>(first),
                    static_cast<int16_t>(last)};
    pixels += side * stride;
    masks += side;
  }
  stamps[0] = stamps[1];
}

struct Subject {  // what a sprite index shows
  const char* id = "monster";
  const char* fallback = "monster";
  uint32_t own = Rgb(160, 160, 160);
};

uint32_t Tone(const uint8_t colour[3]) { return Rgb(colour[0], colour[1], colour[2]); }

template <typename Def>
Subject OfTable(const Def* defs, int count, int index, const char* fallback) {
  if (index >= count) return {fallback, fallback};
  return {defs[index].id, fallback, Tone(defs[index].color)};
}

Subject SubjectOf(int sprite) {
  if (sprite == kSpriteSkull) return {"skull", "skull"};
  if (sprite >= kSpriteReward)
    return OfTable(kRewardDefs, kRewardCount, sprite - kSpriteReward, "reward");
  if (sprite >= kSpriteItem) return OfTable(kItemDefs, kItemCount, sprite - kSpriteItem, "item");
  if (sprite >= kSpriteTome) {
    Subject subject = OfTable(kTomeDefs, kTomeCount, sprite - kSpriteTome, "tome");
    subject.id = "tome";
    return subject;
  }
  if (sprite >= kSpriteWeapon)
    return OfTable(kWeaponDefs, kWeaponCount, sprite - kSpriteWeapon, "orb");
  if (sprite < kSpriteCharacter)
    return OfTable(kEnemyDefs, kEnemyCount, sprite - kSpriteEnemy, "monster");
  if (sprite < kSpriteXp)
    return OfTable(kCharacterDefs, kCharacterCount, sprite - kSpriteCharacter, "hero");
  constexpr const char* kThings[] = {
      "xp",   "gold",     "heal",    "magnet",    "chest",  "shrine",    "portal",
      "orb",  "fireball", "blade",   "boomerang", "mine",   "spark",     "oak",
      "bush", "pine",     "boulder", "pillar",    "cactus", "dead_tree", "ice"};
  static_assert(sizeof(kThings) / sizeof(kThings[0]) == kWorldSprites - kSpriteXp);
  return {kThings[sprite - kSpriteXp], "orb"};
}

void PaintPlain(int sprite, uint32_t* plain) {
  std::fill_n(plain, kSide * kSide, 0u);
  const Subject subject = SubjectOf(sprite);
  for (const Shape& shape : ArtOf(subject.id, subject.fallback)) {
    PaintShape(shape, subject.own, plain);
    if (shape.both) PaintShape(Mirrored(shape), subject.own, plain);
  }
}

struct StampBook {
  StampSheet sheets[kWorldSprites];
  Stamp stamps[kWorldSprites * (kStampMax + 1)];
};

struct Atlas {
  Bitmap bitmaps[kSpriteCount];
};

}  // namespace

const Bitmap& SpriteBitmap(int sprite) {
  static const std::unique_ptr<const Atlas> atlas = [] {
    auto made = std::make_unique<Atlas>();
    uint32_t plain[kSide * kSide];
    for (int i = 0; i < kSpriteCount; ++i) {
      PaintPlain(i, plain);
      AddOutline(plain, made->bitmaps[i].pixels);
    }
    return made;
  }();
  return atlas->bitmaps[std::clamp(sprite, 0, kSpriteCount - 1)];
}

const Stamp* StampTable() {
  static const std::unique_ptr<const StampBook> book = [] {
    auto made = std::make_unique<StampBook>();
    uint32_t plain[kSide * kSide];
    for (int sprite = 0; sprite < kWorldSprites; ++sprite) {
      PaintPlain(sprite, plain);
      FillSheet(plain, &made->sheets[sprite], made->stamps + StampIndex(sprite, 0));
    }
    return made;
  }();
  return book->stamps;
}

uint32_t SpriteColour(int sprite) { return SubjectOf(sprite).own; }

int CharacterSprite(int character) { return kSpriteCharacter + std::clamp(character, 0, 7); }

uint8_t ObstacleSprite(Ground ground, float height, int tier, uint32_t noise) {
  const bool low = height < 1.4f;
  switch (ground) {
    case Ground::kGrass:
      if (low) return (noise & 3) ? kSpriteBush : kSpriteBoulder;
      if (tier == 2) return (noise & 1) ? kSpriteDeadTree : kSpriteCactus;
      return tier == 3 || (noise & 3) == 0 ? kSpritePine : kSpriteOak;
    case Ground::kSand:
      if (low) return kSpriteBoulder;
      return (noise & 3) ? kSpriteCactus : kSpriteDeadTree;
    case Ground::kSnow:
      if (low) return (noise & 1) ? kSpriteIce : kSpriteBoulder;
      return (noise & 3) ? kSpritePine : kSpriteIce;
    default:
      return low ? kSpriteBoulder : kSpritePillar;
  }
}

}  // namespace metabonk::arena
