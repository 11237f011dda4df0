// exp and tanh of one float32 in plain arithmetic without branches: a loop over them becomes
// vectors of whatever instruction set the including file is compiled for, each of which gets its
// own.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace metabonk::nn {
namespace {

// 2^n and e^r - 1 of x = n log 2 + r, |r| <= log(2) / 2, with log 2 in two parts; e^r - 1 is the
// series up to r^7, the rest below 5e-9 of it. x in [-87, 88].
struct Exponent {
  float scale, fraction;

  explicit Exponent(float x) {
    constexpr float kMagic = 12582912.0f;  // 1.5 2^23: adding it rounds to an integer
    const float shifted = x * 1.442695041f + kMagic, n = shifted - kMagic;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float s = 1.0f / 5040.0f;
    s = s * r + 1.0f / 720.0f;
    s = s * r + 1.0f / 120.0f;
    s = s * r + 1.0f / 24.0f;
    s = s * r + 1.0f / 6.0f;
    s = s * r + 0.5f;
    fraction = r + r * r * s;
    // n stands in the last bits of `shifted`; of NaN there come some bits and no conversion.
    scale = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127u) << 23);
  }
};

inline float Exp(float x) {
  const float held = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const Exponent e(held);
  const float inside = e.scale + e.scale * e.fraction;
  // Beyond are what float32 has no normal numbers for; e^88 is below its largest, e^89 above.
  const Exponent rest(x > 88.0f && x < 89.0f ? x - 88.0f : 0.0f);
  const float above = inside * (rest.scale + rest.scale * rest.fraction);
  const float some = x > 88.722f ? std::numeric_limits<float>::infinity() : above;
  const float none = x < -87.0f ? 0.0f : some;
  return x != x ? x : none;
}

// exp of what is not above 0.
inline float ExpBelow(float x) {
  const Exponent e(x < -87.0f ? -87.0f : x);
  const float some = e.scale + e.scale * e.fraction;
  return x < -87.0f ? 0.0f : some;
}

inline float Tanh(float x) {
  const float size = std::fabs(x);
  const float held = size > 10.0f ? 10.0f : size;
  const Exponent e(2.0f * held);
  const float less_one = e.scale * e.fraction + (e.scale - 1.0f);
  return x != x ? x : std::copysign(less_one / (less_one + 2.0f), x);
}

}  // namespace
}  // namespace metabonk::nn
