// Inbox: states and frames as they arrive, down to the newest of each. Fills in what v1 lacks: ids
// of enemies and dt. Knows messages, no sockets.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "link/action.h"
#include "link/counters.h"
#include "link/matcher.h"
#include "link/message.h"
#include "link/tick.h"
#include "metabonk/status.h"

namespace metabonk::link {

class Inbox {
 public:
  Inbox(Axes axes, Counters* counters) : axes_(axes), counters_(counters) {}

  // A new connection: its first state has no past.
  void Begin();
  // kCorrupt ends the connection; the tick handed out before stays as it is.
  Status TakeState(const Message& message, int64_t received_ns);
  // A frame that is malformed is refused and counted; the state comes without it.
  Status TakeFrame(const Message& message);
  // Copies a frame that still lies in the decoder; before its memory is written again.
  void KeepFrame();

  bool fresh() const { return fresh_; }  // there is a state that was not handed out
  // The newest state and frame from now on; the frame is gone with the next Release.
  void HandOut();
  void Release() { ticks_[newest_].frame = {}; }
  const Tick& tick() const { return ticks_[newest_]; }
  // Whether tick() is of a connection before this one.
  bool outlived() const { return first_ && handed_; }
  CaptureSize frame_size() const { return frame_size_; }  // of the last frame of the connection

 private:
  void Merge(const Tick& older, Tick* newer);

  const Axes axes_;
  Counters* const counters_;
  Matcher matcher_;
  std::array<Tick, 2> ticks_;  // one is handed out while the next is read into the other
  int newest_ = 0;
  bool fresh_ = false;
  bool first_ = true;          // no state of this connection has been handed out
  bool handed_ = false;        // any state has been
  bool begun_ = false;         // a state of this connection has been read
  double handed_time_ = 0.0;   // game time of the state that was handed out last
  double decoded_time_ = 0.0;  // of the one that was read last
  FrameView frame_;            // the newest that was not handed out
  uint64_t frame_sequence_ = 0;
  int64_t frame_time_ = 0;
  bool frame_in_decoder_ = false;
  std::vector<uint8_t> frame_copy_;
  CaptureSize frame_size_;
};

}  // namespace metabonk::link
