// Resizing on 16 numbers at a time; what is left of a row is done by the definitions.
#if defined(__x86_64__)
#include "video/frames_avx2.h"
#include "video/frames_loops.h"

namespace metabonk::video {
namespace {

inline __m256i Widen(__m128i bytes) { return _mm256_cvtepu8_epi16(bytes); }

// Four bytes, of which the last ones are written over by the next pixel; the last pixel of a row
// writes its own only.
template <int kChannels>
inline void StorePixel(int32_t bytes, bool last, uint8_t* out) {
  if (last) {
    std::memcpy(out, &bytes, kChannels);
  } else {
    std::memcpy(out, &bytes, sizeof(bytes));
  }
}

// Two to four channels, two taps in each product.
template <int kChannels>
void MixPixels(const int16_t* row, const ResizeAxis& axis, uint8_t* out) {
  const int16_t* weights = axis.weights.data();
  for (int i = 0; i < axis.count; ++i, weights += axis.taps, out += kChannels) {
    const int16_t* from = row + int64_t{axis.first[static_cast<size_t>(i)]} * kChannels;
    __m128i sum = _mm_set1_epi32(1 << 20);
    for (int k = 0; k < axis.taps; k += 2, from += 2 * kChannels) {
      int32_t pair;
      std::memcpy(&pair, weights + k, sizeof(pair));
      const __m128i two = _mm_unpacklo_epi16(Load8(from), Load8(from + kChannels));
      sum = _mm_add_epi32(sum, _mm_madd_epi16(two, _mm_set1_epi32(pair)));
    }
    sum = _mm_srai_epi32(sum, 21);
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
    StorePixel<kChannels>(_mm_cvtsi128_si32(bytes), i + 1 == axis.count, out);
  }
}

// The same where every pixel has two taps: two pixels at a time.
template <int kChannels>
void MixPairs(const int16_t* row, const ResizeAxis& axis, uint8_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << 20);
  const __m256i apart = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  int i = 0;
  for (; i + 2 <= axis.count; i += 2) {
    const int16_t* a = row + int64_t{axis.first[static_cast<size_t>(i)]} * kChannels;
    const int16_t* b = row + int64_t{axis.first[static_cast<size_t>(i) + 1]} * kChannels;
    const __m128i first = _mm_unpacklo_epi16(Load8(a), Load8(a + kChannels));
    const __m128i second = _mm_unpacklo_epi16(Load8(b), Load8(b + kChannels));
    const __m128i pairs = Load8(axis.weights.data() + 2 * int64_t{i});
    const __m256i weights = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(pairs), apart);
    __m256i sum = _mm256_madd_epi16(_mm256_set_m128i(second, first), weights);
    sum = _mm256_srai_epi32(_mm256_add_epi32(sum, half), 21);
    sum = _mm256_packs_epi32(sum, sum);
    sum = _mm256_packus_epi16(sum, sum);
    uint8_t* to = out + int64_t{i} * kChannels;
    StorePixel<kChannels>(_mm_cvtsi128_si32(_mm256_castsi256_si128(sum)), false, to);
    StorePixel<kChannels>(_mm_cvtsi128_si32(_mm256_extracti128_si256(sum, 1)), i + 2 == axis.count,
                          to + kChannels);
  }
  MixColumnsLoop(row, axis, i, kChannels, out);
}

template <int kChannels>
void MixColumnsOf(const int16_t* row, const ResizeAxis& axis, uint8_t* out) {
  return axis.taps == 2 ? MixPairs<kChannels>(row, axis, out)
                        : MixPixels<kChannels>(row, axis, out);
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

}  // namespace

