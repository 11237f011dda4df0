// Flipping with shuffles of any bytes of two vectors (AVX512_VBMI): 64 pixels of three channels at
// a time, as fast as they can be copied.
#if defined(__x86_64__)
// g++ 12 takes the undefined lanes that its own intrinsics start from for a mistake of ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "video/frames_avx2.h"

namespace metabonk::video::bf16 {
namespace {

constexpr int kPixels = 64;
// Every third of the result is made of the 128 bytes from here on, but for one byte of the second,
// which lies just before them.
constexpr int kWindow[3] = {64, 64, 0};
constexpr __mmask64 kBefore = __mmask64{1} << 62;

struct alignas(64) Bytes {
  uint8_t from[3][64];
};

constexpr Bytes kMirrored = [] {
  Bytes bytes{};
  for (int i = 0; i < 3 * kPixels; ++i) {
    const int at = 3 * (kPixels - 1 - i / 3) + i % 3;
    bytes.from[i / 64][i % 64] = static_cast<uint8_t>((at - kWindow[i / 64]) & 127);
  }
  return bytes;
}();

}  // namespace

void FlipRow(const uint8_t* row, int pixels, int channels, uint8_t* out) {
  if (channels != 3) return avx2::FlipRow(row, pixels, channels, out);
  const __m512i last = _mm512_load_si512(kMirrored.from[0]);
  const __m512i middle = _mm512_load_si512(kMirrored.from[1]);
  const __m512i first = _mm512_load_si512(kMirrored.from[2]);
  int done = 0;
  for (; done + kPixels <= pixels; done += kPixels) {
    const uint8_t* from = row + 3 * int64_t{pixels - done - kPixels};
    uint8_t* to = out + 3 * int64_t{done};
    const __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + 64),
                  c = _mm512_loadu_si512(from + 128);
    const __m512i most = _mm512_permutex2var_epi8(b, middle, c);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi8(b, last, c));
    _mm512_storeu_si512(to + 64, _mm512_mask_permutexvar_epi8(most, kBefore, middle, a));
    _mm512_storeu_si512(to + 128, _mm512_permutex2var_epi8(a, first, b));
  }
  avx2::FlipRow(row, pixels - done, 3, out + 3 * int64_t{done});
}

}  // namespace metabonk::video::bf16
#endif
