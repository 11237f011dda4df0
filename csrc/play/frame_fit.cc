#include "play/frame_fit.h"

#include <cstring>

namespace metabonk::play {

bool FrameFit::Run(const link::FrameView& frame, std::vector<uint8_t>* to) {
  const uint32_t height = frame.height, width = frame.width;
  if (height == 0 || width == 0 || frame.format == link::PixelFormat::kJpeg) return false;
  const size_t row = size_t{width} * 3;
  const uint8_t* rgb = frame.pixels.data();
  const bool plain = frame.format == link::PixelFormat::kRgb && frame.stride == row &&
                     frame.row_order == link::RowOrder::kTopDown &&
                     frame.pixels.size() >= row * height;
  if (!plain) {
    upright_.resize(row * height);
    if (!link::CopyUpright(frame, upright_).ok()) return false;
    rgb = upright_.data();
  }
  to->resize(static_cast<size_t>(height_) * static_cast<size_t>(width_) * 3);
  if (height == static_cast<uint32_t>(height_) && width == static_cast<uint32_t>(width_)) {
    std::memcpy(to->data(), rgb, to->size());
    return true;
  }
  if (!resizer_ || height != from_height_ || width != from_width_) {
    resizer_ = std::make_unique<video::Resizer>(static_cast<int>(height), static_cast<int>(width),
                                                3, height_, width_, video::ResizeMethod::kArea);
    from_height_ = height;
    from_width_ = width;
  }
  resizer_->Run(rgb, 1, to->data());
  return true;
}

}  // namespace metabonk::play
