// Quantised linear layers in plain C++, which compilers turn into whatever vectors there are; see
// qlinear.inl.
#include <bit>
#include <cstdint>
#include <cstring>

#include "nn/dense.h"

namespace metabonk::nn {
namespace {

struct V;

struct I {
  static constexpr int kLanes = 16;
  int32_t v[kLanes];

  template <typename Make>
  static I Each(const Make& make) {
    I out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = static_cast<int32_t>(make(i));
    return out;
  }
  static I Zero() { return Broadcast(0); }
  static I Broadcast(int x) {
    return Each([=](int) { return x; });
  }
  static I Load(const void* p) {
    I out;
    std::memcpy(out.v, p, sizeof out.v);
    return out;
  }
  void Store(int32_t* p) const { std::memcpy(p, v, sizeof v); }
  // Four 16-bit numbers, over and over.
  static I Broadcast4(const void* p) {
    int32_t two[2];
    std::memcpy(two, p, sizeof two);
    return Each([&](int i) { return two[i % 2]; });
  }
  // Signed bytes as 16-bit numbers, two to a lane.
  static I Widen(const void* p) {
    const int8_t* from = static_cast<const int8_t*>(p);
    return Each([=](int i) {
      return static_cast<uint16_t>(from[2 * i]) | static_cast<uint32_t>(from[2 * i + 1]) << 16;
    });
  }
  // sum + products of 16-bit numbers, two to a lane.
  static I AddPairs(const I& sum, const I& a, const I& b) {
    return Each([&](int i) {
      return sum.v[i] + static_cast<int16_t>(a.v[i]) * static_cast<int16_t>(b.v[i]) +
             (a.v[i] >> 16) * (b.v[i] >> 16);
    });
  }
  // All ones where it holds.
  static I Less(const I& a, const I& b) {
    return Each([&](int i) { return a.v[i] < b.v[i] ? -1 : 0; });
  }
  I ShiftLeft(int n) const {
    return Each([&](int i) { return static_cast<uint32_t>(v[i]) << n; });
  }
  I ShiftRight(int n) const {
    return Each([&](int i) { return static_cast<uint32_t>(v[i]) >> n; });
  }
  I ShiftRightSigned(int n) const {
    return Each([&](int i) { return v[i] >> n; });
  }
  inline V AsFloat() const;
  inline V ToFloat() const;
  friend I operator&(const I& a, const I& b) {
    return Each([&](int i) { return a.v[i] & b.v[i]; });
  }
  friend I operator|(const I& a, const I& b) {
    return Each([&](int i) { return a.v[i] | b.v[i]; });
  }
  friend I operator+(const I& a, const I& b) {
    return Each([&](int i) { return a.v[i] + b.v[i]; });
  }
};

struct V {
  static constexpr int kLanes = I::kLanes;
  float v[kLanes];

  template <typename Make>
  static V Each(const Make& make) {
    V out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = make(i);
    return out;
  }
  static V Load(const float* p) {
    return Each([=](int i) { return p[i]; });
  }
  void Store(float* p) const { std::memcpy(p, v, sizeof v); }
  // e2m1's magnitudes.
  static V HalfSteps(const I& index) {
    constexpr float kTable[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    return Each([&](int i) { return kTable[index.v[i]]; });
  }
  I AsInt() const { return std::bit_cast<I>(*this); }
  friend V operator-(const V& a, const V& b) {
    return Each([&](int i) { return a.v[i] - b.v[i]; });
  }
  friend V operator*(const V& a, const V& b) {
    return Each([&](int i) { return a.v[i] * b.v[i]; });
  }
};

V I::AsFloat() const { return std::bit_cast<V>(*this); }
V I::ToFloat() const {
  return V::Each([&](int i) { return static_cast<float>(v[i]); });
}

constexpr int kInt8Rows = 2;

void MultiplyInto(const Product& p) {
  for (int i = 0; i < p.rows; ++i) {
    float* c = p.c + i * p.ldc;
    for (int k = 0; k < p.depth; ++k) {
      const float left = p.a[i * p.row + k * p.step];
      const float* b = p.b + k * p.ldb;
      for (int n = 0; n < p.columns; ++n) c[n] += left * b[n];
    }
  }
}

}  // namespace
}  // namespace metabonk::nn

#include "nn/qlinear.inl"

namespace metabonk::nn {
const QLinearKernels kQInt8Portable = {"portable", 2, TakeInt8, MultiplyInt8, NoScratch};
const QLinearKernels kQFloatPortable = {"portable", 4, TakeFloat, MultiplyFloats, FloatScratch};
}  // namespace metabonk::nn
