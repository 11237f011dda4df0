// Counter-based random numbers: draw n of a stream is a function of (key, n) alone, so streams can
// be copied, skipped and replayed. SplitMix64's finaliser (Steele, Lea, Flood 2014), twice mixed.
// No std:: distributions: their results differ between libraries.
#pragma once

#include <cstdint>

namespace metabonk {

constexpr uint64_t Mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

constexpr uint64_t HashDraw(uint64_t key, uint64_t counter) {
  return Mix64(Mix64(key + 0x9E3779B97F4A7C15ull * (counter + 1)) ^ key);
}

// Uniform in [0, 1) with 24 bits, exact in float.
constexpr float UnitFloat(uint64_t bits) {
  return static_cast<float>(bits >> 40) * (1.0f / 16777216.0f);
}

// Uniform integer in [0, n), n > 0, by multiplication (Lemire 2019, bias below 2^-32).
constexpr uint32_t Below(uint64_t bits, uint32_t n) {
  return static_cast<uint32_t>(((bits >> 32) * n) >> 32);
}

}  // namespace metabonk
