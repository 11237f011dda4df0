// Eight pixels at a time. Tails go through masked loads and stores.
#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>

#include "games/arena/render_kernels.h"

namespace metabonk::arena {

namespace {

__m256i Splat(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }

// All bits of lane i set where bit i of mask is.
__m256i LanesOf(uint32_t mask) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(Splat(mask), bits), bits);
}

void GroundRowAvx2(uint32_t* out, int count, const uint32_t* map, const GroundRow& row) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i u = _mm256_add_epi32(_mm256_set1_epi32(row.u),
                               _mm256_mullo_epi32(lane, _mm256_set1_epi32(row.du)));
  __m256i v = _mm256_add_epi32(_mm256_set1_epi32(row.v),
                               _mm256_mullo_epi32(lane, _mm256_set1_epi32(row.dv)));
  const __m256i du = _mm256_slli_epi32(_mm256_set1_epi32(row.du), 3);
  const __m256i dv = _mm256_slli_epi32(_mm256_set1_epi32(row.dv), 3);
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
    __m256i c =
        _mm256_mask_i32gather_epi32(outside, reinterpret_cast<const int*>(map), texel, inside, 4);
    const __m256i rb = _mm256_srli_epi16(
        _mm256_add_epi16(_mm256_mullo_epi16(_mm256_and_si256(c, low), keep), fog_rb), 8);
    const __m256i green = _mm256_and_si256(_mm256_srli_epi32(c, 8), Splat(0xFF));
    const __m256i g =
        _mm256_andnot_si256(low, _mm256_add_epi16(_mm256_mullo_epi16(green, keep), fog_g));
    c = _mm256_or_si256(rb, g);
    if (i + 8 <= count) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), c);
    } else {
      _mm256_maskstore_epi32(reinterpret_cast<int*>(out + i), LanesOf((1u << (count - i)) - 1), c);
    }
    u = _mm256_add_epi32(u, du);
    v = _mm256_add_epi32(v, dv);
  }
}

void StampAvx2(uint32_t* frame, int stride, int width, int height, const Stamp& stamp, int x, int y,
               uint32_t keep, uint32_t add) {
  const int first = std::max(0, -x);
  const int last = std::min(stamp.side, width - x);
  if (first >= last) return;
  const uint32_t clip = (last >= 32 ? ~0u : (1u << last) - 1) & ~((1u << first) - 1);
  const int bottom = std::min(stamp.side, height - y);
  const __m256i keep_lanes = Splat(keep);
  const __m256i add_lanes = Splat(add);
  for (int r = std::max(0, -y); r < bottom; ++r) {
    uint32_t mask = stamp.masks[r] & clip;
    const uint32_t* source = stamp.pixels + r * stamp.stride;
    int* target = reinterpret_cast<int*>(frame) + (static_cast<int64_t>(y + r) * stride + x);
    for (; mask; mask >>= 8, source += 8, target += 8) {
      const __m256i c = _mm256_load_si256(reinterpret_cast<const __m256i*>(source));
      _mm256_maskstore_epi32(target, LanesOf(mask),
                             _mm256_or_si256(_mm256_and_si256(c, keep_lanes), add_lanes));
    }
  }
}

void PackAvx2(const uint32_t* pixels, uint8_t* rgb, int count) {
  const __m256i squeeze = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
                                           0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
  const __m256i six = LanesOf(0x3F);
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pixels + i));
    const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(c, squeeze), join);
    _mm256_maskstore_epi32(reinterpret_cast<int*>(rgb + 3 * i), six, packed);
  }
  kRenderKernelsBaseline.pack(pixels + i, rgb + 3 * i, count - i);
}

}  // namespace

const RenderKernels kRenderKernelsAvx2 = {GroundRowAvx2, StampAvx2, PackAvx2};

}  // namespace metabonk::arena

#endif