namespace avx2 {

// Half the size, three channels: means of 2 x 2 pixels, which is what resizing gives too.
void Halve(const uint8_t* top, const uint8_t* bottom, int pixels, uint8_t* out) {
  const __m256i two = _mm256_set1_epi16(2);
  const auto mean = [&](int64_t at) {  // of four pixels and of the four 12 pixels later
    return _mm256_srli_epi16(_mm256_add_epi16(Sums(top + at, bottom + at, 24), two), 2);
  };
  // R G R G B 0 B 0 twice in each half: the first two pixels, then the next.
  constexpr Mask kPacked = Shuffle([](int i) {
    const int pixel = i / 3, channel = i % 3, at = pixel % 2 * 2 + channel;
    return i < 12 ? pixel / 2 * 8 + (channel == 2 ? 4 + pixel % 2 * 2 : at) : -1;
  });
  int i = 0;
  for (; i + 16 <= pixels; i += 8) {
    const int64_t at = 6 * int64_t{i};
    const __m256i bytes = Picked(_mm256_packus_epi16(mean(at), mean(at + 12)), kPacked);
    StoreHalves(bytes, out + 3 * int64_t{i}, out + 3 * int64_t{i} + 12);
  }
  HalveLoop(top + 6 * int64_t{i}, bottom + 6 * int64_t{i}, pixels - i, out + 3 * int64_t{i});
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

void MixColumns(const int16_t* row, const ResizeAxis& axis, int channels, uint8_t* out) {
  if (channels == 1) return MixBytes(row, axis, out);
  if (channels == 2) return MixColumnsOf<2>(row, axis, out);
  if (channels == 3) return MixColumnsOf<3>(row, axis, out);
  if (channels == 4) return MixColumnsOf<4>(row, axis, out);
  MixColumnsLoop(row, axis, 0, channels, out);
}

// Two output pixels in the halves of a vector: their two source pixels of both rows, mixed down and
// then across as mix_rows and mix_columns do.
void MixPairs(const uint8_t* top, const uint8_t* bottom, int16_t top_weight, int width,
              const ResizeAxis& axis, uint8_t* out) {
  // Of R0 G0 B0 R1 G1 B1, 16 bits each, the pairs to be mixed across.
  constexpr Mask kAcross = Shuffle([](int i) {
    const int channel = i / 4, pixel = i / 2 % 2;
    return i < 12 ? 6 * pixel + 2 * channel + i % 2 : -1;
  });
  constexpr Mask kTight = Shuffle([](int i) { return i < 12 ? i / 3 * 4 + i % 3 : -1; });
  const __m256i down = Pair(top_weight, (1 << 14) - top_weight), zero = _mm256_setzero_si256();
  const __m256i half_down = _mm256_set1_epi32(1 << 6), half_across = _mm256_set1_epi32(1 << 20);
  const __m256i across = Both(kAcross), tight = Both(kTight);
  const __m256i apart[2] = {_mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1),
                            _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3)};
  const auto two = [&](const int32_t* first, __m256i weights) {
    const int64_t a = 3 * int64_t{first[0]}, b = 3 * int64_t{first[1]};
    const __m256i bytes = _mm256_set_m128i(_mm_unpacklo_epi8(Load8(top + b), Load8(bottom + b)),
                                           _mm_unpacklo_epi8(Load8(top + a), Load8(bottom + a)));
    const auto mixed = [&](__m256i pairs) {
      return _mm256_srai_epi32(_mm256_add_epi32(_mm256_madd_epi16(pairs, down), half_down), 7);
    };
    const __m256i row = _mm256_packs_epi32(mixed(_mm256_unpacklo_epi8(bytes, zero)),
                                           mixed(_mm256_unpackhi_epi8(bytes, zero)));
    const __m256i sum = _mm256_madd_epi16(_mm256_shuffle_epi8(row, across), weights);
    return _mm256_srai_epi32(_mm256_add_epi32(sum, half_across), 21);
  };
  // Loads take eight bytes of six, stores sixteen of twelve.
  int there = axis.count;
  while (there > 0 && 3 * axis.first[static_cast<size_t>(there - 1)] + 8 > 3 * width) --there;
  int i = 0;
  for (; i + 4 <= there && 3 * i + 16 <= 3 * axis.count; i += 4) {
    const int32_t* first = axis.first.data() + i;
    const __m256i weights = _mm256_castsi128_si256(Load(axis.weights.data() + 2 * int64_t{i}));
    const __m256i sums =
        _mm256_packs_epi32(two(first, _mm256_permutevar8x32_epi32(weights, apart[0])),
                           two(first + 2, _mm256_permutevar8x32_epi32(weights, apart[1])));
    // Pixels 0 and 2 in the lower half, 1 and 3 in the upper.
    const __m256i ordered = _mm256_permute4x64_epi64(sums, 0xd8);
    const __m256i bytes = _mm256_packus_epi16(ordered, ordered);
    const __m128i pixels =
        _mm_unpacklo_epi64(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    Store(out + 3 * int64_t{i}, _mm_shuffle_epi8(pixels, _mm256_castsi256_si128(tight)));
  }
  MixPairsLoop(top, bottom, top_weight, axis, i, out);
}

}  // namespace avx2
}  // namespace metabonk::video
#endif
