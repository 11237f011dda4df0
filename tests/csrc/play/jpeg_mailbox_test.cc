// JPEGs to a decoder on another thread: the newest is asked for, what is answered comes back with
// the capture that it is of, and neither side waits for the other.
#include "play/jpeg_mailbox.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "play/clock.h"

namespace metabonk::play {
namespace {

constexpr int64_t kHang = 20 * kSecond;

Shown At(uint64_t step) {
  Shown shown;
  shown.step = step;
  shown.state.health = static_cast<float>(step);
  return shown;
}

TEST(jpeg_mailbox_fits_pictures_and_tells_what_cannot_be_read) {
  JpegMailbox mailbox(2, 3);
  CHECK(mailbox.Ask(0) == nullptr);
  CHECK(!mailbox.busy());
  const std::vector<uint8_t> jpeg = {1, 2, 3};
  mailbox.Hand(At(7), 7, jpeg);
  CHECK(mailbox.busy());
  const std::vector<uint8_t>* asked = mailbox.Ask(0);
  CHECK(asked != nullptr && *asked == jpeg);
  CHECK(mailbox.Take() == nullptr);
  const std::vector<uint8_t> pixels(size_t{4} * 6 * 3, 90);
  const link::FrameView view{.width = 6, .height = 4, .stride = 18, .pixels = pixels};
  CHECK(mailbox.Answer(&view));
  CHECK(!mailbox.Answer(&view));  // once
  JpegMailbox::Picture* picture = mailbox.Take();
  CHECK(picture != nullptr && picture->whole);
  CHECK_EQ(picture->shown.step, uint64_t{7});
  CHECK_EQ(picture->shown.state.health, 7.0f);
  CHECK(picture->pixels == std::vector<uint8_t>(18, 90));
  CHECK(!mailbox.busy());
  for (const bool short_one : {false, true}) {
    mailbox.Hand(At(8), 8, jpeg);
    CHECK(mailbox.Ask(0) != nullptr);
    link::FrameView less = view;  // says more pixels than there are
    less.height = 400;
    CHECK(mailbox.Answer(short_one ? &less : nullptr));
    picture = mailbox.Take();
    CHECK(picture != nullptr && !picture->whole);
  }
  CHECK_EQ(mailbox.decoded(), uint64_t{1});
  CHECK_EQ(mailbox.unreadable(), uint64_t{2});
}

TEST(jpeg_mailbox_keeps_the_newest_between_threads) {
  JpegMailbox mailbox(1, 1);
  std::atomic<bool> done{false};
  std::thread decoder([&] {
    while (!done.load()) {
      const std::vector<uint8_t>* jpeg = mailbox.Ask(kMillisecond);
      if (jpeg == nullptr) continue;
      const std::vector<uint8_t> pixels(3, jpeg->back());
      const link::FrameView view{.width = 1, .height = 1, .stride = 3, .pixels = pixels};
      CHECK(mailbox.Answer(&view));
    }
  });
  constexpr uint64_t kFrames = 2000;
  uint64_t taken = 0, last = 0;
  const auto take = [&] {
    JpegMailbox::Picture* picture = mailbox.Take();
    if (picture == nullptr) return;
    ++taken;
    CHECK(picture->shown.step > last);
    last = picture->shown.step;
    CHECK_EQ(picture->pixels[0], static_cast<uint8_t>(last));  // of the same capture
  };
  for (uint64_t step = 1; step <= kFrames; ++step) {
    mailbox.Hand(At(step), step, std::vector<uint8_t>(64, static_cast<uint8_t>(step)));
    take();
  }
  const int64_t until = MonotonicClock().Now() + kHang;
  while (mailbox.busy() && MonotonicClock().Now() < until) take();
  done = true;
  decoder.join();
  CHECK_EQ(last, kFrames);  // the newest always comes back
  CHECK_EQ(taken + mailbox.overtaken(), kFrames);
}

}  // namespace
}  // namespace metabonk::play
