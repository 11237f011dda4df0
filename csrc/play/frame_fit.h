// FrameFit: a game's picture as a policy reads it: RGB of the policy's size, the top row first,
// without gaps. Knows raw pictures of any size and row order; a JPEG is decoded before. One caller
// at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "link/frame.h"
#include "video/frames.h"

namespace metabonk::play {

class FrameFit {
 public:
  FrameFit(int32_t height, int32_t width) : height_(height), width_(width) {}

  // uint8 [height, width, 3] in `to`. False, and `to` as it was, for a JPEG, a picture without
  // pixels, or one that is not as it says.
  bool Run(const link::FrameView& frame, std::vector<uint8_t>* to);

 private:
  const int32_t height_, width_;
  std::unique_ptr<video::Resizer> resizer_;
  uint32_t from_height_ = 0, from_width_ = 0;  // what the resizer is for
  std::vector<uint8_t> upright_;
};

}  // namespace metabonk::play
