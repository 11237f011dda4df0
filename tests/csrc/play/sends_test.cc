// When answers left: told in order, found by number, overtaken where a newer one left alone.
#include "play/sends.h"

#include <atomic>
#include <memory>
#include <thread>

#include "check.h"

namespace metabonk::play {

TEST(sends_tell_when_each_left) {
  Sends sends;
  CHECK_EQ(sends.At(1), int64_t{0});
  sends.Tell(1, 100);
  sends.Tell(4, 400);
  CHECK_EQ(sends.At(1), int64_t{100});
  CHECK_EQ(sends.At(2), Sends::kOvertaken);
  CHECK_EQ(sends.At(3), Sends::kOvertaken);
  CHECK_EQ(sends.At(4), int64_t{400});
  CHECK_EQ(sends.At(5), int64_t{0});
}

TEST(sends_know_the_newest_whatever_lay_in_their_place) {
  Sends sends;
  for (uint64_t number = 1; number <= 3 * Sends::kOpen; number += 2) {
    sends.Tell(number, static_cast<int64_t>(1000 + number));
  }
  const uint64_t last = 3 * Sends::kOpen - 1;
  for (uint64_t number = last - Sends::kOpen + 1; number <= last; ++number) {
    const int64_t wanted = number % 2 ? static_cast<int64_t>(1000 + number) : Sends::kOvertaken;
    CHECK_EQ(sends.At(number), wanted);
  }
}

TEST(sends_mailbox_of_two_threads_never_tells_of_another_answer) {
  const auto sends = std::make_unique<Sends>();
  constexpr uint64_t kAnswers = 50'000;
  std::atomic<uint64_t> given{0};
  std::thread sender([&] {
    uint64_t done = 0;
    while (done < kAnswers) {
      const uint64_t newest = given.load(std::memory_order_acquire);
      if (newest == done) continue;
      done = newest;  // what lay between was overtaken
      sends->Tell(done, static_cast<int64_t>(done * 10));
    }
  });
  uint64_t left = 0, overtaken = 0;
  for (uint64_t number = 1, next = 1; number <= kAnswers;) {
    if (next <= kAnswers && next - number < Sends::kOpen) {
      given.store(next++, std::memory_order_release);
    }
    const int64_t when = sends->At(number);
    if (when == 0) continue;
    if (when == Sends::kOvertaken) {
      ++overtaken;
    } else {
      CHECK_EQ(when, static_cast<int64_t>(number * 10));
      ++left;
    }
    ++number;
  }
  sender.join();
  CHECK_EQ(left + overtaken, kAnswers);
  CHECK(left > 0);
}

}  // namespace metabonk::play
