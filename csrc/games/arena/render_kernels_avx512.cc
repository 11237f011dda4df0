// Sixteen pixels at a time. Tails and transparent pixels are masked lanes.
#if defined(__x86_64__)

// g++ 12 takes the undefined vectors of its own intrinsics for mistakes of ours (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <immintrin.h>

#include "games/arena/render_kernels.h"

namespace metabonk::arena {

namespace {

__m512i Splat(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }

__mmask16 FirstLanes(int count) {
  return count >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1u << count) - 1);
}

// The samples of a row, one for every second pixel.
void SampleRow(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  const __m512i lane = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  __m512i u = _mm512_add_epi32(_mm512_set1_epi32(row.u),
                               _mm512_mullo_epi32(lane, _mm512_set1_epi32(row.du)));
  __m512i v = _mm512_add_epi32(_mm512_set1_epi32(row.v),
                               _mm512_mullo_epi32(lane, _mm512_set1_epi32(row.dv)));
  const __m512i du = _mm512_slli_epi32(_mm512_set1_epi32(row.du), 5);
  const __m512i dv = _mm512_slli_epi32(_mm512_set1_epi32(row.dv), 5);
  const __m512i outside_bits = Splat(~((128u << 16) - 1));
  const __m512i outside = Splat(row.outside);
  const __m512i low = Splat(0x00FF00FFu);
  const __m512i keep = _mm512_set1_epi16(static_cast<int16_t>(256 - row.fog));
  const __m512i fog = _mm512_set1_epi16(static_cast<int16_t>(row.fog));
  const __m512i fog_rb = _mm512_mullo_epi16(Splat(row.fog_colour & 0xFF00FFu), fog);
  const __m512i fog_g = _mm512_mullo_epi16(Splat(row.fog_colour >> 8 & 0x0000FFu), fog);
  for (int i = 0; i < count; i += 16) {
    const __mmask16 wanted = FirstLanes(count - i);
    const __mmask16 inside =
        _mm512_mask_testn_epi32_mask(wanted, _mm512_or_si512(u, v), outside_bits);
    const __m512i texel =
        _mm512_or_si512(_mm512_slli_epi32(_mm512_srli_epi32(v, 15), 8), _mm512_srli_epi32(u, 15));
    const __m512i c = _mm512_mask_i32gather_epi32(outside, inside, texel, map, 4);
    const __m512i rb = _mm512_srli_epi16(
        _mm512_add_epi16(_mm512_mullo_epi16(_mm512_and_si512(c, low), keep), fog_rb), 8);
    const __m512i green = _mm512_and_si512(_mm512_srli_epi32(c, 8), Splat(0xFF));
    const __m512i g =
        _mm512_andnot_si512(low, _mm512_add_epi16(_mm512_mullo_epi16(green, keep), fog_g));
    _mm512_storeu_si512(out + i, _mm512_or_si512(rb, g));
    u = _mm512_add_epi32(u, du);
    v = _mm512_add_epi32(v, dv);
  }
}

void GroundRowAvx512(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  alignas(64) uint32_t samples[kMaxFrameWidth / 2 + 32];
  SampleRow(samples, count / 2 + 1, map, row);
  const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i second =
      _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  for (int i = 0; i < count; i += 32) {
    const __m512i even = _mm512_loadu_si512(samples + i / 2);
    const __m512i odd = _mm512_avg_epu8(even, _mm512_loadu_si512(samples + i / 2 + 1));
    _mm512_mask_storeu_epi32(out + i, FirstLanes(count - i),
                             _mm512_permutex2var_epi32(even, first, odd));
    if (count - i > 16) {
      _mm512_mask_storeu_epi32(out + i + 16, FirstLanes(count - i - 16),
                               _mm512_permutex2var_epi32(even, second, odd));
    }
  }
}

