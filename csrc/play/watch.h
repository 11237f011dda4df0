// Watch: what a thread beside the loop may see of a seat: the newest moment, now and then. The
// ticking thread copies it out after its action has left, at most once every `every` nanoseconds
// and where one is wanted, and never waits for whoever looks; what nobody looked at is replaced.
// The last moment of a run may be shown for one tick: its state is kept for whoever looks next.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "link/sockets.h"
#include "metabonk/records.h"
#include "play/mailbox.h"
#include "play/source.h"

namespace metabonk::play {

// A moment as it was seen. pixels: [height, width, channels], top row first; height 0 where the
// game gave no frame, or one that is larger than what is watched.
struct Glimpse {
  GameState state = {};
  uint64_t sequence = 0;
  uint64_t run = 0;  // how many runs began since the watch began
  int64_t capture = 0;
  int64_t began = 0;     // when the moment that began the run was captured
  GameState ended = {};  // the last state before it began,
  int64_t ended_at = 0;  // captured then; 0: none was seen
  int32_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

class Watch {
 public:
  // frame_bytes: room for frames; larger ones are left out and counted. 0 for none.
  Watch(int64_t every, size_t frame_bytes);

  // The thread that ticks, every moment. began: a run began with this one. Never waits, never
  // allocates.
  void Show(const Moment& moment, bool began);

  // One other thread. The first moment that is captured then or later is shown, however new the one
  // before it is, and wakes whoever polls `fd`, by one system call; a later wish replaces an
  // earlier one. Whoever is woken asks `Wanted`, which takes the wake: it may be that of a wish
  // before.
  void Want(int64_t since);
  bool Wanted();
  int fd() const { return waker_.fd(); }

  // One other thread. The newest glimpse, if there is one that was not looked at; else null. Good
  // until the next call.
  const Glimpse* Look() { return glimpses_.Take() ? &glimpses_.Taken() : nullptr; }
  uint64_t shown() const { return glimpses_.posted(); }
  uint64_t too_large() const { return too_large_.load(std::memory_order_relaxed); }

 private:
  void Note(const Moment& moment, bool began);
  void CopyFrame(const FrameView& frame, Glimpse* glimpse);

  static constexpr int64_t kNever = INT64_MAX;

  const int64_t every_;
  Mailbox<Glimpse> glimpses_;
  int64_t next_ = 0;
  uint64_t runs_ = 0;
  int64_t began_ = 0;
  GameState newest_ = {}, ended_ = {};  // of the newest moment; of the last one before the run
  int64_t newest_at_ = 0, ended_at_ = 0;
  std::atomic<int64_t> wanted_{kNever};
  link::Waker waker_;
  std::atomic<uint64_t> too_large_{0};
};

}  // namespace metabonk::play
