// Frames on 16 pixels at a time; what is left of a row is done by the definitions.
#if defined(__x86_64__)
#include <immintrin.h>

#include "video/frames_loops.h"

namespace metabonk::video {
namespace {

inline __m128i Load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void Store(void* p, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }

// A mask for _mm_shuffle_epi8: out[i] is byte f(i), or 0 where f(i) < 0.
template <typename F>
inline __m128i Shuffle(const F& f) {
  alignas(16) int8_t mask[16];
  for (int i = 0; i < 16; ++i) mask[i] = static_cast<int8_t>(f(i) < 0 || f(i) > 15 ? -1 : f(i));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(mask));
}

// 16 pixels of three channels and what takes them apart and together.
struct Pixels {
  __m128i r, g, b;  // bytes
};

struct Masks {
  __m128i apart[3][3];     // [channel][third of the 48 bytes]
  __m128i together[3][3];  // [third][channel]

  Masks() {
    for (int c = 0; c < 3; ++c) {
      for (int third = 0; third < 3; ++third) {
        apart[c][third] = Shuffle([&](int i) { return 3 * i + c - 16 * third; });
        together[third][c] = Shuffle([&](int i) {
          const int byte = 16 * third + i;
          return byte % 3 == c ? byte / 3 : -1;
        });
      }
    }
  }
};

inline __m128i Either(const __m128i* parts, const __m128i* masks) {
  return _mm_or_si128(
      _mm_or_si128(_mm_shuffle_epi8(parts[0], masks[0]), _mm_shuffle_epi8(parts[1], masks[1])),
      _mm_shuffle_epi8(parts[2], masks[2]));
}

inline Pixels LoadPixels(const uint8_t* rgb, const Masks& masks) {
  const __m128i parts[3] = {Load(rgb), Load(rgb + 16), Load(rgb + 32)};
  return {Either(parts, masks.apart[0]), Either(parts, masks.apart[1]),
          Either(parts, masks.apart[2])};
}

inline void StorePixels(const Pixels& pixels, const Masks& masks, uint8_t* rgb) {
  const __m128i parts[3] = {pixels.r, pixels.g, pixels.b};
  for (int third = 0; third < 3; ++third) {
    Store(rgb + 16 * third, Either(parts, masks.together[third]));
  }
}

// Two weights for _mm256_madd_epi16.
inline __m256i Pair(int32_t low, int32_t high) {
  return _mm256_set1_epi32(static_cast<int32_t>(static_cast<uint32_t>(low & 0xffff) |
                                                static_cast<uint32_t>(high) << 16));
}

// (a x + b y + c z + plus) >> kShift for 16 lanes of 16 bits, as 16 bits.
template <int kShift>
inline __m256i Weigh3(__m256i x, __m256i y, __m256i z, __m256i xy, __m256i zero, int32_t plus) {
  const __m256i nothing = _mm256_setzero_si256(), add = _mm256_set1_epi32(plus);
  const auto half = [&](__m256i first, __m256i last) {
    const __m256i sum =
        _mm256_add_epi32(_mm256_madd_epi16(first, xy), _mm256_madd_epi16(last, zero));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, add), kShift);
  };
  return _mm256_packs_epi32(half(_mm256_unpacklo_epi16(x, y), _mm256_unpacklo_epi16(z, nothing)),
                            half(_mm256_unpackhi_epi16(x, y), _mm256_unpackhi_epi16(z, nothing)));
}

template <int kShift>
inline __m256i Weigh3(__m256i x, __m256i y, __m256i z, const int16_t* c, int32_t plus) {
  return Weigh3<kShift>(x, y, z, Pair(c[0], c[1]), Pair(c[2], 0), plus);
}

inline __m256i Widen(__m128i bytes) { return _mm256_cvtepu8_epi16(bytes); }

