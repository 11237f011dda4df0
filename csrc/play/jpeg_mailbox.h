// JpegMailbox: JPEGs from the thread that reads a game to the one that decodes them, and pictures
// back. Either side goes on whatever the other does: of what waits the newest counts, what it
// overtook is counted. Knows no decoder: whoever has one asks and answers, a thread of Python here.
//
// A JPEG takes its capture along, so that a picture that comes back late is shown with the state
// that it belongs to.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "link/frame.h"
#include "play/frame_fit.h"
#include "play/mailbox.h"
#include "play/shown.h"

namespace metabonk::play {

class JpegMailbox {
 public:
  struct Picture {
    Shown shown;
    uint64_t framed_at = 0;       // step of the capture that the pixels are of
    std::vector<uint8_t> pixels;  // [height, width, 3]
    bool whole = false;           // the JPEG could be read
  };

  // Of the pictures that are wanted.
  JpegMailbox(int32_t height, int32_t width) : fit_(height, width) {}

  // The thread that reads. framed_at: step of the capture that the JPEG is of.
  void Hand(const Shown& shown, uint64_t framed_at, std::span<const uint8_t> jpeg);
  // The newest picture that came back, null if it was taken before. Its pixels are the caller's.
  Picture* Take();
  // Whether the newest JPEG that was handed over has not come back yet.
  bool busy() const { return returned_ != handed_; }

  // The thread that decodes. The newest JPEG, waited for up to `timeout_ns`; null if none came. It
  // stays as it is until the next Ask.
  const std::vector<uint8_t>* Ask(int64_t timeout_ns);
  // What the JPEG shows; null if it cannot be read. False if there was no question.
  bool Answer(const link::FrameView* picture);

  // Any thread.
  uint64_t overtaken() const { return coded_.replaced() + pictures_.replaced(); }
  uint64_t decoded() const { return decoded_.load(std::memory_order_relaxed); }
  uint64_t unreadable() const { return unreadable_.load(std::memory_order_relaxed); }

 private:
  struct Coded {
    Shown shown;
    uint64_t framed_at = 0;
    std::vector<uint8_t> jpeg;
  };

  Mailbox<Coded> coded_;
  Mailbox<Picture> pictures_;
  FrameFit fit_;                        // the decoder's
  bool asked_ = false;                  // the decoder's
  uint64_t handed_ = 0, returned_ = 0;  // steps; the reader's
  std::atomic<uint64_t> decoded_{0}, unreadable_{0};
  std::mutex mutex_;
  std::condition_variable handed_over_;
};

}  // namespace metabonk::play
