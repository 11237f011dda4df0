#include "play/watch.h"

#include <cstring>

namespace metabonk::play {

Watch::Watch(int64_t every, size_t frame_bytes) : every_(every) {
  Glimpse empty;
  empty.pixels.resize(frame_bytes);
  glimpses_.Prepare(empty);
}

void Watch::Show(const Moment& moment, bool began) {
  if (began) ++runs_;
  if (moment.capture < next_ || moment.state == nullptr) return;
  next_ = moment.capture + every_;
  Glimpse& glimpse = glimpses_.Draft();
  std::memcpy(static_cast<void*>(&glimpse.state), moment.state, sizeof(GameState));
  glimpse.sequence = moment.sequence;
  glimpse.run = runs_;
  glimpse.capture = moment.capture;
  glimpse.height = glimpse.width = glimpse.channels = 0;
  const FrameView& frame = moment.frame;
  if (frame.pixels != nullptr) {
    const size_t bytes = static_cast<size_t>(frame.height) * static_cast<size_t>(frame.width) *
                         static_cast<size_t>(frame.channels);
    if (bytes <= glimpse.pixels.size()) {
      std::memcpy(glimpse.pixels.data(), frame.pixels, bytes);
      glimpse.height = frame.height;
      glimpse.width = frame.width;
      glimpse.channels = frame.channels;
    } else {
      too_large_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  glimpses_.Post();
}

}  // namespace metabonk::play