// 16 lanes of 16 bits to bytes, cut to 0..255.
inline __m128i Narrow(__m256i v) {
  return _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

void Grey(const uint8_t* rgb, int64_t pixels, uint8_t* out) {
  const Masks masks;
  constexpr int16_t kWeights[3] = {9798, 19235, 3735};
  int64_t i = 0;
  for (; i + 16 <= pixels; i += 16) {
    const Pixels p = LoadPixels(rgb + 3 * i, masks);
    Store(out + i, Narrow(Weigh3<15>(Widen(p.r), Widen(p.g), Widen(p.b), kWeights, 1 << 14)));
  }
  GreyLoop(rgb + 3 * i, pixels - i, out + i);
}

// Sums of neighbours: 16 lanes of two rows -> 8 lanes of 16 bits.
inline __m128i Quads(__m128i top, __m128i bottom) {
  const __m128i one = _mm_set1_epi8(1);
  return _mm_add_epi16(_mm_maddubs_epi16(top, one), _mm_maddubs_epi16(bottom, one));
}

void RgbToNv12Rows(const uint8_t* top, const uint8_t* bottom, int width,
                   const ColourCoefficients& c, uint8_t* y_top, uint8_t* y_bottom, uint8_t* uv) {
  const Masks masks;
  constexpr int32_t kLuma = (16 << 15) + (1 << 14), kChroma = (128 << 17) + (1 << 16);
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    const Pixels a = LoadPixels(top + 3 * x, masks), b = LoadPixels(bottom + 3 * x, masks);
    Store(y_top + x, Narrow(Weigh3<15>(Widen(a.r), Widen(a.g), Widen(a.b), c.luma, kLuma)));
    Store(y_bottom + x, Narrow(Weigh3<15>(Widen(b.r), Widen(b.g), Widen(b.b), c.luma, kLuma)));
    // The lower half of each vector makes Cb, the upper one Cr.
    const auto both = [](__m128i v) { return _mm256_broadcastsi128_si256(v); };
    const __m256i xy =
        _mm256_blend_epi32(Pair(c.blue[0], c.blue[1]), Pair(c.red[0], c.red[1]), 0xf0);
    const __m256i z = _mm256_blend_epi32(Pair(c.blue[2], 0), Pair(c.red[2], 0), 0xf0);
    const __m256i chroma = Weigh3<17>(both(Quads(a.r, b.r)), both(Quads(a.g, b.g)),
                                      both(Quads(a.b, b.b)), xy, z, kChroma);
    const __m128i planes = Narrow(chroma);
    Store(uv + x, _mm_unpacklo_epi8(planes, _mm_srli_si128(planes, 8)));
  }
  RgbToNv12Loop(top + 3 * x, bottom + 3 * x, width - x, c, y_top + x, y_bottom + x, uv + x);
}

void Nv12ToRgbRow(const uint8_t* y, const uint8_t* uv, int width, const ColourCoefficients& c,
                  uint8_t* rgb) {
  const Masks masks;
  const __m128i blue = Shuffle([](int i) { return i / 2 * 2; });
  const __m128i red = Shuffle([](int i) { return i / 2 * 2 + 1; });
  const __m256i middle = _mm256_set1_epi16(128), black = _mm256_set1_epi16(16);
  const __m256i y_red = Pair(c.y, c.red_v), y_blue = Pair(c.y, c.blue_u);
  const __m256i y_green = Pair(c.y, c.green_u), green = Pair(c.green_v, 0), none = Pair(0, 0);
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    const __m128i pairs = Load(uv + x);
    const __m256i luma = _mm256_sub_epi16(Widen(Load(y + x)), black);
    const __m256i u = _mm256_sub_epi16(Widen(_mm_shuffle_epi8(pairs, blue)), middle);
    const __m256i v = _mm256_sub_epi16(Widen(_mm_shuffle_epi8(pairs, red)), middle);
    StorePixels({Narrow(Weigh3<13>(luma, v, v, y_red, none, 1 << 12)),
                 Narrow(Weigh3<13>(luma, u, v, y_green, green, 1 << 12)),
                 Narrow(Weigh3<13>(luma, u, u, y_blue, none, 1 << 12))},
                masks, rgb + 3 * int64_t{x});
  }
  Nv12ToRgbLoop(y + x, uv + x, width - x, c, rgb + 3 * int64_t{x});
}

// As many whole pixels as 16 bytes hold, reversed; each store's spare bytes are written over by the
// next one, so the last pixels are left to the loop.
void FlipRow(const uint8_t* row, int pixels, int channels, uint8_t* out) {
  int done = 0;
  if (channels <= 8) {
    const int whole = 16 / channels;
    const __m128i mask = Shuffle([&](int i) {
      const int pixel = i / channels;
      return pixel < whole ? (whole - 1 - pixel) * channels + i % channels : -1;
    });
    for (; (pixels - done) * channels >= 32; done += whole) {
      const uint8_t* from = row + int64_t{pixels - done - whole} * channels;
      Store(out + int64_t{done} * channels, _mm_shuffle_epi8(Load(from), mask));
    }
  }
  FlipLoop(row, pixels - done, channels, out + int64_t{done} * channels);
}

void MixRows(const uint8_t* rows, int64_t stride, const int16_t* weights, int taps, int64_t count,
             int16_t* out) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m256i low = _mm256_set1_epi32(1 << 6), high = low;
    for (int k = 0; k < taps; k += 2) {
      const uint8_t* from = rows + k * stride + i;
      const bool two = k + 1 < taps;
      const __m256i a = Widen(Load(from)), b = Widen(Load(two ? from + stride : from));
      const __m256i w = Pair(weights[k], two ? weights[k + 1] : 0);
      low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w));
    }
    const __m256i sum = _mm256_packs_epi32(_mm256_srai_epi32(low, 7), _mm256_srai_epi32(high, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), sum);
  }
  MixRowsLoop(rows + i, stride, weights, taps, count - i, out + i);
}

inline __m128i Load8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

