// Histogram: how often times of which length occurred, to within one part in 32, from a nanosecond
// to a quarter of an hour (the buckets of HdrHistogram: powers of two, each in equal parts). One
// thread adds; any other may read meanwhile. Never allocates.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "metabonk/count.h"

namespace metabonk::play {

class Histogram {
 public:
  static constexpr int kBits = 5;
  static constexpr int kParts = 1 << kBits;
  static constexpr int kOctaves = 36;
  static constexpr int kBuckets = kParts * kOctaves;

  // Negative times count as zero.
  void Add(int64_t nanoseconds) {
    const uint64_t value = nanoseconds > 0 ? static_cast<uint64_t>(nanoseconds) : 0;
    counts_[static_cast<size_t>(BucketOf(value))].Add();
    count_.Add();
    if (value > most_.load(std::memory_order_relaxed))
      most_.store(value, std::memory_order_relaxed);
  }

  static int BucketOf(uint64_t value) {
    if (value < kParts) return static_cast<int>(value);
    const int octave = static_cast<int>(std::bit_width(value)) - kBits;
    const int bucket = octave * kParts + static_cast<int>((value >> (octave - 1)) & (kParts - 1));
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }

  // The smallest value that falls into a bucket.
  static uint64_t LowOf(int bucket) {
    const int octave = bucket / kParts;
    const auto part = static_cast<uint64_t>(bucket % kParts);
    return octave == 0 ? part : (kParts + part) << (octave - 1);
  }

  uint64_t count() const { return count_.value(); }
  uint64_t most() const { return most_.load(std::memory_order_relaxed); }
  uint64_t at(int bucket) const { return counts_[static_cast<size_t>(bucket)].value(); }

  // The value that a share of all do not exceed, rounded up to its bucket's end; 0 of none.
  uint64_t Quantile(double share) const {
    const uint64_t all = count();
    uint64_t seen = 0;
    for (int i = 0; i < kBuckets && all != 0; ++i) {
      seen += at(i);
      if (static_cast<double>(seen) < share * static_cast<double>(all)) continue;
      const uint64_t end = i + 1 < kBuckets ? LowOf(i + 1) - 1 : most();
      return end < most() ? end : most();
    }
    return most();
  }

 private:
  std::array<Count, kBuckets> counts_;
  Count count_;
  std::atomic<uint64_t> most_{0};
};

}  // namespace metabonk::play
