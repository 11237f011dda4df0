// Frames on 32 pixels at a time; what is left of a row is done by the definitions.
#if defined(__x86_64__)
#include "video/frames_avx2.h"

#include "video/frames_loops.h"

namespace metabonk::video {
namespace {

constexpr int kSpare = 2;  // pixels beyond the last ones that a load of four may touch

// (c0 R + c1 G + c2 B + plus) >> 15 of 32 pixels, as bytes.
inline __m256i Luma(const uint8_t* rgb, __m256i red_green, __m256i blue, __m256i plus) {
  const auto four = [&](int k) {  // pixels 4 k and, in the upper half, 16 + 4 k
    const __m256i bytes = Halves(rgb + 12 * k, rgb + 48 + 12 * k);
    const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(Picked(bytes, kRedGreen), red_green),
                                         _mm256_madd_epi16(Picked(bytes, kBlueOnly), blue));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, plus), 15);
  };
  return _mm256_packus_epi16(_mm256_packs_epi32(four(0), four(1)),
                             _mm256_packs_epi32(four(2), four(3)));
}

inline void Store32(uint8_t* to, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v);
}

void Grey(const uint8_t* rgb, int64_t pixels, uint8_t* out) {
  const __m256i red_green = Pair(9798, 19235), blue = Pair(3735, 0);
  const __m256i half = _mm256_set1_epi32(1 << 14);
  int64_t i = 0;
  for (; i + 32 + kSpare <= pixels; i += 32) {
    Store32(out + i, Luma(rgb + 3 * i, red_green, blue, half));
  }
  GreyLoop(rgb + 3 * i, pixels - i, out + i);
}

// Weights that fit Sums.
inline __m256i SumWeights(const int16_t* c) {
  return _mm256_broadcastsi128_si256(_mm_setr_epi16(c[0], c[1], c[0], c[1], c[2], 0, c[2], 0));
}

// Cb and Cr pairs of 32 x 2 pixels, in the order in which they are stored.
inline __m256i Chroma(const uint8_t* top, const uint8_t* bottom, __m256i blue, __m256i red) {
  const __m256i plus = _mm256_set1_epi32((128 << 17) + (1 << 16));
  const auto four = [&](int k) {  // Cb, Cb, Cr, Cr of pixels 4 k and 16 + 4 k
    const __m256i sums = Sums(top + 12 * k, bottom + 12 * k, 48);
    const __m256i u = _mm256_madd_epi16(sums, blue), v = _mm256_madd_epi16(sums, red);
    const __m256i both = _mm256_add_epi32(_mm256_unpacklo_epi64(u, v), _mm256_unpackhi_epi64(u, v));
    return _mm256_srai_epi32(_mm256_add_epi32(both, plus), 17);
  };
  constexpr Mask kPairs = Shuffle([](int i) { return i / 4 * 4 + i / 2 % 2 + i % 2 * 2; });
  return Picked(_mm256_packus_epi16(_mm256_packs_epi32(four(0), four(1)),
                                    _mm256_packs_epi32(four(2), four(3))),
                kPairs);
}

void RgbToNv12Rows(const uint8_t* top, const uint8_t* bottom, int width,
                   const ColourCoefficients& c, uint8_t* y_top, uint8_t* y_bottom, uint8_t* uv) {
  const __m256i red_green = Pair(c.luma[0], c.luma[1]), blue = Pair(c.luma[2], 0);
  const __m256i plus = _mm256_set1_epi32((16 << 15) + (1 << 14));
  const __m256i cb = SumWeights(c.blue), cr = SumWeights(c.red);
  int x = 0;
  for (; x + 32 + kSpare <= width; x += 32) {
    const uint8_t* a = top + 3 * int64_t{x};
    const uint8_t* b = bottom + 3 * int64_t{x};
    Store32(y_top + x, Luma(a, red_green, blue, plus));
    Store32(y_bottom + x, Luma(b, red_green, blue, plus));
    Store32(uv + x, Chroma(a, b, cb, cr));
  }
  RgbToNv12Loop(top + 3 * int64_t{x}, bottom + 3 * int64_t{x}, width - x, c, y_top + x,
                y_bottom + x, uv + x);
}

