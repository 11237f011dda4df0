// Digest: 128 bits by which arrays are known to be the same ones again. Folded products of 64-bit
// words with odd secrets (as in the MUM family of hashes), two lanes: quick, the same on every
// machine, and no protection against somebody who makes up arrays to fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "support/random.h"

namespace metabonk::play {

struct Digest {
  uint64_t low = 0, high = 0;
  bool operator==(const Digest&) const = default;
};

class Digester {
 public:
  // Arrays count in their order and with their lengths.
  void Add(const void* data, size_t bytes) {
    const auto* at = static_cast<const uint8_t*>(data);
    size_t left = bytes;
    for (; left >= 16; at += 16, left -= 16) Mix(Word(at), Word(at + 8));
    uint8_t tail[16] = {};
    if (left != 0) std::memcpy(tail, at, left);
    Mix(Word(tail), Word(tail + 8) ^ (static_cast<uint64_t>(left) << 56));
    Mix(bytes, ++arrays_);
  }

  Digest Get() const { return {Mix64(low_ ^ (high_ << 1)), Mix64(high_ + Mix64(low_))}; }

 private:
  static uint64_t Word(const uint8_t* at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  static uint64_t Fold(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  void Mix(uint64_t a, uint64_t b) {
    // What comes in is also added, so that a factor of zero cannot wipe out what came before.
    low_ = Fold(low_ ^ a ^ 0x9E3779B97F4A7C15ull, b ^ 0xD1B54A32D192ED03ull) +
           (low_ << 23 | low_ >> 41) + a;
    high_ = Fold(high_ ^ b ^ 0x8CB92BA72F3D8DD7ull, a ^ 0xAEF17502108EF2D9ull) +
            (high_ << 37 | high_ >> 27) + b;
  }

  uint64_t low_ = 0x243F6A8885A308D3ull, high_ = 0x13198A2E03707344ull;
  uint64_t arrays_ = 0;
};

}  // namespace metabonk::play
