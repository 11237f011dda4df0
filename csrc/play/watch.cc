#include "play/watch.h"

#include <cstring>

namespace metabonk::play {

Watch::Watch(int64_t every, size_t frame_bytes) : every_(every) {
  Sight empty;
  empty.pixels.resize(frame_bytes);
  sights_.Prepare(empty);
}

void Watch::Show(const Moment& moment, bool began) {
  if (began) ++runs_;
  if (moment.capture < next_ || moment.state == nullptr) return;
  next_ = moment.capture + every_;
  Sight& sight = sights_.Draft();
  std::memcpy(static_cast<void*>(&sight.state), moment.state, sizeof(GameState));
  sight.sequence = moment.sequence;
  sight.run = runs_;
  sight.capture = moment.capture;
  sight.height = sight.width = sight.channels = 0;
  const FrameView& frame = moment.frame;
  if (frame.pixels != nullptr) {
    const size_t bytes = static_cast<size_t>(frame.height) * static_cast<size_t>(frame.width) *
                         static_cast<size_t>(frame.channels);
    if (bytes <= sight.pixels.size()) {
      std::memcpy(sight.pixels.data(), frame.pixels, bytes);
      sight.height = frame.height;
      sight.width = frame.width;
      sight.channels = frame.channels;
    } else {
      too_large_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  sights_.Post();
}

}  // namespace metabonk::play