// Up to four channels at a time, two taps in each product.
void MixPixels(const int16_t* row, const ResizeAxis& axis, int channels, uint8_t* out) {
  const int16_t* weights = axis.weights.data();
  for (int i = 0; i < axis.count; ++i, weights += axis.taps) {
    const int16_t* from = row + int64_t{axis.first[static_cast<size_t>(i)]} * channels;
    __m128i sum = _mm_set1_epi32(1 << 20);
    for (int k = 0; k < axis.taps; k += 2, from += 2 * channels) {
      int32_t pair;
      std::memcpy(&pair, weights + k, sizeof(pair));
      const __m128i two = _mm_unpacklo_epi16(Load8(from), Load8(from + channels));
      sum = _mm_add_epi32(sum, _mm_madd_epi16(two, _mm_set1_epi32(pair)));
    }
    sum = _mm_srai_epi32(sum, 21);
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
    const int32_t pixel = _mm_cvtsi128_si32(bytes);
    std::memcpy(out + int64_t{i} * channels, &pixel, static_cast<size_t>(channels));
  }
}

// One channel: eight taps in each product, as long as there are so many.
void MixBytes(const int16_t* row, const ResizeAxis& axis, uint8_t* out) {
  const int16_t* weights = axis.weights.data();
  for (int i = 0; i < axis.count; ++i, weights += axis.taps) {
    const int16_t* from = row + axis.first[static_cast<size_t>(i)];
    __m128i sums = _mm_setzero_si128();
    int k = 0;
    for (; k + 8 <= axis.taps; k += 8) {
      sums = _mm_add_epi32(sums, _mm_madd_epi16(Load(from + k), Load(weights + k)));
    }
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4e));
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0xb1));
    int32_t sum = _mm_cvtsi128_si32(sums) + (1 << 20);
    for (; k < axis.taps; ++k) sum += weights[k] * from[k];
    out[i] = static_cast<uint8_t>(sum >> 21);
  }
}

void MixColumns(const int16_t* row, const ResizeAxis& axis, int channels, uint8_t* out) {
  if (channels == 1) return MixBytes(row, axis, out);
  if (channels <= 4) return MixPixels(row, axis, channels, out);
  MixColumnsLoop(row, axis, 0, channels, out);
}

inline __m256 Floats(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }

inline __m256 Affine(__m256 x, __m256 by, __m256 plus) {
  return _mm256_add_ps(_mm256_mul_ps(x, by), plus);
}

void NormalisePlanar3(const uint8_t* frame, int64_t pixels, const float* scale, const float* shift,
                      float* out) {
  const Masks masks;
  int64_t i = 0;
  for (; i + 16 <= pixels; i += 16) {
    const Pixels p = LoadPixels(frame + 3 * i, masks);
    const __m128i planes[3] = {p.r, p.g, p.b};
    for (int c = 0; c < 3; ++c) {
      const __m256 by = _mm256_set1_ps(scale[c]), plus = _mm256_set1_ps(shift[c]);
      float* to = out + c * pixels + i;
      _mm256_storeu_ps(to, Affine(Floats(planes[c]), by, plus));
      _mm256_storeu_ps(to + 8, Affine(Floats(_mm_srli_si128(planes[c], 8)), by, plus));
    }
  }
  NormaliseLoop(frame, i, pixels, 3, scale, shift, true, out);
}

// As it lies: the channels' numbers repeat every `channels` vectors of 8.
void NormaliseInPlace(const uint8_t* frame, int64_t pixels, int channels, const float* scale,
                      const float* shift, float* out) {
  alignas(32) float by[8 * 8], plus[8 * 8];
  for (int i = 0; i < 8 * channels; ++i) {
    by[i] = scale[i % channels];
    plus[i] = shift[i % channels];
  }
  int64_t i = 0;
  for (; i + 8 <= pixels; i += 8) {
    for (int v = 0; v < channels; ++v) {
      const int64_t at = i * channels + 8 * v;
      _mm256_storeu_ps(out + at, Affine(Floats(Load8(frame + at)), _mm256_load_ps(by + 8 * v),
                                        _mm256_load_ps(plus + 8 * v)));
    }
  }
  NormaliseLoop(frame, i, pixels, channels, scale, shift, false, out);
}

void Normalise(const uint8_t* frame, int64_t pixels, int channels, const float* scale,
               const float* shift, bool planar, float* out) {
  if (planar && channels == 3) return NormalisePlanar3(frame, pixels, scale, shift, out);
  if ((!planar || channels == 1) && channels <= 8) {
    return NormaliseInPlace(frame, pixels, channels, scale, shift, out);
  }
  NormaliseLoop(frame, 0, pixels, channels, scale, shift, planar, out);
}

}  // namespace

const FrameKernels kFramesAvx2 = {"avx2",  Grey,    RgbToNv12Rows, Nv12ToRgbRow,
                                  FlipRow, MixRows, MixColumns,    Normalise};

}  // namespace metabonk::video
#endif
