// Palette: the 16 colours as people see them, and frames as pictures. Knows no game.
#pragma once

#include <cstdint>

#include "games/grid64/game.h"

namespace metabonk::grid64 {

struct Rgb {
  uint8_t red, green, blue;
};

// By index, in ARC-AGI-3's order: five steps from white to black, then the hues.
inline constexpr Rgb kPalette[16] = {
    {255, 255, 255},  // white
    {200, 204, 212},  // light grey
    {144, 150, 162},  // grey
    {88, 94, 108},    // dark grey
    {46, 50, 62},     // charcoal
    {18, 20, 28},     // black
    {224, 64, 160},   // magenta: the player
    {255, 140, 204},  // pink
    {236, 72, 60},    // red
    {44, 120, 232},   // blue
    {132, 206, 246},  // sky
    {252, 210, 56},   // yellow
    {246, 140, 44},   // orange
    {140, 40, 48},    // maroon
    {72, 190, 92},    // green: goals and what is done
    {150, 88, 214},   // purple
};

// cells [64, 64] as rgb [height, width, 3], each pixel the cell that it lies in.
inline void Paint(const uint8_t* cells, int height, int width, uint8_t* rgb) {
  for (int y = 0; y < height; ++y) {
    const uint8_t* row = cells + y * kSide / height * kSide;
    for (int x = 0; x < width; ++x, rgb += 3) {
      const Rgb color = kPalette[row[x * kSide / width] & 15];
      rgb[0] = color.red;
      rgb[1] = color.green;
      rgb[2] = color.blue;
    }
  }
}

}  // namespace metabonk::grid64
