// The definition of every frame kernel as a plain loop: what the portable table holds, and what the
// vector kernels finish their rows with. For files that are compiled for one instruction set: each
// gets its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "video/frames.h"

namespace metabonk::video {
namespace {

inline uint8_t Byte(int32_t value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

inline int32_t Weigh(const int16_t* c, int32_t r, int32_t g, int32_t b) {
  return c[0] * r + c[1] * g + c[2] * b;
}

inline void GreyLoop(const uint8_t* rgb, int64_t pixels, uint8_t* out) {
  for (int64_t i = 0; i < pixels; ++i) {
    const int32_t sum = 9798 * rgb[3 * i] + 19235 * rgb[3 * i + 1] + 3735 * rgb[3 * i + 2];
    out[i] = static_cast<uint8_t>((sum + (1 << 14)) >> 15);
  }
}

inline void RgbToNv12Loop(const uint8_t* top, const uint8_t* bottom, int width,
                          const ColourCoefficients& c, uint8_t* y_top, uint8_t* y_bottom,
                          uint8_t* uv) {
  constexpr int32_t kLuma = (16 << 15) + (1 << 14), kChroma = (128 << 17) + (1 << 16);
  for (int x = 0; x < width; x += 2, top += 6, bottom += 6, uv += 2) {
    for (int k = 0; k < 2; ++k) {
      const uint8_t* a = top + 3 * k;
      const uint8_t* b = bottom + 3 * k;
      y_top[x + k] = static_cast<uint8_t>((Weigh(c.luma, a[0], a[1], a[2]) + kLuma) >> 15);
      y_bottom[x + k] = static_cast<uint8_t>((Weigh(c.luma, b[0], b[1], b[2]) + kLuma) >> 15);
    }
    const int32_t r = top[0] + top[3] + bottom[0] + bottom[3];
    const int32_t g = top[1] + top[4] + bottom[1] + bottom[4];
    const int32_t b = top[2] + top[5] + bottom[2] + bottom[5];
    uv[0] = static_cast<uint8_t>((Weigh(c.blue, r, g, b) + kChroma) >> 17);
    uv[1] = static_cast<uint8_t>((Weigh(c.red, r, g, b) + kChroma) >> 17);
  }
}

// (a b) / 2^15, rounded: _mm256_mulhrs_epi16.
inline int32_t Times(int32_t a, int16_t b) { return (a * b + (1 << 14)) >> 15; }

// In 2^-6, so that 16 bits are enough.
inline void Nv12ToRgbLoop(const uint8_t* y, const uint8_t* uv, int width,
                          const ColourCoefficients& c, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgb += 3) {
    const int32_t luma = Times((y[x] - 16) * 128, c.y) + 32;
    const int32_t u = (uv[x / 2 * 2] - 128) * 256, v = (uv[x / 2 * 2 + 1] - 128) * 256;
    rgb[0] = Byte((luma + Times(v, c.red_v)) >> 6);
    rgb[1] = Byte((luma + Times(u, c.green_u) + Times(v, c.green_v)) >> 6);
    rgb[2] = Byte((luma + Times(u, c.blue_u)) >> 6);
  }
}

// kChannels 0: any number of them.
template <int kChannels>
inline void FlipPixels(const uint8_t* row, int pixels, int channels, uint8_t* out) {
  const int64_t size = kChannels == 0 ? channels : kChannels;
  const uint8_t* from = row + pixels * size;
  for (int i = 0; i < pixels; ++i, out += size) {
    from -= size;
    std::memcpy(out, from, static_cast<size_t>(size));
  }
}

inline void FlipLoop(const uint8_t* row, int pixels, int channels, uint8_t* out) {
  if (channels == 1) return FlipPixels<1>(row, pixels, channels, out);
  if (channels == 3) return FlipPixels<3>(row, pixels, channels, out);
  if (channels == 4) return FlipPixels<4>(row, pixels, channels, out);
  FlipPixels<0>(row, pixels, channels, out);
}

inline void HalveLoop(const uint8_t* top, const uint8_t* bottom, int pixels, uint8_t* out) {
  for (int i = 0; i < pixels; ++i, top += 6, bottom += 6) {
    for (int c = 0; c < 3; ++c) {
      *out++ = static_cast<uint8_t>((top[c] + top[c + 3] + bottom[c] + bottom[c + 3] + 2) >> 2);
    }
  }
}

inline void MixRowsLoop(const uint8_t* rows, int64_t stride, const int16_t* weights, int taps,
                        int64_t count, int16_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    int32_t sum = 1 << 6;
    for (int k = 0; k < taps; ++k) sum += weights[k] * rows[k * stride + i];
    out[i] = static_cast<int16_t>(sum >> 7);
  }
}

// Output coordinates from `begin` on.
inline void MixColumnsLoop(const int16_t* row, const ResizeAxis& axis, int begin, int channels,
                           uint8_t* out) {
  for (int i = begin; i < axis.count; ++i) {
    const int16_t* weights = axis.weights.data() + int64_t{i} * axis.taps;
    const int16_t* from = row + int64_t{axis.first[static_cast<size_t>(i)]} * channels;
    for (int c = 0; c < channels; ++c) {
      int32_t sum = 1 << 20;
      for (int k = 0; k < axis.taps; ++k) sum += weights[k] * from[k * channels + c];
      out[int64_t{i} * channels + c] = static_cast<uint8_t>(sum >> 21);
    }
  }
}

// Output coordinates from `begin` on.
inline void MixPairsLoop(const uint8_t* top, const uint8_t* bottom, int16_t top_weight,
                         const ResizeAxis& axis, int begin, uint8_t* out) {
  const int32_t bottom_weight = (1 << 14) - top_weight;
  for (int i = begin; i < axis.count; ++i) {
    const int16_t* weights = axis.weights.data() + 2 * int64_t{i};
    const int64_t at = 3 * int64_t{axis.first[static_cast<size_t>(i)]};
    // A single column has one tap: the other one's weight is 0 and it may lie beyond the row.
    const int64_t next = weights[1] == 0 ? at : at + 3;
    for (int c = 0; c < 3; ++c) {
      const int32_t left = (top_weight * top[at + c] + bottom_weight * bottom[at + c] + 64) >> 7;
      const int32_t right =
          (top_weight * top[next + c] + bottom_weight * bottom[next + c] + 64) >> 7;
      out[3 * int64_t{i} + c] =
          static_cast<uint8_t>((weights[0] * left + weights[1] * right + (1 << 20)) >> 21);
    }
  }
}

// Pixels from `begin` on.
inline void NormaliseLoop(const uint8_t* frame, int64_t begin, int64_t pixels, int channels,
                          const float* scale, const float* shift, bool planar, float* out) {
  for (int c = 0; c < channels; ++c) {
    const float by = scale[c], plus = shift[c];
    float* to = planar ? out + c * pixels : out + c;
    const int64_t step = planar ? 1 : channels;
    for (int64_t i = begin; i < pixels; ++i) {
      to[i * step] = static_cast<float>(frame[i * channels + c]) * by + plus;
    }
  }
}

}  // namespace
}  // namespace metabonk::video
