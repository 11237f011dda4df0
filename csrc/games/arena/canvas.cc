#include "games/arena/canvas.h"

#include <algorithm>
#include <cstring>

#include "games/arena/font.h"

namespace metabonk::arena {

namespace {

constexpr uint32_t kEdge = Rgb(20, 14, 24);

Box Clipped(const Canvas& canvas, const Box& box) {
  return {std::max(box.x0, 0), std::max(box.y0, 0), std::min(box.x1, canvas.width),
          std::min(box.y1, canvas.height)};
}

// How far a row of a box with cut corners is drawn in.
int CutOf(const Box& box, int y, int cut) {
  return std::max({0, cut - (y - box.y0), cut - (box.y1 - 1 - y)});
}

}  // namespace

void Fill(const Canvas& canvas, const Box& box, uint32_t colour) {
  const Box clip = Clipped(canvas, box);
  if (clip.x0 >= clip.x1) return;
  for (int y = clip.y0; y < clip.y1; ++y) {
    std::fill(canvas.pixels + y * canvas.stride + clip.x0,
              canvas.pixels + y * canvas.stride + clip.x1, colour);
  }
}

void Blend(const Canvas& canvas, const Box& box, uint32_t colour, uint32_t alpha) {
  const Box clip = Clipped(canvas, box);
  for (int y = clip.y0; y < clip.y1; ++y) {
    uint32_t* row = canvas.pixels + y * canvas.stride;
    for (int x = clip.x0; x < clip.x1; ++x) row[x] = MixColour(row[x], colour, alpha);
  }
}

void Gradient(const Canvas& canvas, const Box& box, uint32_t top, uint32_t bottom, int cut) {
  const int tall = std::max(box.height() - 1, 1);
  for (int y = std::max(box.y0, 0); y < std::min(box.y1, canvas.height); ++y) {
    const int in = CutOf(box, y, cut);
    const uint32_t part = static_cast<uint32_t>((y - box.y0) * 256 / tall);
    Fill(canvas, {box.x0 + in, y, box.x1 - in, y + 1}, MixColour(top, bottom, part));
  }
}

void Outline(const Canvas& canvas, const Box& box, uint32_t colour, int thick, int cut) {
  for (int y = box.y0; y < box.y1; ++y) {
    const int in = CutOf(box, y, cut);
    if (y < box.y0 + thick || y >= box.y1 - thick) {
      Fill(canvas, {box.x0 + in, y, box.x1 - in, y + 1}, colour);
      continue;
    }
    const int wide = thick + std::min(in, 1);
    Fill(canvas, {box.x0 + in, y, box.x0 + in + wide, y + 1}, colour);
    Fill(canvas, {box.x1 - in - wide, y, box.x1 - in, y + 1}, colour);
  }
}

void DrawPicture(const Canvas& canvas, int sprite, int x, int y, int side, uint32_t tint,
                 uint32_t tint_part) {
  if (side <= 0) return;
  const uint32_t* source = SpriteBitmap(sprite).pixels;
  const Box clip = Clipped(canvas, {x, y, x + side, y + side});
  const int step = (kSpriteSide << 16) / side;
  for (int py = clip.y0; py < clip.y1; ++py) {
    const uint32_t* from = source + ((py - y) * step >> 16) * kSpriteSide;
    uint32_t* row = canvas.pixels + py * canvas.stride;
    for (int px = clip.x0; px < clip.x1; ++px) {
      const uint32_t c = from[(px - x) * step >> 16];
      const uint32_t alpha = c >> 24;
      row[px] = MixColour(row[px], MixColour(c, tint, tint_part), alpha + (alpha >> 7));
    }
  }
}

int TextWidth(const char* text, int size) {
  if (*text == '\0') return 0;
  if (size == 0) return static_cast<int>(std::strlen(text)) * (kSmallWide + 1) - 1;
  int dots = -1;
  for (; *text != '\0'; ++text) dots += LargeSpan(*text).wide + 1;
  return dots * size;
}

int TextHeight(int size) { return size == 0 ? kSmallTall : kLargeTall * size; }

int DrawText(const Canvas& canvas, int x, int y, const char* text, int size, uint32_t colour,
             int room) {
  const int dot = std::max(size, 1);
  const int tall = size == 0 ? kSmallTall : kLargeTall;
  const int face = size == 0 ? kSmallWide : kLargeWide;
  const int end = x + std::min(room, 1 << 20);
  for (; *text != '\0'; ++text) {
    const LetterSpan span = size == 0 ? LetterSpan{0, kSmallWide} : LargeSpan(*text);
    if (x + span.wide * dot > end) break;
    for (int row = 0; row < tall; ++row) {
      const uint32_t dots = size == 0 ? SmallRow(*text, row) : LargeRow(*text, row);
      for (int i = 0; i < span.wide; ++i) {
        if (!(dots >> (face - 1 - span.first - i) & 1)) continue;
        const int px = x + i * dot, py = y + row * dot;
        if (dot > 1) {
          Fill(canvas, {px, py, px + dot, py + dot}, colour);
        } else if (px >= 0 && py >= 0 && px < canvas.width && py < canvas.height) {
          canvas.pixels[py * canvas.stride + px] = colour;
        }
      }
    }
    x += (span.wide + 1) * dot;
  }
  return x;
}

int DrawShadedText(const Canvas& canvas, int x, int y, const char* text, int size, uint32_t colour,
                   int room) {
  const int dot = std::max(size, 1);
  DrawText(canvas, x + dot, y + dot, text, size, kEdge, room);
  if (size > 0) DrawText(canvas, x, y + dot, text, size, kEdge, room);
  return DrawText(canvas, x, y, text, size, colour, room);
}

void DrawCentered(const Canvas& canvas, const Box& box, const char* text, int size,
                  uint32_t colour) {
  while (size > 0 && (TextWidth(text, size) > box.width() || TextHeight(size) > box.height())) {
    --size;
  }
  const int wide = std::min(TextWidth(text, size), box.width());
  const int x = box.x0 + (box.width() - wide) / 2;
  const int y = box.y0 + (box.height() - TextHeight(size)) / 2;
  DrawShadedText(canvas, x, y, text, size, colour, box.width());
}

}  // namespace metabonk::arena
