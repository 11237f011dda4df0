// Tick: what an agent is handed, the newest state and the newest frame of a link.
#pragma once

#include <cstdint>

#include "link/frame.h"
#include "link/state.h"
#include "metabonk/records.h"

namespace metabonk::link {

// The newest state and the newest frame that came with or before it. Of the states that it overtook
// trailers.step has what must not be lost: their rewards are added, is_first, terminated and
// truncated are set if one of them had it.
struct Tick {
  GameState state{};
  StateTrailers trailers;
  uint64_t sequence = 0;
  uint16_t version = 0;
  int64_t capture_ns = 0;   // the game's clock; 0 in v1
  int64_t received_ns = 0;  // our clock, when the last byte had come
  uint64_t skipped = 0;     // states overtaken since the one handed out before
  bool first = false;       // of a connection
  FrameView frame;          // empty if none came since the tick before; gone with the next Poll
  uint64_t frame_sequence = 0;
  int64_t frame_capture_ns = 0;
};

}  // namespace metabonk::link
