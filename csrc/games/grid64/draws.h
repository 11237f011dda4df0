// Draws: a stream of random numbers for generating levels, and hashes of plain bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "support/random.h"

namespace metabonk::grid64 {

struct Draws {
  uint64_t key;
  uint64_t count = 0;

  uint64_t Bits() { return HashDraw(key, count++); }
  int Below(int n) { return static_cast<int>(metabonk::Below(Bits(), static_cast<uint32_t>(n))); }
  int Between(int low, int high) { return low + Below(high - low + 1); }  // both ends included
  bool Chance(int percent) { return Below(100) < percent; }

  template <class T>
  void Shuffle(T* values, int count_of_values) {
    for (int i = count_of_values - 1; i > 0; --i) {
      const int j = Below(i + 1);
      const T held = values[i];
      values[i] = values[j];
      values[j] = held;
    }
  }
};

inline uint64_t HashBytes(uint64_t hash, const void* data, size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(data);
  for (; bytes >= 8; at += 8, bytes -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = Mix64((hash ^ word) + 0x9E3779B97F4A7C15ull);
  }
  uint64_t tail = bytes;
  for (size_t i = 0; i < bytes; ++i) tail = tail << 8 | at[i];
  return Mix64((hash ^ tail) + 0x9E3779B97F4A7C15ull);
}

}  // namespace metabonk::grid64