void Nv12ToRgbRow(const uint8_t* y, const uint8_t* uv, int width, const ColourCoefficients& c,
                  uint8_t* rgb) {
  // Of eight pixels in each half: Cb or Cr times 256, the first or the last four pairs.
  constexpr Mask kLow[2] = {Shuffle([](int i) { return i % 2 ? i / 4 * 2 : -1; }),
                            Shuffle([](int i) { return i % 2 ? i / 4 * 2 + 1 : -1; })};
  constexpr Mask kHigh[2] = {Shuffle([](int i) { return i % 2 ? i / 4 * 2 + 8 : -1; }),
                             Shuffle([](int i) { return i % 2 ? i / 4 * 2 + 9 : -1; })};
  const auto times = [](__m256i x, int16_t by) {
    return _mm256_mulhrs_epi16(x, _mm256_set1_epi16(by));
  };
  const __m256i sign = _mm256_set1_epi16(-32768), black = _mm256_set1_epi16(16 << 7);
  const __m256i half = _mm256_set1_epi16(32), zero = _mm256_setzero_si256();
  int x = 0;
  for (; x + 32 <= width; x += 32) {
    const __m256i pairs = Halves(uv + x, uv + x + 16), lumas = Halves(y + x, y + x + 16);
    __m256i sums[3][2];
    for (int k = 0; k < 2; ++k) {
      const __m256i wide =
          k == 0 ? _mm256_unpacklo_epi8(zero, lumas) : _mm256_unpackhi_epi8(zero, lumas);
      const __m256i luma =
          _mm256_add_epi16(times(_mm256_sub_epi16(_mm256_srli_epi16(wide, 1), black), c.y), half);
      const __m256i u = _mm256_xor_si256(Picked(pairs, k == 0 ? kLow[0] : kHigh[0]), sign);
      const __m256i v = _mm256_xor_si256(Picked(pairs, k == 0 ? kLow[1] : kHigh[1]), sign);
      const __m256i green = _mm256_add_epi16(times(u, c.green_u), times(v, c.green_v));
      sums[0][k] = _mm256_srai_epi16(_mm256_adds_epi16(luma, times(v, c.red_v)), 6);
      sums[1][k] = _mm256_srai_epi16(_mm256_adds_epi16(luma, green), 6);
      sums[2][k] = _mm256_srai_epi16(_mm256_adds_epi16(luma, times(u, c.blue_u)), 6);
    }
    StorePixels(
        {_mm256_packus_epi16(sums[0][0], sums[0][1]), _mm256_packus_epi16(sums[1][0], sums[1][1]),
         _mm256_packus_epi16(sums[2][0], sums[2][1])},
        rgb + 3 * int64_t{x});
  }
  Nv12ToRgbLoop(y + x, uv + x, width - x, c, rgb + 3 * int64_t{x});
}

constexpr int kFlipChannels = 8;

// Of so many channels: the whole pixels that 16 bytes end with from right to left.
constexpr std::array<Mask, kFlipChannels + 1> kReversed = [] {
  std::array<Mask, kFlipChannels + 1> masks{};
  for (int channels = 1; channels <= kFlipChannels; ++channels) {
    masks[static_cast<size_t>(channels)] = Shuffle([=](int i) {
      const int pixel = i / channels, whole = 16 / channels, spare = 16 % channels;
      return pixel < whole ? spare + (whole - 1 - pixel) * channels + i % channels : -1;
    });
  }
  return masks;
}();

}  // namespace

namespace avx2 {

// As many whole pixels as 16 bytes hold, reversed; loads have their spare bytes before those, where
// the row goes on, and each store's are written over by the next one, so the last pixels are left
// to the loop.
void FlipRow(const uint8_t* row, int pixels, int channels, uint8_t* out) {
  int done = 0;
  if (channels <= kFlipChannels) {
    const int whole = 16 / channels;
    const __m128i reversed = Load(kReversed[static_cast<size_t>(channels)].data());
    const int64_t step = int64_t{whole} * channels;
    const uint8_t* from = row + int64_t{pixels} * channels - 16;
    uint8_t* to = out;
    for (; (pixels - done) * channels >= 64; done += 3 * whole, from -= 3 * step, to += 3 * step) {
      Store(to, _mm_shuffle_epi8(Load(from), reversed));
      Store(to + step, _mm_shuffle_epi8(Load(from - step), reversed));
      Store(to + 2 * step, _mm_shuffle_epi8(Load(from - 2 * step), reversed));
    }
    for (; (pixels - done) * channels >= 32; done += whole, from -= step, to += step) {
      Store(to, _mm_shuffle_epi8(Load(from), reversed));
    }
  }
  FlipLoop(row, pixels - done, channels, out + int64_t{done} * channels);
}

}  // namespace avx2

namespace {

inline __m256 Floats(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }

inline __m256 Affine(__m256 x, __m256 by, __m256 plus) {
  return _mm256_add_ps(_mm256_mul_ps(x, by), plus);
}

void NormalisePlanar3(const uint8_t* frame, int64_t pixels, const float* scale, const float* shift,
                      float* out) {
  int64_t i = 0;
  for (; i + 32 <= pixels; i += 32) {
    const Pixels p = LoadPixels(frame + 3 * i);
    const __m256i planes[3] = {p.r, p.g, p.b};
    for (int c = 0; c < 3; ++c) {
      const __m256 by = _mm256_set1_ps(scale[c]), plus = _mm256_set1_ps(shift[c]);
      const __m128i halves[2] = {_mm256_castsi256_si128(planes[c]),
                                 _mm256_extracti128_si256(planes[c], 1)};
      float* to = out + c * pixels + i;
      for (int k = 0; k < 2; ++k, to += 16) {
        _mm256_storeu_ps(to, Affine(Floats(halves[k]), by, plus));
        _mm256_storeu_ps(to + 8, Affine(Floats(_mm_srli_si128(halves[k], 8)), by, plus));
      }
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

const FrameKernels kFramesAvx2 = {"avx2",         Grey,        RgbToNv12Rows, Nv12ToRgbRow,
                                  avx2::FlipRow,  avx2::Halve, avx2::MixRows, avx2::MixColumns,
                                  avx2::MixPairs, Normalise};
const FrameKernels kFramesBf16 = {"bf16",         Grey,        RgbToNv12Rows, Nv12ToRgbRow,
                                  bf16::FlipRow,  avx2::Halve, avx2::MixRows, avx2::MixColumns,
                                  avx2::MixPairs, Normalise};

}  // namespace metabonk::video
#endif
