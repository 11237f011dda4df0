// A frame in the ring as C++ sees it: its shape before it is written, what is known of it after.
// Knows no memory and no protocol.
#pragma once

#include <cstdint>

#include "metabonk/frame_ring.h"
#include "metabonk/status.h"

namespace metabonk::ipc {

enum class FrameFormat : uint32_t {
  kRgb8 = METABONK_RING_RGB8,
  kRgba8 = METABONK_RING_RGBA8,
  kBgra8 = METABONK_RING_BGRA8,
  kGrey8 = METABONK_RING_GREY8,
  kJpeg = METABONK_RING_JPEG,
  kBytes = METABONK_RING_BYTES,
};

enum class RowOrder : uint32_t {
  kTopDown = METABONK_RING_TOP_DOWN,
  kBottomUp = METABONK_RING_BOTTOM_UP,
};

// Of a frame to be written. bytes: of formats that are no rows of pixels (kJpeg, kBytes); the
// others work it out.
struct FrameShape {
  uint32_t width = 0, height = 0, channels = 3;
  FrameFormat format = FrameFormat::kRgb8;
  RowOrder row_order = RowOrder::kTopDown;
  uint64_t bytes = 0;
};

// Of a frame that was read.
struct FrameInfo {
  uint64_t session = 0;     // of the ring: other numbers, another writer or another size
  uint64_t number = 0;      // 1 for the session's first frame, counted by commits
  uint64_t step = 0;        // the game's own count
  uint64_t capture_ns = 0;  // by the writer's monotonic clock, which need not be ours
  uint64_t bytes = 0;
  uint32_t width = 0, height = 0, channels = 0;
  uint32_t row_stride = 0;  // bytes from one row to the next, 0 for formats without rows
  FrameFormat format = FrameFormat::kRgb8;
  RowOrder row_order = RowOrder::kTopDown;
};

// Bytes that a frame of this shape takes; refuses one that cannot be. `bytes` may be null.
Status CheckShape(const FrameShape& shape, uint64_t* bytes);

// What a slot says of its frame, if it is possible in a slot of `room` bytes: memory that another
// process writes is believed in nothing. `info` gets neither session nor number.
Status ReadSlot(const metabonk_ring_slot& slot, uint64_t room, FrameInfo* info);

}  // namespace metabonk::ipc
