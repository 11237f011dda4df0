#include "play/watch.h"

#include <cstring>

namespace metabonk::play {

Watch::Watch(int64_t every, size_t frame_bytes) : every_(every) {
  Glimpse empty;
  empty.pixels.resize(frame_bytes);
  glimpses_.Prepare(empty);
}

void Watch::Show(const Moment& moment, bool began) {
  Note(moment, began);
  int64_t since = wanted_.load(std::memory_order_relaxed);
  const bool wanted = moment.capture >= since;
  if ((moment.capture < next_ && !wanted) || moment.state == nullptr) return;
  next_ = moment.capture + every_;
  Glimpse& glimpse = glimpses_.Draft();
  std::memcpy(static_cast<void*>(&glimpse.state), moment.state, sizeof(GameState));
  glimpse.sequence = moment.sequence;
  glimpse.capture = moment.capture;
  if (glimpse.run != runs_) {  // the draft is of an earlier run
    glimpse.run = runs_;
    glimpse.began = began_;
    std::memcpy(static_cast<void*>(&glimpse.ended), &ended_, sizeof(GameState));
    glimpse.ended_at = ended_at_;
  }
  CopyFrame(moment.frame, &glimpse);
  glimpses_.Post();
  // A later wish stays.
  if (wanted && wanted_.compare_exchange_strong(since, kNever, std::memory_order_release)) {
    waker_.Wake();
  }
}

void Watch::Want(int64_t since) { wanted_.store(since, std::memory_order_relaxed); }

bool Watch::Wanted() {
  waker_.Drain();  // first: a wake that comes now is for what is seen next time
  return wanted_.load(std::memory_order_acquire) != kNever;
}

// Every moment, as nobody knows which will be a run's last one.
void Watch::Note(const Moment& moment, bool began) {
  if (began) {
    ++runs_;
    began_ = moment.capture;
    std::memcpy(static_cast<void*>(&ended_), &newest_, sizeof(GameState));
    ended_at_ = newest_at_;
  }
  if (moment.state == nullptr) return;
  std::memcpy(static_cast<void*>(&newest_), moment.state, sizeof(GameState));
  newest_at_ = moment.capture;
}

void Watch::CopyFrame(const FrameView& frame, Glimpse* glimpse) {
  glimpse->height = glimpse->width = glimpse->channels = 0;
  if (frame.pixels == nullptr) return;
  const size_t bytes = static_cast<size_t>(frame.height) * static_cast<size_t>(frame.width) *
                       static_cast<size_t>(frame.channels);
  if (bytes > glimpse->pixels.size()) {
    too_large_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  std::memcpy(glimpse->pixels.data(), frame.pixels, bytes);
  glimpse->height = frame.height;
  glimpse->width = frame.width;
  glimpse->channels = frame.channels;
}

}  // namespace metabonk::play
