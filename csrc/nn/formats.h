// Number formats of 16, 8 and 4 bits: float32 to a code and back, bit for bit as the hardware and
// the CUDA headers convert. Knows single numbers; no matrices, no scales, no Torch.
//
//   bf16   s eeeeeeee mmmmmmm   the upper half of a float32
//   e4m3   s eeee mmm           bias 7, largest 448, no infinity, NaN is 0x7F (OCP 8-bit
//   formats 1.0) e2m1   s ee m               bias 1, largest 6, no infinity, no NaN (OCP
//   microscaling formats 1.0) e8m0   eeeeeeee             2^(code - 127), NaN is 0xFF (same)
//
// Rounding is to nearest, ties to even, but for e8m0, which rounds down or up. What is too large,
// infinity included, becomes the largest number; bf16 has an infinity and rounds to it. NaN becomes
// the one positive NaN there is; bf16 has many and keeps the sign, e2m1 has none and takes +6.
#pragma once

#include <bit>
#include <cstdint>

namespace metabonk::nn {

constexpr float kE4m3Max = 448.0f;
constexpr float kE2m1Max = 6.0f;

namespace detail {

constexpr uint32_t kMagnitude = 0x7FFFFFFFu;
constexpr uint32_t kInfinity = 0x7F800000u;

// |x| as a code of `kMantissa` bits of mantissa below an exponent of this bias; |x| is at most the
// format's largest number.
template <int kMantissa, int kBias>
constexpr uint32_t RoundSmall(uint32_t magnitude) {
  constexpr int kDropped = 23 - kMantissa;
  constexpr uint32_t kLeastNormal = static_cast<uint32_t>(127 - kBias + 1) << 23;
  if (magnitude >= kLeastNormal) {
    const uint32_t half = (1u << (kDropped - 1)) - 1u + ((magnitude >> kDropped) & 1u);
    return ((magnitude + half) >> kDropped) - (static_cast<uint32_t>(127 - kBias) << kMantissa);
  }
  // Subnormals are multiples of one quantum: a sum whose last bit is that quantum rounds for us.
  constexpr uint32_t kMagic = static_cast<uint32_t>(127 - kBias + 1 + kDropped) << 23;
  const float sum = std::bit_cast<float>(magnitude) + std::bit_cast<float>(kMagic);
  return std::bit_cast<uint32_t>(sum) - kMagic;
}

}  // namespace detail

constexpr uint16_t Bf16FromFloat(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & detail::kMagnitude) > detail::kInfinity) {
    return static_cast<uint16_t>((bits >> 16) | 0x40u);  // quiet
  }
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

constexpr float FloatFromBf16(uint16_t code) {
  return std::bit_cast<float>(static_cast<uint32_t>(code) << 16);
}

constexpr uint8_t E4m3FromFloat(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t magnitude = bits & detail::kMagnitude;
  const uint32_t sign = (bits >> 24) & 0x80u;
  if (magnitude > detail::kInfinity) return 0x7Fu;
  if (magnitude >= std::bit_cast<uint32_t>(kE4m3Max)) return static_cast<uint8_t>(sign | 0x7Eu);
  return static_cast<uint8_t>(sign | detail::RoundSmall<3, 7>(magnitude));
}

constexpr float FloatFromE4m3(uint8_t code) {
  const uint32_t sign = (code & 0x80u) << 24;
  const uint32_t magnitude = code & 0x7Fu;
  if (magnitude == 0x7Fu) return std::bit_cast<float>(sign | 0x7FC00000u);
  // One exponent more for subnormals, whose leading bit is then taken away again.
  if (magnitude < 8u) {
    const float shifted = std::bit_cast<float>((magnitude << 20) + (121u << 23)) - 0.015625f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(shifted));
  }
  return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
}

// The code is in the lower four bits.
constexpr uint8_t E2m1FromFloat(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t magnitude = bits & detail::kMagnitude;
  if (magnitude > detail::kInfinity) return 0x7u;
  const uint32_t sign = (bits >> 28) & 0x8u;
  if (magnitude >= std::bit_cast<uint32_t>(kE2m1Max)) return static_cast<uint8_t>(sign | 0x7u);
  return static_cast<uint8_t>(sign | detail::RoundSmall<1, 1>(magnitude));
}

constexpr float FloatFromE2m1(uint8_t code) {
  constexpr float kValues[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  return code & 0x8u ? -kValues[code & 0x7u] : kValues[code & 0x7u];
}

enum class PowerRounding : int { kDown, kUp };

// The power of two below or above |x|; 2^-127 for zero, 2^127 for what is larger.
constexpr uint8_t E8m0FromFloat(float x, PowerRounding rounding) {
  const uint32_t magnitude = std::bit_cast<uint32_t>(x) & detail::kMagnitude;
  if (magnitude > detail::kInfinity) return 0xFFu;
  uint32_t code = magnitude >> 23;
  // 2^-127 is the subnormal 0x00400000, so below it "up" is code 0 and above it 1.
  const bool between = code > 0 ? (magnitude & 0x7FFFFFu) != 0 : magnitude > 0x400000u;
  if (rounding == PowerRounding::kUp && between) ++code;
  return static_cast<uint8_t>(code < 0xFEu ? code : 0xFEu);
}

constexpr float FloatFromE8m0(uint8_t code) {
  if (code == 0xFFu) return std::bit_cast<float>(0x7FC00000u);
  return std::bit_cast<float>(code == 0 ? 0x400000u : static_cast<uint32_t>(code) << 23);
}

enum class NumberFormat : int { kBf16, kE4m3, kE2m1, kE8m0Down, kE8m0Up, kCount };

// Arrays of `count` numbers; codes are uint16_t for bf16 and uint8_t, one each, for all others.
void EncodeNumbers(NumberFormat format, const float* from, int64_t count, void* codes);
void DecodeNumbers(NumberFormat format, const void* codes, int64_t count, float* to);

}  // namespace metabonk::nn
