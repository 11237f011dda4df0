// The mailbox: the newest value, whole, whatever the two threads do; what nobody took is counted.
#include "play/mailbox.h"

#include <array>
#include <atomic>
#include <thread>

#include "check.h"

namespace metabonk::play {

TEST(mailbox_gives_the_newest_value_once) {
  Mailbox<int> box;
  CHECK(!box.Take());
  box.Post(1);
  box.Post(2);
  CHECK(box.Take());
  CHECK_EQ(box.Taken(), 2);
  CHECK(!box.Take());
  CHECK_EQ(box.Taken(), 2);
  CHECK_EQ(box.posted(), uint64_t{2});
  CHECK_EQ(box.replaced(), uint64_t{1});
}

TEST(mailbox_never_tears_a_value) {
  using Value = std::array<uint64_t, 512>;
  const auto box = std::make_unique<Mailbox<Value>>();
  constexpr uint64_t kCount = 20'000;
  std::thread writer([&] {
    for (uint64_t n = 1; n <= kCount; ++n) {
      box->Draft().fill(n);
      box->Post();
    }
  });
  uint64_t last = 0, taken = 0;
  while (last != kCount) {
    if (!box->Take()) {
      std::this_thread::yield();
      continue;
    }
    ++taken;
    const Value& value = box->Taken();
    for (const uint64_t word : value) {
      if (word != value[0]) check::Fail(__FILE__, __LINE__, "a value was torn");
    }
    CHECK(value[0] > last);
    last = value[0];
  }
  writer.join();
  CHECK_EQ(box->posted(), kCount);
  CHECK_EQ(box->replaced() + taken, kCount);
}

}  // namespace metabonk::play
