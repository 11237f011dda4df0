// The loops of a dense layer, compiled once per instruction set by dense_avx2.cc and
// dense_avx512.cc, which define the vector type V and how many of them make a tile.
#include <cstdint>

#include "nn/dense.h"
#include "nn/product.inl"

namespace metabonk::nn {
namespace {

// tanh x = e / (e + 2) with e = exp(2 |x|) - 1 and the sign of x. e is 2^n p(f) + (2^n - 1) where
// n + f = 2 |x| log2(e), |f| <= 1/2, and p(f) = 2^f - 1 as a polynomial without constant term
// (interpolated at Chebyshev's nodes, relative error 3e-10): accurate near 0 too, where a formula
// with a sum around 1 is not. Within 3 ulp everywhere; NaN stays NaN.
inline V Tanh(V x) {
  const V z = V::Min(V::Broadcast(30.0f), V::Abs(x) * V::Broadcast(2.885390081777927f));
  const V n = V::Round(z);
  const V f = z - n;
  V p = V::Broadcast(1.5297323732e-05f);
  p = V::Fma(p, f, V::Broadcast(1.5461444703e-04f));
  p = V::Fma(p, f, V::Broadcast(1.3333502386e-03f));
  p = V::Fma(p, f, V::Broadcast(9.6180566785e-03f));
  p = V::Fma(p, f, V::Broadcast(5.5504108839e-02f));
  p = V::Fma(p, f, V::Broadcast(2.4022650922e-01f));
  p = V::Fma(p, f, V::Broadcast(6.9314718056e-01f));
  const V scale = V::PowerOfTwo(n);
  const V e = V::Fma(scale, p * f, scale - V::Broadcast(1.0f));
  return V::CopySign(e / (e + V::Broadcast(2.0f)), x);
}

void TanhAll(float* values, int64_t count) {
  int64_t i = 0;
  for (; i + V::kLanes <= count; i += V::kLanes) Tanh(V::Load(values + i)).Store(values + i);
  if (const int rest = static_cast<int>(count - i); rest > 0) {
    Tanh(V::LoadFirst(values + i, rest)).StoreFirst(values + i, rest);
  }
}

void TanhGradient(const float* y, const float* dy, float* g, int64_t count) {
  const V one = V::Broadcast(1.0f);
  int64_t i = 0;
  for (; i + V::kLanes <= count; i += V::kLanes) {
    const V out = V::Load(y + i);
    (V::Load(dy + i) * V::FmaNegated(out, out, one)).Store(g + i);
  }
  if (const int rest = static_cast<int>(count - i); rest > 0) {
    const V out = V::LoadFirst(y + i, rest);
    (V::LoadFirst(dy + i, rest) * V::FmaNegated(out, out, one)).StoreFirst(g + i, rest);
  }
}

}  // namespace
}  // namespace metabonk::nn
