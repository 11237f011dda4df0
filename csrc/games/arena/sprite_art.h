// Sprites as lists of shapes on a 64x64 grid, y down, feet at the bottom. Later shapes cover
// earlier ones.
#pragma once

#include <cstdint>
#include <span>

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

using Art = std::span<const Shape>;

// The art that is filed under this id of the content file, or `fallback`.
Art ArtOf(const char* id, const char* fallback);

}  // namespace metabonk::arena
