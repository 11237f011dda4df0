#include "games/arena/render_kernels.h"

#include "games/arena/colour.h"
#include "games/arena/view.h"
#include "support/cpu.h"

namespace metabonk::arena {

namespace {

// 128 m in 16.16: bits at or above this one are set outside of the map (negative numbers too).
constexpr uint32_t kOutsideBits = ~((static_cast<uint32_t>(kGridCells) << 16) - 1);
static_assert(kMapTexelsPerMetre == 2 && kMapTexels == 256, "the kernels' shifts are for this map");
static_assert(kMaxFrameSide <= kMaxFrameWidth);

uint32_t Mean(uint32_t a, uint32_t b) {  // of each byte, rounded up
  return (a | b) - (((a ^ b) >> 1) & 0x7F7F7F7Fu);
}

void GroundRowBaseline(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  uint32_t u = static_cast<uint32_t>(row.u);
  uint32_t v = static_cast<uint32_t>(row.v);
  uint32_t last = 0;
  for (int i = 0; i <= count; i += 2) {
    const bool inside = ((u | v) & kOutsideBits) == 0;
    const uint32_t texel = inside ? (v >> 15) << 8 | u >> 15 : 0;
    const uint32_t colour = MixColour(inside ? map[texel] : row.outside, row.fog_colour, row.fog);
    if (i > 0) out[i - 1] = Mean(last, colour);
    if (i < count) out[i] = colour;
    last = colour;
    u += 2 * static_cast<uint32_t>(row.du);
    v += 2 * static_cast<uint32_t>(row.dv);
  }
}

void StampsBaseline(const PlainFrame& frame, const Stamp* table, const StampDraw* draws,
                    int count) {
  for (int k = 0; k < count; ++k) {
    const StampDraw& draw = draws[k];
    const Stamp& stamp = table[draw.stamp];
    const StampClip clip = ClipStamp(frame, stamp, draw.x, draw.y);
    const uint32_t keep = kStampStyles.keep[draw.style];
    const uint32_t add = kStampStyles.add[draw.style];
    for (int r = clip.first; r < clip.last; ++r) {
      const uint32_t* source = stamp.pixels + r * stamp.stride;
      uint32_t* target = frame.pixels + (draw.y + r) * frame.stride + draw.x;
      uint32_t mask = stamp.masks[r] & clip.columns;
      for (int i = 0; mask != 0; ++i, mask >>= 1) {
        if (mask & 1) target[i] = (source[i] & keep) | add;
      }
    }
  }
}

int ProjectBaseline(const Projection& view, const float* x, const float* y, int count,
                    Projected* out) {
  int kept = 0;
  for (int i = 0; i < count; ++i) {
    const float dx = x[i] - view.eye_x;
    const float dy = y[i] - view.eye_y;
    const float depth = dx * view.forward_x + dy * view.forward_y;
    const float across = dx * view.right_x + dy * view.right_y;
    const float reach = depth * view.slope + view.margin;
    if (!(depth >= view.near && depth < view.far && across <= reach && across >= -reach)) continue;
    out->index[kept] = i;
    out->depth[kept] = depth;
    out->across[kept] = across;
    out->scale[kept] = view.focal / depth;
    ++kept;
  }
  return kept;
}

void PackBaseline(const uint32_t* pixels, uint8_t* rgb, int count) {
  for (int i = 0; i < count; ++i) {
    rgb[3 * i] = static_cast<uint8_t>(pixels[i]);
    rgb[3 * i + 1] = static_cast<uint8_t>(pixels[i] >> 8);
    rgb[3 * i + 2] = static_cast<uint8_t>(pixels[i] >> 16);
  }
}

}  // namespace

const RenderKernels kRenderKernelsBaseline = {GroundRowBaseline, StampsBaseline, ProjectBaseline,
                                              PackBaseline};

const RenderKernels& ActiveRenderKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return kRenderKernelsAvx512;
    case CpuTier::kAvx2:
      return kRenderKernelsAvx2;
    default:
      break;
  }
#endif
  return kRenderKernelsBaseline;
}

}  // namespace metabonk::arena
