// The kernels of loops.h, compiled once per instruction set: plain loops without branches, which
// the compiler turns into the set's vectors.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "nn/elementary.h"
#include "nn/loops.h"
#include "support/math.h"

namespace metabonk::nn {
namespace {

template <typename T>
T* At(const Run& r, int i) {
  return static_cast<T*>(r.at[i]);
}

inline float Sigmoid(float x) { return 1.0f / (1.0f + Exp(-x)); }

// log(1 + x), by which of x gets lost in 1 + x (Goldberg 1991).
inline float Log1p(float x) {
  const float sum = 1.0f + x;
  const float kept = sum - 1.0f;
  return kept == 0.0f || sum > 3.0e38f ? (kept == 0.0f ? x : Log(sum)) : Log(sum) * (x / kept);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
inline float Softplus(float x) {
  return x != x ? x : (x > 0.0f ? x : 0.0f) + Log1p(Exp(-std::fabs(x)));
}

inline float RoundEven(float x) {
  constexpr float kMagic = 8388608.0f;  // 2^23, from where on there is nothing after the point
  const float size = std::fabs(x);
  const float rounded = (size + kMagic) - kMagic;
  return std::copysign(size < kMagic ? rounded : size, x);
}

template <Unary kWhich>
float Apply(float x, float p, float q) {
  switch (kWhich) {
    case Unary::kAffine:
      return p * x + q;
    case Unary::kClamp: {
      const float above = x < p ? p : x;  // NaN stays NaN
      return above > q ? q : above;
    }
    case Unary::kNegate:
      return -x;
    case Unary::kAbs:
      return std::fabs(x);
    case Unary::kExp:
      return Exp(x);
    case Unary::kLog:
      return Log(x);
    case Unary::kTanh:
      return Tanh(x);
    case Unary::kSigmoid:
      return Sigmoid(x);
    case Unary::kRelu:
      return x < 0.0f ? 0.0f : x;
    case Unary::kSilu:
      return x * Sigmoid(x);
    case Unary::kSoftplus:
      return Softplus(x);
    case Unary::kSqrt:
      return std::sqrt(x);
    case Unary::kReciprocal:
      return 1.0f / x;
    case Unary::kSquare:
      return x * x;
    case Unary::kRound:
      return RoundEven(x);
    case Unary::kFloor:
      return std::floor(x);
    case Unary::kSin:
      return std::sin(x);
    case Unary::kCos:
      return std::cos(x);
    case Unary::kErf:
      return std::erf(x);
    default:
      return x;
  }
}

template <Unary kWhich>
void UnaryKernel(const Run& r) {
  float* y = At<float>(r, 0);
  const float* x = At<float>(r, 1);
  if (r.step[0] == 1 && r.step[1] == 1) {
    for (int64_t i = 0; i < r.length; ++i) y[i] = Apply<kWhich>(x[i], r.p, r.q);
  } else {
    for (int64_t i = 0; i < r.length; ++i) {
      y[i * r.step[0]] = Apply<kWhich>(x[i * r.step[1]], r.p, r.q);
    }
  }
}

void NotKernel(const Run& r) {
  uint8_t* y = At<uint8_t>(r, 0);
  const uint8_t* x = At<uint8_t>(r, 1);
  for (int64_t i = 0; i < r.length; ++i) y[i * r.step[0]] = x[i * r.step[1]] == 0;
}

template <Binary kWhich, typename T>
auto Apply(T a, T b) {
  using Wide = std::conditional_t<std::is_same_v<T, int32_t>, uint32_t, T>;  // places wrap round
  const auto u = static_cast<Wide>(a), v = static_cast<Wide>(b);
  switch (kWhich) {
    case Binary::kAdd:
      return static_cast<T>(u + v);
    case Binary::kSubtract:
      return static_cast<T>(u - v);
    case Binary::kMultiply:
      return static_cast<T>(u * v);
    case Binary::kDivide:
      return static_cast<T>(a / b);
    case Binary::kMinimum:
      return a < b || a != a ? a : b;
    default:
      return a > b || a != a ? a : b;
  }
}

template <Binary kWhich, typename T>
uint8_t Compare(T a, T b) {
  switch (kWhich) {
    case Binary::kEqual:
      return a == b;
    case Binary::kLess:
      return a < b;
    case Binary::kLessEqual:
      return a <= b;
    case Binary::kAnd:
      return (a != 0) & (b != 0);
    default:
      return (a != 0) | (b != 0);
  }
}

template <typename Y, typename T, typename F>
void Pairs(const Run& r, F f) {
  Y* y = At<Y>(r, 0);
  const T *a = At<T>(r, 1), *b = At<T>(r, 2);
  const int64_t n = r.length;
  if (r.step[0] == 1 && r.step[1] == 1 && r.step[2] == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (r.step[0] == 1 && r.step[1] == 1 && r.step[2] == 0) {
    const T only = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], only);
  } else if (r.step[0] == 1 && r.step[1] == 0 && r.step[2] == 1) {
    const T only = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = f(only, b[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * r.step[0]] = f(a[i * r.step[1]], b[i * r.step[2]]);
  }
}

template <Binary kWhich, typename T>
void BinaryKernel(const Run& r) {
  if constexpr (kWhich >= Binary::kEqual) {
    Pairs<uint8_t, T>(r, [](T a, T b) { return Compare<kWhich, T>(a, b); });
  } else {
    Pairs<T, T>(r, [](T a, T b) { return Apply<kWhich, T>(a, b); });
  }
}

template <typename T>
void WhereKernel(const Run& r) {
  T* y = At<T>(r, 0);
  const uint8_t* condition = At<uint8_t>(r, 1);
  const T *a = At<T>(r, 2), *b = At<T>(r, 3);
  for (int64_t i = 0; i < r.length; ++i) {
    const T yes = a[i * r.step[2]], no = b[i * r.step[3]];
    y[i * r.step[0]] = condition[i * r.step[1]] != 0 ? yes : no;
  }
}

template <typename T, typename From>
T Convert(From x) {
  if constexpr (std::is_same_v<T, uint8_t> && !std::is_same_v<From, uint8_t>) {
    return x != 0;  // of truth values: nothing else becomes bytes
  } else if constexpr (std::is_same_v<T, int32_t> && std::is_same_v<From, float>) {
    // What no integer is near to becomes the nearest one: no undefined conversions.
    const float held =
        x < -2147483648.0f ? -2147483648.0f : (x > 2147483520.0f ? 2147483520.0f : x);
    return x != x ? 0 : static_cast<int32_t>(held);
  } else {
    return static_cast<T>(x);
  }
}

template <typename T, typename From>
void CopyKernel(const Run& r) {
  T* y = At<T>(r, 0);
  const From* x = At<From>(r, 1);
  if (r.step[0] == 1 && r.step[1] == 1) {
    for (int64_t i = 0; i < r.length; ++i) y[i] = Convert<T, From>(x[i]);
  } else {
    for (int64_t i = 0; i < r.length; ++i) y[i * r.step[0]] = Convert<T, From>(x[i * r.step[1]]);
  }
}

void SumKernel(const Run& r) {
  const float* x = At<float>(r, 1);
  float sum = 0.0f;
  for (int64_t i = 0; i < r.length; ++i) sum += x[i * r.step[1]];
  *At<float>(r, 0) = sum;
}

void CountKernel(const Run& r) {
  const uint8_t* x = At<uint8_t>(r, 1);
  int32_t count = 0;
  for (int64_t i = 0; i < r.length; ++i) count += x[i * r.step[1]] != 0;
  *At<int32_t>(r, 0) = count;
}

void AnyKernel(const Run& r) {
  const uint8_t* x = At<uint8_t>(r, 1);
  uint8_t any = 0;
  for (int64_t i = 0; i < r.length; ++i) any |= x[i * r.step[1]] != 0;
  *At<uint8_t>(r, 0) = any;
}

// Of the largest, or with the sign -1 the smallest; NaN counts as both.
template <int kSign>
int64_t BestPlace(const Run& r) {
  const float* x = At<float>(r, 1);
  int64_t best = 0;
  for (int64_t i = 1; i < r.length; ++i) {
    const float here = x[i * r.step[1]], held = x[best * r.step[1]];
    if (held == held && (here != here || kSign * here > kSign * held)) best = i;
  }
  return best;
}

template <int kSign>
void BestKernel(const Run& r) {
  *At<float>(r, 0) = At<float>(r, 1)[BestPlace<kSign>(r) * r.step[1]];
}

void ArgmaxKernel(const Run& r) { *At<int32_t>(r, 0) = static_cast<int32_t>(BestPlace<1>(r)); }

void ScanKernel(const Run& r) {
  float* y = At<float>(r, 0);
  const float* x = At<float>(r, 1);
  float sum = 0.0f;
  for (int64_t i = 0; i < r.length; ++i) y[i * r.step[0]] = sum += x[i * r.step[1]];
}

template <bool kLog>
void SoftmaxKernel(const Run& r) {
  float* y = At<float>(r, 0);
  const float* x = At<float>(r, 1);
  const float most = x[BestPlace<1>(r) * r.step[1]];
  if (r.step[0] == 1 && r.step[1] == 1) {
    for (int64_t i = 0; i < r.length; ++i) y[i] = kLog ? x[i] - most : Exp(x[i] - most);
  } else {
    for (int64_t i = 0; i < r.length; ++i) {
      const float less = x[i * r.step[1]] - most;
      y[i * r.step[0]] = kLog ? less : Exp(less);
    }
  }
  float sum = 0.0f;
  for (int64_t i = 0; i < r.length; ++i) sum += kLog ? Exp(y[i * r.step[0]]) : y[i * r.step[0]];
  const float shift = kLog ? Log(sum) : 1.0f / sum;
  for (int64_t i = 0; i < r.length; ++i) {
    float& value = y[i * r.step[0]];
    value = kLog ? value - shift : value * shift;
  }
}

// The place that an index means, counted from the end if it is negative; 0 and a fault for none.
inline int64_t PlaceOf(const Run& r, int32_t index) {
  const int64_t place = index < 0 ? index + r.places : index;
  if (place >= 0 && place < r.places) return place;
  *r.fault = 1;
  return 0;
}

template <typename T>
void GatherKernel(const Run& r) {
  T* y = At<T>(r, 0);
  const T* x = At<T>(r, 1);
  const int32_t* index = At<int32_t>(r, 2);
  for (int64_t i = 0; i < r.length; ++i) {
    y[i * r.step[0]] = x[i * r.step[1] + PlaceOf(r, index[i * r.step[2]]) * r.apart];
  }
}

void ScatterAddKernel(const Run& r) {
  float* y = At<float>(r, 0);
  const float* x = At<float>(r, 1);
  const int32_t* index = At<int32_t>(r, 2);
  for (int64_t i = 0; i < r.length; ++i) {
    y[i * r.step[0] + PlaceOf(r, index[i * r.step[2]]) * r.apart] += x[i * r.step[1]];
  }
}

constexpr LoopKernels Kernels(const char* name) {
  using U = Unary;
  using B = Binary;
  return {
      name,
      {UnaryKernel<U::kAffine>,
       UnaryKernel<U::kClamp>,
       UnaryKernel<U::kNegate>,
       UnaryKernel<U::kAbs>,
       NotKernel,
       UnaryKernel<U::kExp>,
       UnaryKernel<U::kLog>,
       UnaryKernel<U::kTanh>,
       UnaryKernel<U::kSigmoid>,
       UnaryKernel<U::kRelu>,
       UnaryKernel<U::kSilu>,
       UnaryKernel<U::kSoftplus>,
       UnaryKernel<U::kSqrt>,
       UnaryKernel<U::kReciprocal>,
       UnaryKernel<U::kSquare>,
       UnaryKernel<U::kRound>,
       UnaryKernel<U::kFloor>,
       UnaryKernel<U::kSin>,
       UnaryKernel<U::kCos>,
       UnaryKernel<U::kErf>},
      {BinaryKernel<B::kAdd, float>, BinaryKernel<B::kSubtract, float>,
       BinaryKernel<B::kMultiply, float>, BinaryKernel<B::kDivide, float>,
       BinaryKernel<B::kMinimum, float>, BinaryKernel<B::kMaximum, float>,
       BinaryKernel<B::kEqual, float>, BinaryKernel<B::kLess, float>,
       BinaryKernel<B::kLessEqual, float>, BinaryKernel<B::kAnd, uint8_t>,
       BinaryKernel<B::kOr, uint8_t>},
      {BinaryKernel<B::kAdd, int32_t>, BinaryKernel<B::kSubtract, int32_t>,
       BinaryKernel<B::kMultiply, int32_t>, nullptr, BinaryKernel<B::kMinimum, int32_t>,
       BinaryKernel<B::kMaximum, int32_t>, BinaryKernel<B::kEqual, int32_t>,
       BinaryKernel<B::kLess, int32_t>, BinaryKernel<B::kLessEqual, int32_t>, nullptr, nullptr},
      {SumKernel, BestKernel<1>, BestKernel<-1>, ArgmaxKernel, AnyKernel},
      CountKernel,
      WhereKernel<uint32_t>,
      WhereKernel<uint8_t>,
      {{CopyKernel<float, float>, CopyKernel<float, int32_t>, CopyKernel<float, uint8_t>},
       {CopyKernel<int32_t, float>, CopyKernel<int32_t, int32_t>, CopyKernel<int32_t, uint8_t>},
       {CopyKernel<uint8_t, float>, CopyKernel<uint8_t, int32_t>, CopyKernel<uint8_t, uint8_t>}},
      ScanKernel,
      SoftmaxKernel<false>,
      SoftmaxKernel<true>,
      GatherKernel<uint32_t>,
      GatherKernel<uint8_t>,
      ScatterAddKernel};
}

}  // namespace
}  // namespace metabonk::nn
