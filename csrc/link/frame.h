// Frames on the wire: v1's JPEG or MBRF, v2's with a header of its own. Reads and writes what is
// around the pixels and copies raw rows upright; does not decode JPEG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "metabonk/status.h"

namespace metabonk::link {

// Numbers of the frame ring's formats (metabonk/frame_ring.h), which v2 has on the wire too.
enum class PixelFormat : uint8_t { kRgb = 1, kRgba = 2, kJpeg = 16 };
enum class RowOrder : uint8_t { kTopDown = 0, kBottomUp = 1 };

// A picture that lies in somebody else's memory.
struct FrameView {
  PixelFormat format = PixelFormat::kRgb;
  RowOrder row_order = RowOrder::kTopDown;
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t stride = 0;  // bytes from row to row; 0 for JPEG
  // JPEG: the file's bytes
  std::span<const uint8_t> pixels = {};  // NOLINT(readability-redundant-member-init)

  bool empty() const { return pixels.empty(); }
  uint32_t channels() const { return format == PixelFormat::kRgba ? 4u : 3u; }
};

inline constexpr uint32_t kFrameSideMax = 16384;
inline constexpr uint64_t kFramePixelsMax = 1u << 24;  // what a JPEG may unfold to
inline constexpr size_t kFrameHeaderV1Bytes = 16;      // of raw frames; a JPEG has none
inline constexpr size_t kFrameHeaderV2Bytes = 16;

// Width and height of a JPEG from its first frame header (SOF), so that no decoder is handed a
// picture of a size that nobody asked for. kCorrupt if there is none.
Status JpegSize(std::span<const uint8_t> jpeg, uint32_t* width, uint32_t* height);

// v1: `MBRF` i32 width, height, channels and rows, bottom-up; or a JPEG.
Status DecodeFrameV1(std::span<const uint8_t> bytes, FrameView* frame);
// v2: u8 format, u8 row order, u16 0, u32 width, height, stride, then the pixels.
Status DecodeFrameV2(std::span<const uint8_t> bytes, FrameView* frame);

// What a frame takes on the wire; EncodeFrameV1 turns raw rows bottom-up and drops gaps between
// them.
size_t FrameBytesV1(const FrameView& frame);
Status EncodeFrameV1(const FrameView& frame, std::span<uint8_t> room, size_t* size);
// `order`: that of raw rows on the wire; they are turned if it is not the frame's.
size_t FrameBytesV2(const FrameView& frame);
Status EncodeFrameV2(const FrameView& frame, RowOrder order, std::span<uint8_t> room, size_t* size);

// Copies a raw picture to RGB rows from the top down without gaps; room is height * width * 3.
Status CopyUpright(const FrameView& frame, std::span<uint8_t> room);

}  // namespace metabonk::link
