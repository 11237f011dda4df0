// Colours as R | G << 8 | B << 16, the top byte free.
#pragma once

#include <cstdint>

namespace metabonk::arena {

inline constexpr uint32_t Rgb(uint32_t r, uint32_t g, uint32_t b) { return r | g << 8 | b << 16; }

// (a (256 - t) + b t) / 256 on each of the lower three bytes, t in 0..256.
inline constexpr uint32_t MixColour(uint32_t a, uint32_t b, uint32_t t) {
  const uint32_t rb = ((a & 0xFF00FFu) * (256 - t) + (b & 0xFF00FFu) * t) >> 8 & 0xFF00FFu;
  const uint32_t g = ((a & 0x00FF00u) * (256 - t) + (b & 0x00FF00u) * t) >> 8 & 0x00FF00u;
  return rb | g;
}

// Each byte times t / 256, t in 0..256.
inline constexpr uint32_t DimColour(uint32_t a, uint32_t t) {
  return ((a & 0xFF00FFu) * t >> 8 & 0xFF00FFu) | ((a & 0x00FF00u) * t >> 8 & 0x00FF00u);
}

}  // namespace metabonk::arena
