// Frames on any processor: the definitions themselves.
#include "video/frames_loops.h"

namespace metabonk::video {
namespace {

void MixColumns(const int16_t* row, const ResizeAxis& axis, int channels, uint8_t* out) {
  MixColumnsLoop(row, axis, 0, channels, out);
}

void Normalise(const uint8_t* frame, int64_t pixels, int channels, const float* scale,
               const float* shift, bool planar, float* out) {
  NormaliseLoop(frame, 0, pixels, channels, scale, shift, planar, out);
}

}  // namespace

const FrameKernels kFramesPortable = {"portable",    GreyLoop,   RgbToNv12Loop,
                                      Nv12ToRgbLoop, FlipLoop,   HalveLoop,
                                      MixRowsLoop,   MixColumns, Normalise};

}  // namespace metabonk::video
