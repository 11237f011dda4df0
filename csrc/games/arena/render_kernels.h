// The inner loops of plain frames, one version per instruction set behind one table. All versions
// give the same bytes. Knows pixels, rows and stamps; knows nothing of the game. Includes nothing
// that has inline functions: one compiled for a higher tier could be linked into the others.
#pragma once

#include <cstdint>

namespace metabonk::arena {

inline constexpr int kStampMax = 32;     // the largest stamp's side in pixels
inline constexpr int kFrameMargin = 32;  // pixels before and after a frame that may be rewritten
inline constexpr int kMaxFrameWidth = 2048;  // of a plain frame
inline constexpr int kProjectMost = 256;     // points of one call

// A sprite at one size in pixels. Up to 16 pixels wide its rows are 16 pixels apart, above 32.
struct Stamp {
  const uint32_t* pixels;  // [side, stride], aligned to 64 bytes
  const uint32_t* masks;   // [side], bit x: pixel x is drawn
  int16_t side;
  int16_t stride;
  int16_t first, last;  // rows that have pixels: [first, last)
};

struct StampDraw {
  int16_t x, y;    // of the top left; the stamp overlaps the frame
  uint16_t stamp;  // index into the table
  uint16_t style;  // bits: 1 flash, 2 gold, 4 pale, 8 alarm
};

struct PlainFrame {
  uint32_t* pixels;  // kFrameMargin pixels before and after belong to it
  int stride, width, height;
};

// Colours of a stamp become (c & keep) | add.
struct StampStyles {
  uint32_t keep[16] = {};
  uint32_t add[16] = {};
};
inline constexpr StampStyles kStampStyles = [] {
  StampStyles styles;
  for (uint32_t i = 0; i < 16; ++i) {
    styles.keep[i] = i & 4 ? 0x7F7F7Fu : i & 8 ? 0x3F3FFFu : 0xFFFFFFu;
    styles.add[i] = (i & 1 ? 0xC0C0C0u : 0u) | (i & 2 ? 0x004060u : 0u) | (i & 8 ? 0x0000C0u : 0u);
  }
  return styles;
}();

// Position and step along one row of the ground, metres in 16.16 fixed point.
struct GroundRow {
  int32_t u, v;
  int32_t du, dv;
  uint32_t outside;  // colour beyond the map
  uint32_t fog_colour;
  uint32_t fog;  // 0..256 parts of 256
};

// The view over the ground: what is in sight and how large.
struct Projection {
  float eye_x, eye_y;
  float forward_x, forward_y;
  float right_x, right_y;
  float focal;
  float near, far;  // metres
  float slope;      // half width of the view per metre of depth
  float margin;     // metres beyond it that still count
};

struct Projected {  // of the points in sight
  alignas(64) int32_t index[kProjectMost + 16];
  alignas(64) float depth[kProjectMost + 16];   // metres
  alignas(64) float across[kProjectMost + 16];  // metres to the right
  alignas(64) float scale[kProjectMost + 16];   // pixels a metre
};

struct RenderKernels {
  // Even pixels: the fogged map colour under (u + i du, v + i dv); odd ones: the mean of their
  // neighbours. Map is [256, 256] at half metres.
  void (*ground_row)(uint32_t* out, int count, const uint32_t* map, const GroundRow& row);
  void (*stamps)(const PlainFrame& frame, const Stamp* table, const StampDraw* draws, int count);
  // Keeps the points in sight, in order; returns how many. count <= kProjectMost.
  int (*project)(const Projection& view, const float* x, const float* y, int count, Projected* out);
  // Packs count pixels into 3 * count bytes.
  void (*pack)(const uint32_t* pixels, uint8_t* rgb, int count);
};

// The table for the active CPU tier.
const RenderKernels& ActiveRenderKernels();

extern const RenderKernels kRenderKernelsBaseline;
extern const RenderKernels kRenderKernelsAvx2;
extern const RenderKernels kRenderKernelsAvx512;

// The part of a stamp that lies within the frame: rows [first, last) and columns as a mask.
struct StampClip {
  int first, last;
  uint32_t columns;
};
static inline StampClip ClipStamp(const PlainFrame& frame, const Stamp& stamp, int x, int y) {
  StampClip clip = {stamp.first, stamp.last, ~0u};
  if (-y > clip.first) clip.first = -y;
  if (frame.height - y < clip.last) clip.last = frame.height - y;
  if (x < 0) clip.columns = x > -32 ? ~0u << -x : 0u;
  if (x + 32 > frame.width) {
    const int room = frame.width - x;
    clip.columns &= room > 0 && room < 32 ? (1u << room) - 1 : room > 0 ? ~0u : 0u;
  }
  return clip;
}

}  // namespace metabonk::arena
