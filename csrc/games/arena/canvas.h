// Drawing on a frame of 32-bit pixels: rectangles, text, pictures, lines. Everything is clipped to
// the frame. Knows pixels and the font, nothing of the game.
#pragma once

#include <cstdint>

#include "games/arena/colour.h"
#include "games/arena/sprites.h"

namespace metabonk::arena {

struct Canvas {
  uint32_t* pixels;
  uint16_t* depth;  // 1/64 metre per pixel, null in plain frames
  int width, height, stride;
};

struct Box {  // pixels, right and bottom exclusive
  int x0, y0, x1, y1;
  int width() const { return x1 - x0; }
  int height() const { return y1 - y0; }
  Box Grown(int by) const { return {x0 - by, y0 - by, x1 + by, y1 + by}; }
};

void Fill(const Canvas& canvas, const Box& box, uint32_t colour);
// Mixes `alpha` parts of 256 of the colour in.
void Blend(const Canvas& canvas, const Box& box, uint32_t colour, uint32_t alpha);
// From one colour at the top to another at the bottom, with corners cut by `cut` pixels.
void Gradient(const Canvas& canvas, const Box& box, uint32_t top, uint32_t bottom, int cut);
// The outline of a box, `thick` pixels inwards, with corners cut by `cut` pixels.
void Outline(const Canvas& canvas, const Box& box, uint32_t colour, int thick, int cut);

// The outlined sprite in a square of `side` pixels; tint is mixed in by parts of 256.
void DrawPicture(const Canvas& canvas, int sprite, int x, int y, int side, uint32_t tint = 0,
                 uint32_t tint_part = 0);

// Text sizes: 0 is the small face of 3x5 dots, n >= 1 the large face of 5x8 dots, n pixels a dot.
int TextWidth(const char* text, int size);
int TextHeight(int size);
// Draws as many whole letters as fit in `room` pixels; returns the x after them.
int DrawText(const Canvas& canvas, int x, int y, const char* text, int size, uint32_t colour,
             int room = 1 << 20);
// The same with a dark edge below and to the right.
int DrawShadedText(const Canvas& canvas, int x, int y, const char* text, int size, uint32_t colour,
                   int room = 1 << 20);
// In the middle of a box, in the largest size up to `size` that fits, else cut to fit.
void DrawCentered(const Canvas& canvas, const Box& box, const char* text, int size,
                  uint32_t colour);

}  // namespace metabonk::arena
