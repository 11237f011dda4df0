// What frame kernels of 256 bits share: pixels of three channels taken apart and put together. For
// files compiled for that instruction set only.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "video/frames.h"

namespace metabonk::video {

// Those that other files define or use, for the tables of all.
namespace avx2 {
void FlipRow(const uint8_t* row, int pixels, int channels, uint8_t* out);
void Halve(const uint8_t* top, const uint8_t* bottom, int pixels, uint8_t* out);
void MixRows(const uint8_t* rows, int64_t stride, const int16_t* weights, int taps, int64_t count,
             int16_t* out);
void MixColumns(const int16_t* row, const ResizeAxis& axis, int channels, uint8_t* out);
void MixPairs(const uint8_t* top, const uint8_t* bottom, int16_t top_weight, int width,
              const ResizeAxis& axis, uint8_t* out);
}  // namespace avx2

namespace bf16 {
void FlipRow(const uint8_t* row, int pixels, int channels, uint8_t* out);
}  // namespace bf16

namespace {

inline __m128i Load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void Store(void* p, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }
inline __m128i Load8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

// A mask for shuffles within 16 bytes: out[i] is byte f(i), or 0 where there is no such byte.
using Mask = std::array<int8_t, 16>;

template <typename F>
constexpr Mask Shuffle(const F& f) {
  Mask mask{};
  for (int i = 0; i < 16; ++i) {
    mask[static_cast<size_t>(i)] = static_cast<int8_t>(f(i) < 0 || f(i) > 15 ? -1 : f(i));
  }
  return mask;
}

// Three channels of 16 pixels are three vectors of bytes, and so are the 48 bytes as they lie: each
// vector of one kind is put together from those of the other.
struct alignas(16) Masks {
  using Three = std::array<Mask, 3>;

  std::array<Three, 3> apart{};     // [channel][third of the bytes]
  std::array<Three, 3> together{};  // [third of the bytes][channel]

  constexpr Masks() {
    for (int to = 0; to < 3; ++to) {
      for (int from = 0; from < 3; ++from) {
        const auto i = static_cast<size_t>(to), j = static_cast<size_t>(from);
        apart[i][j] = Shuffle([=](int byte) { return 3 * byte + to - 16 * from; });
        together[i][j] = Shuffle([=](int at) {
          const int byte = 16 * to + at;
          return byte % 3 == from ? byte / 3 : -1;
        });
      }
    }
  }
};

constexpr Masks kMasks;

// Of four RGB pixels: R, G pairs of 16 bits; B and nothing; sums of neighbours, see Sums.
constexpr Mask kRedGreen = Shuffle([](int i) { return i % 2 ? -1 : i / 4 * 3 + i / 2 % 2; });
constexpr Mask kBlueOnly = Shuffle([](int i) { return i % 4 ? -1 : i / 4 * 3 + 2; });
constexpr Mask kNeighbours = Shuffle([](int i) {
  if (i < 8) return i / 4 * 6 + i % 2 * 3 + i / 2 % 2;      // r0 r1 g0 g1, r2 r3 g2 g3
  return i % 4 < 2 ? (i - 8) / 4 * 6 + i % 2 * 3 + 2 : -1;  // b0 b1 0 0, b2 b3 0 0
});

// In both halves of a vector; what is between 16 bytes happens in each half by itself.
inline __m256i Both(const Mask& mask) { return _mm256_broadcastsi128_si256(Load(mask.data())); }

inline __m256i Picked(__m256i bytes, const Mask& mask) {
  return _mm256_shuffle_epi8(bytes, Both(mask));
}

inline __m256i Either(const __m256i* parts, const Masks::Three& masks) {
  return _mm256_or_si256(_mm256_or_si256(Picked(parts[0], masks[0]), Picked(parts[1], masks[1])),
                         Picked(parts[2], masks[2]));
}

inline __m256i Halves(const void* low, const void* high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(Load(low)), Load(high), 1);
}

inline void StoreHalves(__m256i v, void* low, void* high) {
  Store(low, _mm256_castsi256_si128(v));
  Store(high, _mm256_extracti128_si256(v, 1));
}

// 32 pixels of three channels, bytes.
struct Pixels {
  __m256i r, g, b;
};

inline Pixels LoadPixels(const uint8_t* rgb) {
  const __m256i parts[3] = {Halves(rgb, rgb + 48), Halves(rgb + 16, rgb + 64),
                            Halves(rgb + 32, rgb + 80)};
  return {Either(parts, kMasks.apart[0]), Either(parts, kMasks.apart[1]),
          Either(parts, kMasks.apart[2])};
}

inline void StorePixels(const Pixels& pixels, uint8_t* rgb) {
  const __m256i parts[3] = {pixels.r, pixels.g, pixels.b};
  for (size_t third = 0; third < 3; ++third) {
    uint8_t* to = rgb + 16 * third;
    StoreHalves(Either(parts, kMasks.together[third]), to, to + 48);
  }
}

// Two weights for _mm256_madd_epi16.
inline __m256i Pair(int32_t low, int32_t high) {
  return _mm256_set1_epi32(static_cast<int32_t>(static_cast<uint32_t>(low & 0xffff) |
                                                static_cast<uint32_t>(high) << 16));
}

// Of four pixels in each half, of two rows: the sums R, G, R, G, B, 0, B, 0 over 2 x 2.
inline __m256i Sums(const uint8_t* top, const uint8_t* bottom, int high) {
  const __m256i one = _mm256_set1_epi8(1);
  const auto row = [&](const uint8_t* rgb) {
    return _mm256_maddubs_epi16(Picked(Halves(rgb, rgb + high), kNeighbours), one);
  };
  return _mm256_add_epi16(row(top), row(bottom));
}

}  // namespace
}  // namespace metabonk::video
