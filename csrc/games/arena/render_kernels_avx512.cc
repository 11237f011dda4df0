// Sixteen pixels at a time. Tails and transparent pixels are masked lanes.
#if defined(__x86_64__)

// g++ 12 takes the undefined vectors of its own intrinsics for mistakes of ours (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <immintrin.h>

#include <algorithm>

#include "games/arena/render_kernels.h"

namespace metabonk::arena {

namespace {

__m512i Splat(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }

void GroundRowAvx512(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i u = _mm512_add_epi32(_mm512_set1_epi32(row.u),
                               _mm512_mullo_epi32(lane, _mm512_set1_epi32(row.du)));
  __m512i v = _mm512_add_epi32(_mm512_set1_epi32(row.v),
                               _mm512_mullo_epi32(lane, _mm512_set1_epi32(row.dv)));
  const __m512i du = _mm512_slli_epi32(_mm512_set1_epi32(row.du), 4);
  const __m512i dv = _mm512_slli_epi32(_mm512_set1_epi32(row.dv), 4);
  const __m512i outside_bits = Splat(~((128u << 16) - 1));
  const __m512i outside = Splat(row.outside);
  const __m512i low = Splat(0x00FF00FFu);
  const __m512i keep = _mm512_set1_epi16(static_cast<int16_t>(256 - row.fog));
  const __m512i fog = _mm512_set1_epi16(static_cast<int16_t>(row.fog));
  const __m512i fog_rb = _mm512_mullo_epi16(Splat(row.fog_colour & 0xFF00FFu), fog);
  const __m512i fog_g = _mm512_mullo_epi16(Splat(row.fog_colour >> 8 & 0x0000FFu), fog);
  for (int i = 0; i < count; i += 16) {
    const __mmask16 inside = _mm512_testn_epi32_mask(_mm512_or_si512(u, v), outside_bits);
    const __m512i texel =
        _mm512_or_si512(_mm512_slli_epi32(_mm512_srli_epi32(v, 15), 8), _mm512_srli_epi32(u, 15));
    __m512i c = _mm512_mask_i32gather_epi32(outside, inside, texel, map, 4);
    const __m512i rb = _mm512_srli_epi16(
        _mm512_add_epi16(_mm512_mullo_epi16(_mm512_and_si512(c, low), keep), fog_rb), 8);
    const __m512i green = _mm512_and_si512(_mm512_srli_epi32(c, 8), Splat(0xFF));
    const __m512i g =
        _mm512_andnot_si512(low, _mm512_add_epi16(_mm512_mullo_epi16(green, keep), fog_g));
    c = _mm512_or_si512(rb, g);
    const int left = count - i;
    const __mmask16 tail =
        left >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1u << left) - 1);
    _mm512_mask_storeu_epi32(out + i, tail, c);
    u = _mm512_add_epi32(u, du);
    v = _mm512_add_epi32(v, dv);
  }
}

void StampAvx512(uint32_t* frame, int stride, int width, int height, const Stamp& stamp, int x,
                 int y, uint32_t keep, uint32_t add) {
  const int first = std::max(0, -x);
  const int last = std::min(stamp.side, width - x);
  if (first >= last) return;
  const uint32_t clip = (last >= 32 ? ~0u : (1u << last) - 1) & ~((1u << first) - 1);
  const int bottom = std::min(stamp.side, height - y);
  const __m512i keep_lanes = Splat(keep);
  const __m512i add_lanes = Splat(add);
  for (int r = std::max(0, -y); r < bottom; ++r) {
    const uint32_t mask = stamp.masks[r] & clip;
    const uint32_t* source = stamp.pixels + r * stamp.stride;
    uint32_t* target = frame + (static_cast<int64_t>(y + r) * stride + x);
    __m512i c = _mm512_load_si512(source);
    c = _mm512_or_si512(_mm512_and_si512(c, keep_lanes), add_lanes);
    _mm512_mask_storeu_epi32(target, static_cast<__mmask16>(mask), c);
    if (mask >> 16) {
      c = _mm512_load_si512(source + 16);
      c = _mm512_or_si512(_mm512_and_si512(c, keep_lanes), add_lanes);
      _mm512_mask_storeu_epi32(target + 16, static_cast<__mmask16>(mask >> 16), c);
    }
  }
}

void PackAvx512(const uint32_t* pixels, uint8_t* rgb, int count) {
  const __m512i squeeze =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  const __m512i join = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15);
  int i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m512i c = _mm512_loadu_si512(pixels + i);
    const __m512i packed = _mm512_permutexvar_epi32(join, _mm512_shuffle_epi8(c, squeeze));
    _mm512_mask_storeu_epi32(rgb + 3 * i, 0x0FFF, packed);
  }
  kRenderKernelsBaseline.pack(pixels + i, rgb + 3 * i, count - i);
}

}  // namespace

const RenderKernels kRenderKernelsAvx512 = {GroundRowAvx512, StampAvx512, PackAvx512};

}  // namespace metabonk::arena

#endif
