// Count: a number that one thread adds to and any may read.
#pragma once

#include <atomic>
#include <cstdint>

namespace metabonk {

// Readers on other threads see some recent value.
class Count {
 public:
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace metabonk
