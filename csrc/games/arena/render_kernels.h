// The inner loops of plain frames, one version per instruction set behind one table. All versions
// give the same bytes. Knows pixels, rows and stamps; knows nothing of the game.
#pragma once

#include <cstdint>

namespace metabonk::arena {

inline constexpr int kStampMax = 32;  // the largest stamp's side in pixels

// A sprite at one size in pixels. Up to 16 pixels wide its rows are 16 pixels apart, above 32.
struct Stamp {
  const uint32_t* pixels;  // [side, stride]
  const uint32_t* masks;   // [side], bit x: pixel x is drawn
  int side;
  int stride;
};

// Position and step along one row of the ground, metres in 16.16 fixed point.
struct GroundRow {
  int32_t u, v;
  int32_t du, dv;
  uint32_t outside;  // colour beyond the map
  uint32_t fog_colour;
  uint32_t fog;  // 0..256 parts of 256
};

struct RenderKernels {
  // out[i] = fogged map colour under (u + i du, v + i dv); map is [256, 256] at half metres.
  void (*ground_row)(uint32_t* out, int count, const uint32_t* map, const GroundRow& row);
  // Draws the stamp with its top left at (x, y), clipped to the frame; colour = (c & keep) | add.
  void (*stamp)(uint32_t* frame, int stride, int width, int height, const Stamp& stamp, int x,
                int y, uint32_t keep, uint32_t add);
  // Packs count pixels into 3 * count bytes.
  void (*pack)(const uint32_t* pixels, uint8_t* rgb, int count);
};

// The table for the active CPU tier.
const RenderKernels& ActiveRenderKernels();

extern const RenderKernels kRenderKernelsBaseline;
extern const RenderKernels kRenderKernelsAvx2;
extern const RenderKernels kRenderKernelsAvx512;

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
