// Frames on the wire: raw rows of either version are upright in the end, alpha is dropped, and what
// lies about its size is refused.
#include <memory>

#include "check.h"
#include "link/states.h"

namespace metabonk::link {
namespace {

TEST(link_raw_frames_are_upright_in_the_end) {
  // 2 x 3 pixels, top row 1, then 2, then 3; rows with a gap after them.
  Bytes pixels;
  for (uint8_t row = 1; row <= 3; ++row) {
    for (int i = 0; i < 6; ++i) pixels.push_back(row);
    AppendAll({0xAA, 0xAA}, &pixels);
  }
  const FrameView frame{
      .format = PixelFormat::kRgb, .width = 2, .height = 3, .stride = 8, .pixels = pixels};
  Bytes room(FrameBytesV1(frame)), upright(18);
  size_t size = 0;
  CHECK(EncodeFrameV1(frame, room, &size).ok());
  CHECK_EQ(size, room.size());
  CHECK_EQ(room[16], 3);  // the bottom row comes first
  FrameView back;
  CHECK(DecodeFrameV1(room, &back).ok());
  CHECK(back.row_order == RowOrder::kBottomUp);
  CHECK(CopyUpright(back, upright).ok());
  CHECK(upright[0] == 1 && upright[6] == 2 && upright[17] == 3);
  for (const RowOrder order : {RowOrder::kTopDown, RowOrder::kBottomUp}) {
    room.assign(FrameBytesV2(frame), 0);
    CHECK(EncodeFrameV2(frame, order, room, &size).ok());
    CHECK(DecodeFrameV2(room, &back).ok());
    CHECK(back.row_order == order);
    upright.assign(18, 0);
    CHECK(CopyUpright(back, upright).ok());
    CHECK(upright[0] == 1 && upright[6] == 2 && upright[17] == 3);
  }
  CHECK(!CopyUpright(back, {upright.data(), 17}).ok());
}

TEST(link_alpha_is_dropped) {
  const Bytes pixels = {1, 2, 3, 255, 4, 5, 6, 255};
  const FrameView frame{
      .format = PixelFormat::kRgba, .width = 2, .height = 1, .stride = 8, .pixels = pixels};
  Bytes upright(6);
  CHECK(CopyUpright(frame, upright).ok());
  CHECK(upright == Bytes({1, 2, 3, 4, 5, 6}));
}

TEST(link_frames_that_lie_are_refused) {
  const auto raw = [](int32_t width, int32_t height, int32_t channels, size_t bytes) {
    Bytes frame = {'M', 'B', 'R', 'F'};
    for (const int32_t value : {width, height, channels}) Append(value, &frame);
    frame.resize(16 + bytes);
    return frame;
  };
  FrameView view;
  CHECK(DecodeFrameV1(raw(2, 2, 3, 12), &view).ok());
  for (const Bytes& frame :
       {raw(2, 2, 3, 11), raw(2, 2, 3, 13), raw(2, 2, 2, 8), raw(-2, -2, 3, 12), raw(0, 2, 3, 0),
        raw(1 << 30, 1 << 30, 4, 0), raw(1 << 16, 1, 3, 3 << 16), Bytes{}, Bytes{1, 2, 3, 4, 5},
        Bytes{'M', 'B', 'R', 'F', 1}}) {
    CHECK(!DecodeFrameV1(frame, &view).ok());
  }
  uint32_t width = 0, height = 0;
  CHECK(JpegSize(JpegHead(640, 360), &width, &height).ok());
  CHECK_EQ(width, 640u);
  CHECK_EQ(height, 360u);
  CHECK(!JpegSize(JpegHead(65535, 65535), &width, &height).ok());  // would unfold to 12 GB
  CHECK(!JpegSize(JpegHead(640, 0), &width, &height).ok());
  const Bytes head = JpegHead(640, 360);
  for (size_t size = 0; size < 17; ++size) {
    CHECK(!JpegSize({head.data(), size}, &width, &height).ok());
  }
}

}  // namespace
}  // namespace metabonk::link
