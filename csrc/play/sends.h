// Sends: when answers really left for the game, as the thread that sends them tells it to the one
// that ticks. Between a tick that hands its action over and the socket or the memory that takes it
// another thread has to wake; how long that takes is seen here and nowhere else. Knows numbers and
// times; neither ticks nor links. Neither thread waits for the other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace metabonk::play {

class Sends {
 public:
  // Answers whose fate may be open at a time: 4 seconds of ticks. What is asked for later than that
  // counts as overtaken, which it is by then: only the newest answer waits to be sent.
  static constexpr uint64_t kOpen = 256;
  static constexpr int64_t kOvertaken = -1;

  // The thread that sends: the answer of that number (from 1, rising) has left, or there was nobody
  // whom it could have been sent to.
  void Tell(uint64_t number, int64_t when) {
    Slot& slot = slots_[number % kOpen];
    slot.when.store(when, std::memory_order_relaxed);
    slot.number.store(number, std::memory_order_relaxed);
    told_.store(number, std::memory_order_release);
  }

  // The thread that ticks, of one of the newest kOpen answers: when it left, 0 while that is not
  // known, kOvertaken if a newer one was told of and it was not.
  int64_t At(uint64_t number) const {
    if (told_.load(std::memory_order_acquire) < number) return 0;
    const Slot& slot = slots_[number % kOpen];
    if (slot.number.load(std::memory_order_relaxed) != number) return kOvertaken;
    return slot.when.load(std::memory_order_relaxed);
  }

 private:
  struct Slot {
    std::atomic<uint64_t> number{0};
    std::atomic<int64_t> when{0};
  };

  std::array<Slot, kOpen> slots_;
  alignas(64) std::atomic<uint64_t> told_{0};
};

}  // namespace metabonk::play
