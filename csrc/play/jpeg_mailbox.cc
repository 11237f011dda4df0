#include "play/jpeg_mailbox.h"

#include <chrono>

namespace metabonk::play {

void JpegMailbox::Hand(const Shown& shown, uint64_t framed_at, std::span<const uint8_t> jpeg) {
  Coded& coded = coded_.Draft();
  coded.shown = shown;
  coded.framed_at = framed_at;
  coded.jpeg.assign(jpeg.begin(), jpeg.end());
  handed_ = shown.step;
  coded_.Post();
  // Whoever waits has looked before it slept, or sees what was posted.
  {
    const std::lock_guard<std::mutex> lock(mutex_);
  }
  handed_over_.notify_one();
}

JpegMailbox::Picture* JpegMailbox::Take() {
  if (!pictures_.Take()) return nullptr;
  Picture& picture = pictures_.Taken();
  returned_ = picture.shown.step;
  return &picture;
}

const std::vector<uint8_t>* JpegMailbox::Ask(int64_t timeout_ns) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    handed_over_.wait_for(lock, std::chrono::nanoseconds(timeout_ns),
                          [this] { return coded_.fresh(); });
  }
  asked_ = coded_.Take();
  return asked_ ? &coded_.Taken().jpeg : nullptr;
}

bool JpegMailbox::Answer(const link::FrameView* picture) {
  if (!asked_) return false;
  asked_ = false;
  Picture& back = pictures_.Draft();
  back.shown = coded_.Taken().shown;
  back.framed_at = coded_.Taken().framed_at;
  back.whole = picture != nullptr && fit_.Run(*picture, &back.pixels);
  (back.whole ? decoded_ : unreadable_).fetch_add(1, std::memory_order_relaxed);
  pictures_.Post();
  return true;
}

}  // namespace metabonk::play
