// Mailbox: the latest value from one thread to another. Neither waits for the other, ever: what was
// not taken in time is replaced by what is newer, and counted. Three copies change hands by their
// numbers (a triple buffer), so that values of any size cross without being copied or torn.
#pragma once

#include <atomic>
#include <cstdint>

namespace metabonk::play {

template <typename T>
class Mailbox {
 public:
  // Makes all copies equal; before any thread uses them. For values that keep memory of their own,
  // so that none is allocated later.
  void Prepare(const T& value) {
    for (T& copy : values_) copy = value;
  }

  // The writer's copy, to be filled; what is in it is some older value.
  T& Draft() { return values_[back_]; }

  // Hands the draft over.
  void Post() {
    const uint32_t old = middle_.exchange(back_ | kFresh, std::memory_order_acq_rel);
    back_ = old & kPlace;
    posted_.fetch_add(1, std::memory_order_relaxed);
    if (old & kFresh) replaced_.fetch_add(1, std::memory_order_relaxed);
  }

  void Post(const T& value) {
    Draft() = value;
    Post();
  }

  // Whether there is something that Take has not taken.
  bool fresh() const { return middle_.load(std::memory_order_acquire) & kFresh; }

  // Makes the newest value the reader's; false if it is the one that it had.
  bool Take() {
    if (!fresh()) return false;
    front_ = middle_.exchange(front_, std::memory_order_acq_rel) & kPlace;
    return true;
  }

  // The reader's copy, as of the last Take.
  T& Taken() { return values_[front_]; }

  uint64_t posted() const { return posted_.load(std::memory_order_relaxed); }
  // Values that nobody took.
  uint64_t replaced() const { return replaced_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kPlace = 3, kFresh = 4;

  T values_[3] = {};
  alignas(64) uint32_t back_ = 0;   // the writer's
  alignas(64) uint32_t front_ = 1;  // the reader's
  alignas(64) std::atomic<uint32_t> middle_{2};
  std::atomic<uint64_t> posted_{0}, replaced_{0};
};

}  // namespace metabonk::play
