// V: 4 lanes of float32, in the compiler's own vectors, for any processor. The kernels' loops are
// written over V once; the file that includes them says which V.
//
// Load, Store take any address; LoadFirst, StoreFirst touch the first n lanes, the others are 0.
// Min and Max give their second argument where either is NaN. Round goes to the nearest integer,
// ties to even, |x| < 2^22. PowerOfTwo takes integers in [-126, 127].
#pragma once

#include <cstdint>
#include <cstring>

namespace metabonk::nn {
namespace {

struct V {
  static constexpr int kLanes = 4;
  using Floats = float __attribute__((vector_size(16)));
  using Integers = int32_t __attribute__((vector_size(16)));
  Floats v;

  static V Load(const float* p) {
    V loaded;
    std::memcpy(&loaded.v, p, sizeof(Floats));
    return loaded;
  }
  // Two vectors of bf16: a in the lower halves of the words, b in the upper ones.
  static void LoadHalves(const uint32_t* p, V* a, V* b) {
    Integers words;
    std::memcpy(&words, p, sizeof(words));
    a->v = AsFloats(words << 16);
    b->v = AsFloats(words & static_cast<int32_t>(0xffff0000u));
  }
  // Copies of a size that is known are instructions; of any other they are calls.
  static V LoadFirst(const float* p, int n) {
    if (n >= kLanes) return Load(p);
    V loaded = Broadcast(0.0f);
    for (int i = 0; i < n; ++i) loaded.v[i] = p[i];
    return loaded;
  }
  void Store(float* p) const { std::memcpy(p, &v, sizeof(Floats)); }
  void StoreFirst(float* p, int n) const {
    if (n >= kLanes) return Store(p);
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
  static V Broadcast(float x) { return {Floats{x, x, x, x}}; }
  static V Fma(V a, V b, V c) { return {a.v * b.v + c.v}; }
  static V FmaNegated(V a, V b, V c) { return {c.v - a.v * b.v}; }
  static V Min(V a, V b) { return {a.v < b.v ? a.v : b.v}; }
  static V Max(V a, V b) { return {a.v > b.v ? a.v : b.v}; }
  static V Abs(V a) { return {AsFloats(AsIntegers(a.v) & 0x7fffffff)}; }
  static V Round(V a) {
    const Floats magic =
        Broadcast(12582912.0f).v;  // 1.5 * 2^23: the sum has no bits after the point
    return {(a.v + magic) - magic};
  }
  static V PowerOfTwo(V n) {
    return {AsFloats((__builtin_convertvector(n.v, Integers) + 127) << 23)};
  }
  static V CopySign(V size, V sign) {
    const Integers bit = AsIntegers(Broadcast(-0.0f).v);
    return {AsFloats((AsIntegers(size.v) & ~bit) | (AsIntegers(sign.v) & bit))};
  }
  friend V operator+(V a, V b) { return {a.v + b.v}; }
  friend V operator-(V a, V b) { return {a.v - b.v}; }
  friend V operator*(V a, V b) { return {a.v * b.v}; }
  friend V operator/(V a, V b) { return {a.v / b.v}; }

 private:
  static Integers AsIntegers(Floats x) { return reinterpret_cast<Integers>(x); }
  static Floats AsFloats(Integers x) { return reinterpret_cast<Floats>(x); }
};

}  // namespace
}  // namespace metabonk::nn
