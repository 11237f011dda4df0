#include "ipc/frame.h"

#include <cstring>

namespace metabonk::ipc {
namespace {

// Channels of a format whose bytes are rows of pixels, 0 of the others, -1 of none at all.
int ChannelsOf(FrameFormat format) {
  switch (format) {
    case FrameFormat::kRgb8:
      return 3;
    case FrameFormat::kRgba8:
    case FrameFormat::kBgra8:
      return 4;
    case FrameFormat::kGrey8:
      return 1;
    case FrameFormat::kJpeg:
    case FrameFormat::kBytes:
      return 0;
  }
  return -1;
}

bool Side(uint32_t side) { return side >= 1 && side <= METABONK_RING_SIDE_MAX; }

}  // namespace

Status CheckShape(const FrameShape& shape, uint64_t* bytes) {
  const int channels = ChannelsOf(shape.format);
  if (channels < 0) return {Code::kInvalidArgument, "format", "must be one of FrameFormat"};
  if (shape.row_order != RowOrder::kTopDown && shape.row_order != RowOrder::kBottomUp) {
    return {Code::kInvalidArgument, "row_order", "must be one of RowOrder"};
  }
  uint64_t size = shape.bytes;
  if (shape.format != FrameFormat::kBytes) {
    if (!Side(shape.width)) return {Code::kOutOfRange, "width", "must be 1..16384"};
    if (!Side(shape.height)) return {Code::kOutOfRange, "height", "must be 1..16384"};
  }
  if (channels > 0) {
    if (shape.channels != static_cast<uint32_t>(channels)) {
      return {Code::kInvalidArgument, "channels", "must be that of the format: 3, 4 or 1"};
    }
    size = uint64_t{shape.width} * shape.height * shape.channels;
    if (shape.bytes != 0 && shape.bytes != size) {
      return {Code::kInvalidArgument, "bytes", "must be width * height * channels, or 0"};
    }
  }
  if (size < 1 || size > METABONK_RING_BYTES_MAX) {
    return {Code::kOutOfRange, "bytes", "must be 1..2^30"};
  }
  if (bytes) *bytes = size;
  return Status::Ok();
}

Status ReadSlot(const metabonk_ring_slot& slot, uint64_t room, FrameInfo* info) {
  metabonk_ring_slot seen;
  constexpr size_t kFixed = offsetof(metabonk_ring_slot, step);  // the sequence is an atomic word
  std::memcpy(reinterpret_cast<uint8_t*>(&seen) + kFixed,
              reinterpret_cast<const uint8_t*>(&slot) + kFixed,
              offsetof(metabonk_ring_slot, pad) - kFixed);
  if (seen.bytes < 1 || seen.bytes > room) {
    return {Code::kCorrupt, "bytes", "the frame does not fit into its slot"};
  }
  const auto format = static_cast<FrameFormat>(seen.format);
  const int channels = ChannelsOf(format);
  if (channels < 0) return {Code::kCorrupt, "format", "unknown to this version"};
  if (seen.row_order > METABONK_RING_BOTTOM_UP) {
    return {Code::kCorrupt, "row_order", "unknown to this version"};
  }
  if (format != FrameFormat::kBytes && (!Side(seen.width) || !Side(seen.height))) {
    return {Code::kCorrupt, "width", "width and height must be 1..16384"};
  }
  if (channels > 0) {
    const uint64_t row = uint64_t{seen.width} * static_cast<uint64_t>(channels);
    const bool fits = seen.channels == static_cast<uint32_t>(channels) && seen.row_stride >= row &&
                      uint64_t{seen.row_stride} * (seen.height - 1) + row <= seen.bytes;
    if (!fits) return {Code::kCorrupt, "row_stride", "the rows do not fit into the frame"};
  }
  info->step = seen.step;
  info->capture_ns = seen.capture_ns;
  info->bytes = seen.bytes;
  info->width = seen.width;
  info->height = seen.height;
  info->channels = seen.channels;
  info->row_stride = channels > 0 ? seen.row_stride : 0;
  info->format = format;
  info->row_order = static_cast<RowOrder>(seen.row_order);
  return Status::Ok();
}

}  // namespace metabonk::ipc
