// Elementary functions that give the same bits on every machine: polynomials of our own (minimax,
// by Remez exchange) in plain float arithmetic, which -ffp-contract=off keeps unfused. libm's
// differ between versions. sqrt is exact by IEEE 754 and may be used from <cmath>.
#pragma once

#include <cstdint>

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

}  // namespace metabonk
