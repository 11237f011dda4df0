// Eight pixels at a time. Where a row of a stamp has holes it is blended with what is there:
// masked stores are slow on several processors of this tier.
#if defined(__x86_64__)

#include <immintrin.h>

#include "games/arena/render_kernels.h"

namespace metabonk::arena {

namespace {

__m256i Splat(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }

// All bits of lane i set where bit i of mask is.
__m256i LanesOf(uint32_t mask) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(Splat(mask), bits), bits);
}

__m256i Load(const uint32_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

void Store(uint32_t* to, __m256i value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
}

// The samples of a row, one for every second pixel.
void SampleRow(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  const __m256i lane = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
  __m256i u = _mm256_add_epi32(_mm256_set1_epi32(row.u),
                               _mm256_mullo_epi32(lane, _mm256_set1_epi32(row.du)));
  __m256i v = _mm256_add_epi32(_mm256_set1_epi32(row.v),
                               _mm256_mullo_epi32(lane, _mm256_set1_epi32(row.dv)));
  const __m256i du = _mm256_slli_epi32(_mm256_set1_epi32(row.du), 4);
  const __m256i dv = _mm256_slli_epi32(_mm256_set1_epi32(row.dv), 4);
  const __m256i outside_bits = Splat(~((128u << 16) - 1));
  const __m256i outside = Splat(row.outside);
  const __m256i low = Splat(0x00FF00FFu);
  const __m256i keep = _mm256_set1_epi16(static_cast<int16_t>(256 - row.fog));
  const __m256i fog = _mm256_set1_epi16(static_cast<int16_t>(row.fog));
  const __m256i fog_rb = _mm256_mullo_epi16(Splat(row.fog_colour & 0xFF00FFu), fog);
  const __m256i fog_g = _mm256_mullo_epi16(Splat(row.fog_colour >> 8 & 0x0000FFu), fog);
  for (int i = 0; i < count; i += 8) {
    const __m256i beyond = _mm256_and_si256(_mm256_or_si256(u, v), outside_bits);
    const __m256i inside = _mm256_cmpeq_epi32(beyond, _mm256_setzero_si256());
    const __m256i texel =
        _mm256_or_si256(_mm256_slli_epi32(_mm256_srli_epi32(v, 15), 8), _mm256_srli_epi32(u, 15));
    const __m256i c =
        _mm256_mask_i32gather_epi32(outside, reinterpret_cast<const int*>(map), texel, inside, 4);
    const __m256i rb = _mm256_srli_epi16(
        _mm256_add_epi16(_mm256_mullo_epi16(_mm256_and_si256(c, low), keep), fog_rb), 8);
    const __m256i green = _mm256_and_si256(_mm256_srli_epi32(c, 8), Splat(0xFF));
    const __m256i g =
        _mm256_andnot_si256(low, _mm256_add_epi16(_mm256_mullo_epi16(green, keep), fog_g));
    Store(out + i, _mm256_or_si256(rb, g));
    u = _mm256_add_epi32(u, du);
    v = _mm256_add_epi32(v, dv);
  }
}

void GroundRowAvx2(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  alignas(64) uint32_t samples[kMaxFrameWidth / 2 + 32];
  SampleRow(samples, count / 2 + 1, map, row);
  for (int i = 0; i < count; i += 16) {
    const __m256i even = Load(samples + i / 2);
    const __m256i odd = _mm256_avg_epu8(even, Load(samples + i / 2 + 1));
    const __m256i low = _mm256_unpacklo_epi32(even, odd);
    const __m256i high = _mm256_unpackhi_epi32(even, odd);
    const __m256i first = _mm256_permute2x128_si256(low, high, 0x20);
    const __m256i second = _mm256_permute2x128_si256(low, high, 0x31);
    const int left = count - i;
    if (left >= 16) {
      Store(out + i, first);
      Store(out + i + 8, second);
      continue;
    }
    int* tail = reinterpret_cast<int*>(out + i);
    _mm256_maskstore_epi32(tail, LanesOf((1u << left) - 1), first);
    if (left > 8) _mm256_maskstore_epi32(tail + 8, LanesOf((1u << (left - 8)) - 1), second);
  }
}

void StampsAvx2(const PlainFrame& frame, const Stamp* table, const StampDraw* draws, int count) {
  for (int k = 0; k < count; ++k) {
    const StampDraw& draw = draws[k];
    const Stamp& stamp = table[draw.stamp];
    const StampClip clip = ClipStamp(frame, stamp, draw.x, draw.y);
    const __m256i keep = Splat(kStampStyles.keep[draw.style]);
    const __m256i add = Splat(kStampStyles.add[draw.style]);
    for (int r = clip.first; r < clip.last; ++r) {
      uint32_t mask = stamp.masks[r] & clip.columns;
      const uint32_t* source = stamp.pixels + r * stamp.stride;
      uint32_t* target = frame.pixels + (draw.y + r) * frame.stride + draw.x;
      for (; mask; mask >>= 8, source += 8, target += 8) {
        const __m256i c = _mm256_or_si256(_mm256_and_si256(Load(source), keep), add);
        Store(target, _mm256_blendv_epi8(Load(target), c, LanesOf(mask)));
      }
    }
  }
}

int ProjectAvx2(const Projection& view, const float* x, const float* y, int count, Projected* out) {
  int kept = 0;
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int i = 0; i < count; i += 8) {
    const __m256i live = LanesOf(count - i >= 8 ? 0xFF : (1u << (count - i)) - 1);
    const __m256 dx = _mm256_sub_ps(_mm256_maskload_ps(x + i, live), _mm256_set1_ps(view.eye_x));
    const __m256 dy = _mm256_sub_ps(_mm256_maskload_ps(y + i, live), _mm256_set1_ps(view.eye_y));
    const __m256 depth = _mm256_add_ps(_mm256_mul_ps(dx, _mm256_set1_ps(view.forward_x)),
                                       _mm256_mul_ps(dy, _mm256_set1_ps(view.forward_y)));
    const __m256 across = _mm256_add_ps(_mm256_mul_ps(dx, _mm256_set1_ps(view.right_x)),
                                        _mm256_mul_ps(dy, _mm256_set1_ps(view.right_y)));
    const __m256 reach = _mm256_add_ps(_mm256_mul_ps(depth, _mm256_set1_ps(view.slope)),
                                       _mm256_set1_ps(view.margin));
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 along = _mm256_and_ps(_mm256_cmp_ps(depth, _mm256_set1_ps(view.near), _CMP_GE_OQ),
                                       _mm256_cmp_ps(depth, _mm256_set1_ps(view.far), _CMP_LT_OQ));
    const __m256 beside = _mm256_cmp_ps(_mm256_andnot_ps(sign, across), reach, _CMP_LE_OQ);
    const __m256 seen = _mm256_and_ps(_mm256_and_ps(along, beside), _mm256_castsi256_ps(live));
    const __m256 scale = _mm256_div_ps(_mm256_set1_ps(view.focal), depth);
    alignas(32) float depths[8], acrosses[8], scales[8];
    _mm256_store_ps(depths, depth);
    _mm256_store_ps(acrosses, across);
    _mm256_store_ps(scales, scale);
    alignas(32) int32_t indices[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(indices),
                       _mm256_add_epi32(lane, _mm256_set1_epi32(i)));
    for (uint32_t bits = static_cast<uint32_t>(_mm256_movemask_ps(seen)); bits; bits &= bits - 1) {
      const int at = __builtin_ctz(bits);
      out->index[kept] = indices[at];
      out->depth[kept] = depths[at];
      out->across[kept] = acrosses[at];
      out->scale[kept] = scales[at];
      ++kept;
    }
  }
  return kept;
}

void PackAvx2(const uint32_t* pixels, uint8_t* rgb, int count) {
  const __m256i squeeze = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
                                           0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
  int i = 0;
  // Each store writes 32 bytes of which the next overwrites 8; the last ones go pixel by pixel.
  for (; i + 11 <= count; i += 8) {
    const __m256i packed =
        _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(Load(pixels + i), squeeze), join);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(rgb + 3 * i), packed);
  }
  kRenderKernelsBaseline.pack(pixels + i, rgb + 3 * i, count - i);
}

}  // namespace

const RenderKernels kRenderKernelsAvx2 = {GroundRowAvx2, StampsAvx2, ProjectAvx2, PackAvx2};

}  // namespace metabonk::arena

#endif
