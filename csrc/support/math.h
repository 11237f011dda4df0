// Elementary functions that give the same bits on every machine: polynomials of our own (minimax,
// by Remez exchange) in plain float arithmetic, which -ffp-contract=off keeps unfused. libm's
// differ between versions. sqrt is exact by IEEE 754 and may be used from <cmath>.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace metabonk {

// Sine and cosine of |angle| <= 1e4 radians, absolute error below 1e-6 at that end and 2e-7 within
// one turn. The reduction to [-pi/4, pi/4] is done in double, where it is exact enough.
inline void SinCos(float angle, float* sine, float* cosine) {
  const double turns = static_cast<double>(angle) * 0.63661977236758134308;  // quarter turns
  const int32_t quarter = static_cast<int32_t>(turns + (turns < 0.0 ? -0.5 : 0.5));
  const float r = static_cast<float>(static_cast<double>(angle) -
                                     static_cast<double>(quarter) * 1.57079632679489661923);
  const float z = r * r;
  const float s = r + r * z * (-0.166666546f + z * (0.00833216076f + z * -0.000195152832f));
  const float c =
      1.0f - 0.5f * z + z * z * (0.0416666456f + z * (-0.00138873163f + z * 0.0000244331571f));
  const float swapped_s = (quarter & 1) ? c : s;
  const float swapped_c = (quarter & 1) ? s : c;
  *sine = (quarter & 2) ? -swapped_s : swapped_s;
  *cosine = ((quarter + 1) & 2) ? -swapped_c : swapped_c;
}

// The natural logarithm, within 2 ulp: x = m 2^e with m within sqrt(2) of 1, and log m = 2 atanh((m
// - 1) / (m + 1)) as a series. -infinity of 0, NaN below.
inline float Log(float x) {
  const float lifted = x < 1.17549435e-38f ? x * 8388608.0f : x;
  const float moved = x < 1.17549435e-38f ? -23.0f : 0.0f;
  const auto bits = std::bit_cast<int32_t>(lifted);
  const int32_t steps = (bits - 0x3F3504F3) >> 23;  // of sqrt(1/2)
  const float m = std::bit_cast<float>(bits - (steps << 23));
  const float e = static_cast<float>(steps) + moved;
  const float s = (m - 1.0f) / (m + 1.0f), z = s * s;
  float t = 1.0f / 11.0f;
  t = t * z + 1.0f / 9.0f;
  t = t * z + 1.0f / 7.0f;
  t = t * z + 1.0f / 5.0f;
  t = t * z + 1.0f / 3.0f;
  const float log_m = 2.0f * s + 2.0f * s * z * t;
  const float value = e * 0.693359375f + (log_m - e * 2.12194440e-4f);
  const float edge = x == 0.0f ? -std::numeric_limits<float>::infinity() : value;
  const float high = x == std::numeric_limits<float>::infinity() ? x : edge;
  return x < 0.0f || x != x ? std::numeric_limits<float>::quiet_NaN() : high;
}

}  // namespace metabonk
