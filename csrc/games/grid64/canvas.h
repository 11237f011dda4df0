// Canvas: colours, sprites and fills on a frame of 64x64 palette indices. Knows no game.
#pragma once

#include <cstdint>
#include <cstring>

#include "games/grid64/game.h"

namespace metabonk::grid64 {

// The 16 colours by index; palette.h says how they look.
enum Color : uint8_t {
  kWhite,
  kLightGrey,
  kGrey,
  kDarkGrey,
  kCharcoal,
  kBlack,
  kMagenta,
  kPink,
  kRed,
  kBlue,
  kSky,
  kYellow,
  kOrange,
  kMaroon,
  kGreen,
  kPurple,
};
inline constexpr uint8_t kClear = 255;  // in sprites: what lies below stays

template <int kSize>
struct Sprite {
  uint8_t cells[kSize][kSize];
};

// Reads a sprite from hexadecimal digits, row by row; '.' is clear.
template <int kSize>
constexpr Sprite<kSize> Paint(const char* text) {
  Sprite<kSize> sprite{};
  for (int i = 0; i < kSize * kSize; ++i) {
    const char c = text[i];
    const int value = c == '.' ? kClear : c <= '9' ? c - '0' : c - 'a' + 10;
    sprite.cells[i / kSize][i % kSize] = static_cast<uint8_t>(value);
  }
  return sprite;
}

template <int kSize>
constexpr Sprite<kSize> Recolor(Sprite<kSize> sprite, uint8_t from, uint8_t to) {
  for (auto& row : sprite.cells) {
    for (uint8_t& cell : row) cell = cell == from ? to : cell;
  }
  return sprite;
}

// `over` laid on `under`: tiles are opaque, so what stands on a floor is merged with it beforehand.
template <int kSize>
constexpr Sprite<kSize> Layer(Sprite<kSize> under, const Sprite<kSize>& over) {
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      if (over.cells[y][x] != kClear) under.cells[y][x] = over.cells[y][x];
    }
  }
  return under;
}

inline void Fill(uint8_t* cells, int x, int y, int width, int height, uint8_t color) {
  for (int row = y; row < y + height; ++row) std::memset(cells + row * kSide + x, color, width);
}

template <int kSize>
void Draw(uint8_t* cells, int x, int y, const Sprite<kSize>& sprite) {
  for (int row = 0; row < kSize; ++row) {
    uint8_t* out = cells + (y + row) * kSide + x;
    for (int i = 0; i < kSize; ++i) {
      if (sprite.cells[row][i] != kClear) out[i] = sprite.cells[row][i];
    }
  }
}

// A board of kWidth x kHeight opaque tiles with its top left corner at (x, y).
template <int kSize, int kWidth, int kHeight>
void DrawTiles(uint8_t* cells, int x, int y, const uint8_t* tiles, const Sprite<kSize>* sprites) {
  for (int row = 0; row < kHeight; ++row, tiles += kWidth) {
    uint8_t* out = cells + (y + row * kSize) * kSide + x;
    for (int column = 0; column < kWidth; ++column, out += kSize) {
      const Sprite<kSize>& sprite = sprites[tiles[column]];
      for (int line = 0; line < kSize; ++line) {
        std::memcpy(out + line * kSide, sprite.cells[line], kSize);
      }
    }
  }
}

// The status rows without the level marks, which the episode adds.
inline void ClearStatus(uint8_t* cells) { std::memset(cells, kBlack, kStatusRows * kSide); }

// Sprites that mean the same in every game drawn with 4x4 tiles.
inline constexpr Sprite<4> kPlayer4 = Paint<4>(".66.60066666.66.");
inline constexpr Sprite<4> kFloor4 = Paint<4>("4444444444444444");
inline constexpr Sprite<4> kWall4 = Paint<4>("2222233323332333");
inline constexpr Sprite<4> kGoal4 = Paint<4>("eeeee00ee00eeeee");

// And with 5x5 tiles.
inline constexpr Sprite<5> kPlayer5 = Paint<5>(".666.60606666666666.6.6.6");

}  // namespace metabonk::grid64
