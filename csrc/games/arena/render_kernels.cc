#include "games/arena/render_kernels.h"

#include <algorithm>

#include "games/arena/view.h"
#include "support/cpu.h"

namespace metabonk::arena {

namespace {

// 128 m in 16.16: bits at or above this one are set outside of the map (negative numbers too).
constexpr uint32_t kOutsideBits = ~((static_cast<uint32_t>(kGridCells) << 16) - 1);
static_assert(kMapTexelsPerMetre == 2 && kMapTexels == 256, "the kernels' shifts are for this map");

void GroundRowBaseline(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  uint32_t u = static_cast<uint32_t>(row.u);
  uint32_t v = static_cast<uint32_t>(row.v);
  for (int i = 0; i < count; ++i) {
    const bool inside = ((u | v) & kOutsideBits) == 0;
    const uint32_t texel = inside ? (v >> 15) << 8 | u >> 15 : 0;
    const uint32_t colour = inside ? map[texel] : row.outside;
    out[i] = MixColour(colour, row.fog_colour, row.fog);
    u += static_cast<uint32_t>(row.du);
    v += static_cast<uint32_t>(row.dv);
  }
}

void StampBaseline(uint32_t* frame, int stride, int width, int height, const Stamp& stamp, int x,
                   int y, uint32_t keep, uint32_t add) {
  const int first = std::max(0, -x);
  const int last = std::min(stamp.side, width - x);
  const int bottom = std::min(stamp.side, height - y);
  for (int r = std::max(0, -y); r < bottom; ++r) {
    const uint32_t* source = stamp.pixels + r * stamp.stride;
    uint32_t* target = frame + (y + r) * stride + x;
    const uint32_t mask = stamp.masks[r];
    for (int i = first; i < last; ++i) {
      if (mask >> i & 1) target[i] = (source[i] & keep) | add;
    }
  }
}

void PackBaseline(const uint32_t* pixels, uint8_t* rgb, int count) {
  for (int i = 0; i < count; ++i) {
    rgb[3 * i] = static_cast<uint8_t>(pixels[i]);
    rgb[3 * i + 1] = static_cast<uint8_t>(pixels[i] >> 8);
    rgb[3 * i + 2] = static_cast<uint8_t>(pixels[i] >> 16);
  }
}

}  // namespace

const RenderKernels kRenderKernelsBaseline = {GroundRowBaseline, StampBaseline, PackBaseline};

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
