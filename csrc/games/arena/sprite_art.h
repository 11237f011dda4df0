// Sprites as lists of shapes on a 64x64 grid, y down, feet at the bottom. Later shapes cover
// earlier ones.
#pragma once

#include <cstdint>
#include <span>

#include "games/arena/colour.h"

namespace metabonk::arena {

enum class ShapeKind : uint8_t { kEllipse, kCapsule, kTriangle, kBox };

// A colour is R | G << 8 | B << 16, or one of these: shades of the thing's own colour.
inline constexpr uint32_t kOwn = 1u << 24;
inline constexpr uint32_t kOwnLight = 2u << 24;
inline constexpr uint32_t kOwnDark = 3u << 24;
inline constexpr uint32_t kOwnDarker = 4u << 24;

struct Shape {
  ShapeKind kind;
  bool flat;  // not shaded: eyes, metal edges, glows
  uint32_t colour;
  float a, b, c, d, e, f;
  bool both = false;  // its mirror image in the grid's middle is drawn right after it
};

// centre, radii
constexpr Shape Oval(uint32_t colour, float x, float y, float rx, float ry, bool flat = false) {
  return {ShapeKind::kEllipse, flat, colour, x, y, rx, ry, 0, 0};
}
// from, to, radius at each end
constexpr Shape Limb(uint32_t colour, float x0, float y0, float x1, float y1, float r0, float r1,
                     bool flat = false) {
  return {ShapeKind::kCapsule, flat, colour, x0, y0, x1, y1, r0, r1};
}
constexpr Shape Wedge(uint32_t colour, float x0, float y0, float x1, float y1, float x2, float y2,
                      bool flat = false) {
  return {ShapeKind::kTriangle, flat, colour, x0, y0, x1, y1, x2, y2};
}
// corners, radius of the rounding
constexpr Shape Slab(uint32_t colour, float x0, float y0, float x1, float y1, float r,
                     bool flat = false) {
  return {ShapeKind::kBox, flat, colour, x0, y0, x1, y1, r, 0};
}
constexpr Shape Both(Shape shape) {
  shape.both = true;
  return shape;
}
constexpr Shape Mirrored(Shape shape) {
  constexpr float kSide = 64.0f;
  const float a = shape.a, c = shape.c;
  shape.a = kSide - a;
  if (shape.kind != ShapeKind::kEllipse) shape.c = kSide - c;
  if (shape.kind == ShapeKind::kTriangle) shape.e = kSide - shape.e;
  if (shape.kind == ShapeKind::kBox) shape.a = kSide - c, shape.c = kSide - a;
  return shape;
}

using Art = std::span<const Shape>;

// The palette that the sprites share.
inline constexpr uint32_t kInk = Rgb(30, 22, 34);
inline constexpr uint32_t kBone = Rgb(238, 230, 208);
inline constexpr uint32_t kWhite = Rgb(250, 250, 250);
inline constexpr uint32_t kSteel = Rgb(196, 204, 218);
inline constexpr uint32_t kSteelDark = Rgb(120, 130, 152);
inline constexpr uint32_t kWood = Rgb(128, 84, 48);
inline constexpr uint32_t kWoodDark = Rgb(88, 56, 36);
inline constexpr uint32_t kGoldTone = Rgb(250, 204, 70);
inline constexpr uint32_t kEmber = Rgb(255, 150, 48);
inline constexpr uint32_t kBlood = Rgb(210, 44, 52);
inline constexpr uint32_t kGlow = Rgb(150, 246, 255);
inline constexpr uint32_t kLeaf = Rgb(62, 124, 58);

struct FiledArt {  // by id in the content file
  const char* id;
  Art art;
};
std::span<const FiledArt> CreatureArt();  // sprite_creatures.cc: enemies and characters
std::span<const FiledArt> ThingArt();     // sprite_things.cc: everything else

// The art that is filed under this id, or else under `fallback`.
Art ArtOf(const char* id, const char* fallback);

}  // namespace metabonk::arena
