#include "link/frame.h"

#include <cstring>

#include "link/bytes.h"
#include "link/message.h"

namespace metabonk::link {
namespace {

constexpr uint32_t kTagRaw = Tag("MBRF");

constexpr Status Malformed(const char* where, const char* what) {
  return {Code::kCorrupt, where, what};
}

bool SidesFit(uint64_t width, uint64_t height) {
  return width >= 1 && height >= 1 && width <= kFrameSideMax && height <= kFrameSideMax &&
         width * height <= kFramePixelsMax;
}

Status DecodeJpeg(std::span<const uint8_t> bytes, FrameView* frame) {
  FrameView got{.format = PixelFormat::kJpeg, .pixels = bytes};
  const Status status = JpegSize(bytes, &got.width, &got.height);
  if (status.ok()) *frame = got;
  return status;
}

size_t RowBytes(const FrameView& frame) { return size_t{frame.width} * frame.channels(); }

// Whether what the caller hands out is all there.
Status CheckFrame(const FrameView& frame) {
  if (frame.format == PixelFormat::kJpeg) {
    return frame.pixels.empty() ? Malformed("frame.pixels", "a JPEG has bytes") : Status::Ok();
  }
  if (!SidesFit(frame.width, frame.height)) {
    return Malformed("frame.width, height", "must be 1..16384, 2^24 pixels in all at most");
  }
  if (frame.stride < RowBytes(frame)) {
    return Malformed("frame.stride", "must be at least width * channels");
  }
  const size_t needed = size_t{frame.stride} * (frame.height - 1) + RowBytes(frame);
  if (frame.pixels.size() < needed) return Malformed("frame.pixels", "fewer than rows need");
  return Status::Ok();
}

// Row `y` from the top.
const uint8_t* Row(const FrameView& frame, uint32_t y) {
  const uint32_t at = frame.row_order == RowOrder::kTopDown ? y : frame.height - 1 - y;
  return frame.pixels.data() + size_t{at} * frame.stride;
}

}  // namespace

Status JpegSize(std::span<const uint8_t> jpeg, uint32_t* width, uint32_t* height) {
  const auto broken = [](const char* what) { return Malformed("JPEG", what); };
  if (jpeg.size() < 4 || jpeg[0] != 0xFF || jpeg[1] != 0xD8) return broken("does not begin as one");
  for (size_t at = 2; at + 4 <= jpeg.size();) {
    if (jpeg[at] != 0xFF) return broken("a marker is missing before its frame header");
    const uint8_t marker = jpeg[at + 1];
    if (marker == 0xFF) {  // padding
      ++at;
      continue;
    }
    const bool alone = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7);
    if (alone) {
      at += 2;
      continue;
    }
    if (marker == 0xD9 || marker == 0xDA || marker == 0x00) break;
    const size_t length = size_t{jpeg[at + 2]} << 8 | jpeg[at + 3];
    const bool start =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (start) {
      if (length < 8 || at + 9 > jpeg.size()) break;
      *height = static_cast<uint32_t>(jpeg[at + 5] << 8 | jpeg[at + 6]);
      *width = static_cast<uint32_t>(jpeg[at + 7] << 8 | jpeg[at + 8]);
      return SidesFit(*width, *height) ? Status::Ok() : broken("too large, or without a height");
    }
    if (length < 2) break;
    at += 2 + length;
  }
  return broken("has no frame header");
}

Status DecodeFrameV1(std::span<const uint8_t> bytes, FrameView* frame) {
  ByteReader from(bytes);
  if (from.Get<uint32_t>() != kTagRaw) return DecodeJpeg(bytes, frame);
  const auto width = from.Get<int32_t>();
  const auto height = from.Get<int32_t>();
  const auto channels = from.Get<int32_t>();
  if (!from.ok()) return Malformed("MBRF", "the header is cut");
  if (channels != 3 && channels != 4) return Malformed("MBRF channels", "must be 3 or 4");
  if (width < 1 || height < 1 ||
      !SidesFit(static_cast<uint32_t>(width), static_cast<uint32_t>(height))) {
    return Malformed("MBRF width, height", "must be 1..16384, 2^24 pixels in all at most");
  }
  FrameView got{.format = channels == 3 ? PixelFormat::kRgb : PixelFormat::kRgba,
                .row_order = RowOrder::kBottomUp,
                .width = static_cast<uint32_t>(width),
                .height = static_cast<uint32_t>(height)};
  got.stride = static_cast<uint32_t>(RowBytes(got));
  const size_t size = size_t{got.stride} * got.height;
  if (from.left() != size) return Malformed("MBRF", "rows are missing or too many");
  got.pixels = from.Take(size);
  *frame = got;
  return Status::Ok();
}