void StampsAvx512(const PlainFrame& frame, const Stamp* table, const StampDraw* draws, int count) {
  for (int k = 0; k < count; ++k) {
    const StampDraw& draw = draws[k];
    const Stamp& stamp = table[draw.stamp];
    const StampClip clip = ClipStamp(frame, stamp, draw.x, draw.y);
    const __m512i keep = Splat(kStampStyles.keep[draw.style]);
    const __m512i add = Splat(kStampStyles.add[draw.style]);
    uint32_t* target = frame.pixels + (draw.y + clip.first) * frame.stride + draw.x;
    if (stamp.stride == 16) {
      for (int r = clip.first; r < clip.last; ++r, target += frame.stride) {
        const __mmask16 mask = static_cast<__mmask16>(stamp.masks[r] & clip.columns);
        const __m512i c = _mm512_load_si512(stamp.pixels + r * 16);
        _mm512_mask_storeu_epi32(target, mask, _mm512_or_si512(_mm512_and_si512(c, keep), add));
      }
      continue;
    }
    for (int r = clip.first; r < clip.last; ++r, target += frame.stride) {
      const uint32_t mask = stamp.masks[r] & clip.columns;
      const __m512i left = _mm512_load_si512(stamp.pixels + r * 32);
      const __m512i right = _mm512_load_si512(stamp.pixels + r * 32 + 16);
      _mm512_mask_storeu_epi32(target, static_cast<__mmask16>(mask),
                               _mm512_or_si512(_mm512_and_si512(left, keep), add));
      _mm512_mask_storeu_epi32(target + 16, static_cast<__mmask16>(mask >> 16),
                               _mm512_or_si512(_mm512_and_si512(right, keep), add));
    }
  }
}

int ProjectAvx512(const Projection& view, const float* x, const float* y, int count,
                  Projected* out) {
  int kept = 0;
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (int i = 0; i < count; i += 16) {
    const __mmask16 live = FirstLanes(count - i);
    const __m512 dx = _mm512_sub_ps(_mm512_maskz_loadu_ps(live, x + i), _mm512_set1_ps(view.eye_x));
    const __m512 dy = _mm512_sub_ps(_mm512_maskz_loadu_ps(live, y + i), _mm512_set1_ps(view.eye_y));
    const __m512 depth = _mm512_add_ps(_mm512_mul_ps(dx, _mm512_set1_ps(view.forward_x)),
                                       _mm512_mul_ps(dy, _mm512_set1_ps(view.forward_y)));
    const __m512 across = _mm512_add_ps(_mm512_mul_ps(dx, _mm512_set1_ps(view.right_x)),
                                        _mm512_mul_ps(dy, _mm512_set1_ps(view.right_y)));
    const __m512 reach = _mm512_add_ps(_mm512_mul_ps(depth, _mm512_set1_ps(view.slope)),
                                       _mm512_set1_ps(view.margin));
    __mmask16 seen = _mm512_mask_cmp_ps_mask(live, depth, _mm512_set1_ps(view.near), _CMP_GE_OQ);
    seen = _mm512_mask_cmp_ps_mask(seen, depth, _mm512_set1_ps(view.far), _CMP_LT_OQ);
    seen = _mm512_mask_cmp_ps_mask(seen, _mm512_abs_ps(across), reach, _CMP_LE_OQ);
    const __m512 scale = _mm512_div_ps(_mm512_set1_ps(view.focal), depth);
    const __m512i index = _mm512_add_epi32(lane, _mm512_set1_epi32(i));
    _mm512_storeu_si512(out->index + kept, _mm512_maskz_compress_epi32(seen, index));
    _mm512_storeu_ps(out->depth + kept, _mm512_maskz_compress_ps(seen, depth));
    _mm512_storeu_ps(out->across + kept, _mm512_maskz_compress_ps(seen, across));
    _mm512_storeu_ps(out->scale + kept, _mm512_maskz_compress_ps(seen, scale));
    kept += __builtin_popcount(seen);
  }
  return kept;
}

void PackAvx512(const uint32_t* pixels, uint8_t* rgb, int count) {
  const __m512i squeeze =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  const __m512i join = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15);
  for (int i = 0; i < count; i += 16) {
    const __mmask16 wanted = FirstLanes(count - i);
    const __m512i c = _mm512_maskz_loadu_epi32(wanted, pixels + i);
    const __m512i packed = _mm512_permutexvar_epi32(join, _mm512_shuffle_epi8(c, squeeze));
    if (count - i >= 16) {
      _mm512_mask_storeu_epi32(rgb + 3 * i, 0x0FFF, packed);
    } else {
      const __mmask64 bytes = (static_cast<__mmask64>(1) << (3 * (count - i))) - 1;
      _mm512_mask_storeu_epi8(rgb + 3 * i, bytes, packed);
    }
  }
}

}  // namespace

const RenderKernels kRenderKernelsAvx512 = {GroundRowAvx512, StampsAvx512, ProjectAvx512,
                                            PackAvx512};

}  // namespace metabonk::arena

#endif
