// Frames on any processor: the definitions themselves.
#include "video/frames_loops.h"

namespace metabonk::video {
namespace {

void MixColumns(const int16_t* row, const ResizeAxis& axis, int channels, uint8_t* out) {
  MixColumnsLoop(row, axis, 0, channels, out);
}

void MixPairs(const uint8_t* top, const uint8_t* bottom, int16_t top_weight, int /* width */,
              const ResizeAxis& axis, uint8_t* out) {
  MixPairsLoop(top, bottom, top_weight, axis, 0, out);
}

void Normalise(const uint8_t* frame, int64_t pixels, int channels, const float* scale,
               const float* shift, bool planar, float* out) {
  NormaliseLoop(frame, 0, pixels, channels, scale, shift, planar, out);
}

}  // namespace

const FrameKernels kFramesPortable = {"portable", GreyLoop,  RgbToNv12Loop, Nv12ToRgbLoop,
                                      FlipLoop,   HalveLoop, MixRowsLoop,   MixColumns,
                                      MixPairs,   Normalise};

}  // namespace metabonk::video