Status DecodeFrameV2(std::span<const uint8_t> bytes, FrameView* frame) {
  ByteReader from(bytes);
  const auto format = from.Get<uint8_t>();
  const auto order = from.Get<uint8_t>();
  from.Take(2);
  FrameView got;
  got.width = from.Get<uint32_t>();
  got.height = from.Get<uint32_t>();
  got.stride = from.Get<uint32_t>();
  if (!from.ok()) return Malformed("FRAME", "the header is cut");
  if (format == static_cast<uint8_t>(PixelFormat::kJpeg)) {
    return DecodeJpeg(from.Take(from.left()), frame);
  }
  if (format != static_cast<uint8_t>(PixelFormat::kRgb) &&
      format != static_cast<uint8_t>(PixelFormat::kRgba)) {
    return Malformed("FRAME format", "must be 1, 2 or 16");
  }
  if (order > static_cast<uint8_t>(RowOrder::kBottomUp)) {
    return Malformed("FRAME row order", "must be 0 or 1");
  }
  got.format = static_cast<PixelFormat>(format);
  got.row_order = static_cast<RowOrder>(order);
  if (from.left() != uint64_t{got.stride} * got.height) {
    return Malformed("FRAME", "must have stride * height bytes of pixels");
  }
  got.pixels = from.Take(from.left());
  const Status status = CheckFrame(got);
  if (status.ok()) *frame = got;
  return status;
}

size_t FrameBytesV1(const FrameView& frame) {
  if (frame.format == PixelFormat::kJpeg) return frame.pixels.size();
  return kFrameHeaderV1Bytes + RowBytes(frame) * frame.height;
}

Status EncodeFrameV1(const FrameView& frame, std::span<uint8_t> room, size_t* size) {
  const Status status = CheckFrame(frame);
  if (!status.ok()) return status;
  ByteWriter to(room);
  if (frame.format == PixelFormat::kJpeg) {
    to.Raw(frame.pixels.data(), frame.pixels.size());
  } else {
    to.Put(kTagRaw);
    to.Put(static_cast<int32_t>(frame.width));
    to.Put(static_cast<int32_t>(frame.height));
    to.Put(static_cast<int32_t>(frame.channels()));
    for (uint32_t y = frame.height; y-- > 0;) to.Raw(Row(frame, y), RowBytes(frame));
  }
  *size = to.size();
  return to.ok() ? status : Malformed("room", "too small for the frame, see FrameBytesV1");
}

size_t FrameBytesV2(const FrameView& frame) {
  const bool jpeg = frame.format == PixelFormat::kJpeg;
  return kFrameHeaderV2Bytes + (jpeg ? frame.pixels.size() : RowBytes(frame) * frame.height);
}

Status EncodeFrameV2(const FrameView& frame, RowOrder order, std::span<uint8_t> room,
                     size_t* size) {
  const Status status = CheckFrame(frame);
  if (!status.ok()) return status;
  const bool jpeg = frame.format == PixelFormat::kJpeg;
  ByteWriter to(room);
  to.Put(static_cast<uint8_t>(frame.format));
  to.Put(static_cast<uint8_t>(jpeg ? RowOrder::kTopDown : order));
  to.Put(uint16_t{0});
  to.Put(frame.width);
  to.Put(frame.height);
  to.Put(jpeg ? 0u : static_cast<uint32_t>(RowBytes(frame)));
  if (jpeg) {
    to.Raw(frame.pixels.data(), frame.pixels.size());
  } else if (frame.stride == RowBytes(frame) && order == frame.row_order) {
    to.Raw(frame.pixels.data(), RowBytes(frame) * frame.height);
  } else {
    for (uint32_t y = 0; y < frame.height; ++y) {
      const uint32_t from_top = order == RowOrder::kTopDown ? y : frame.height - 1 - y;
      to.Raw(Row(frame, from_top), RowBytes(frame));
    }
  }
  *size = to.size();
  return to.ok() ? status : Malformed("room", "too small for the frame, see FrameBytesV2");
}

Status CopyUpright(const FrameView& frame, std::span<uint8_t> room) {
  const Status status = CheckFrame(frame);
  if (!status.ok()) return status;
  if (frame.format == PixelFormat::kJpeg) {
    return {Code::kInvalidArgument, "frame", "a JPEG is decoded first"};
  }
  const size_t row_bytes = size_t{frame.width} * 3;
  if (room.size() != row_bytes * frame.height) {
    return {Code::kInvalidArgument, "room", "must be height * width * 3 bytes"};
  }
  for (uint32_t y = 0; y < frame.height; ++y) {
    const uint8_t* from = Row(frame, y);
    uint8_t* to = room.data() + y * row_bytes;
    if (frame.format == PixelFormat::kRgb) {
      std::memcpy(to, from, row_bytes);
    } else {
      for (uint32_t x = 0; x < frame.width; ++x, from += 4, to += 3) std::memcpy(to, from, 3);
    }
  }
  return status;
}

}  // namespace metabonk::link
