// Frames of bytes, [height, width, channels], row-major and contiguous: resizing, grey, flipping,
// normalising, and RGB to and from NV12. Knows pointers and sizes; no networks, no codecs, no
// Torch.
//
// All byte results are defined in whole numbers, so that every tier gives the same ones; how far
// they are from the real-valued formulas is stated with each.
#pragma once

#include <cstdint>
#include <vector>

namespace metabonk::video {

// Which matrix RGB and YCbCr are related by; both in limited range (Y 16..235, Cb and Cr 16..240).
enum class ColourMatrix : int { kBt601, kBt709 };

// RGB -> YCbCr in 2^-15, chroma of a sum of four pixels in 2^-17; YCbCr -> RGB: what Y is weighed
// with in 2^-14, what Cb and Cr are in 2^-13.
struct ColourCoefficients {
  int16_t luma[3];  // of R, G, B; offset 16
  int16_t blue[3];  // Cb, offset 128
  int16_t red[3];   // Cr, offset 128
  int16_t y;        // 255 / 219
  int16_t red_v;    // R = y (Y - 16) + red_v (Cr - 128)
  int16_t green_u;  // G = y (Y - 16) + green_u (Cb - 128) + green_v (Cr - 128)
  int16_t green_v;
  int16_t blue_u;  // B = y (Y - 16) + blue_u (Cb - 128)
};

const ColourCoefficients& CoefficientsOf(ColourMatrix matrix);

enum class ResizeMethod : int {
  kArea,      // mean over the part of the source that a pixel covers, by area
  kBilinear,  // between the pixel centres, edges repeated; no smoothing before shrinking
};

// What one output coordinate is made of: taps [count, taps] in 2^-14, each row's sum exactly 2^14,
// the first of them at source coordinate first[i].
struct ResizeAxis {
  int count = 0, taps = 0;  // taps is even; what is not used is 0
  std::vector<int32_t> first;
  std::vector<int16_t> weights;
};

ResizeAxis MakeResizeAxis(int from, int to, ResizeMethod method);

struct FrameKernels {
  const char* name;
  // RGB pixels -> (9798 R + 19235 G + 3735 B + 2^14) >> 15: BT.601 luma in full range.
  void (*grey)(const uint8_t* rgb, int64_t pixels, uint8_t* out);
  // Two rows of `width` (even) RGB pixels -> their Y and a row of Cb, Cr pairs.
  void (*rgb_to_nv12)(const uint8_t* top, const uint8_t* bottom, int width,
                      const ColourCoefficients& c, uint8_t* y_top, uint8_t* y_bottom, uint8_t* uv);
  // A row of Y and the Cb, Cr pairs of its two rows -> RGB; a pair counts for both its pixels.
  void (*nv12_to_rgb)(const uint8_t* y, const uint8_t* uv, int width, const ColourCoefficients& c,
                      uint8_t* rgb);
  // One row of pixels from right to left.
  void (*flip)(const uint8_t* row, int pixels, int channels, uint8_t* out);
  // `pixels` of three channels, each the mean of 2 x 2 of two rows: (sum + 2) >> 2, what mixing
  // with weights of one half comes to.
  void (*halve)(const uint8_t* top, const uint8_t* bottom, int pixels, uint8_t* out);
  // out[i] = (sum_k weights[k] rows[k * stride + i] + 2^6) >> 7, in 2^-7.
  void (*mix_rows)(const uint8_t* rows, int64_t stride, const int16_t* weights, int taps,
                   int64_t count, int16_t* out);
  // One output row: (sum_k weight row[(first + k) channels + c] + 2^20) >> 21. May read, not use,
  // kRowPadding numbers beyond the row.
  void (*mix_columns)(const int16_t* row, const ResizeAxis& axis, int channels, uint8_t* out);
  // One output row of three channels straight from two source rows (bottom is weighed with
  // 2^14 - top_weight), for axes of two taps: what mix_rows and then mix_columns come to, without
  // mixing what no output needs. Touches nothing beyond the rows' `width` pixels.
  void (*mix_pairs)(const uint8_t* top, const uint8_t* bottom, int16_t top_weight, int width,
                    const ResizeAxis& axis, uint8_t* out);
  // out = x * scale[c] + shift[c], rounded twice; planar: [channels, pixels], else as it was.
  void (*normalise)(const uint8_t* frame, int64_t pixels, int channels, const float* scale,
                    const float* shift, bool planar, float* out);
};

inline constexpr int kRowPadding = 16;

extern const FrameKernels kFramesPortable;
extern const FrameKernels kFramesAvx2;
extern const FrameKernels kFramesBf16;  // AVX512_VBMI, which comes with it: flips

const FrameKernels& ActiveFrameKernels();

// Frames [height, width, channels] of one shape to another; keeps its taps and one row of scratch.
// Within 0.52 of the real-valued formula for sides of some hundreds. One caller at a time.
class Resizer {
 public:
  Resizer(int height, int width, int channels, int to_height, int to_width, ResizeMethod method);
  void Run(const uint8_t* frames, int64_t count, uint8_t* out);

 private:
  int height_, width_, channels_;
  // Which kernel: halve, mix_pairs, or else mix_rows and mix_columns.
  bool halves_, sparse_ = false;
  ResizeAxis rows_, columns_;
  std::vector<int16_t> row_;
};

// RGB [count, height, width, 3] -> NV12 [count, height * 3 / 2, width]: Y, then rows of Cb, Cr
// pairs, each the mean over 2 x 2 pixels. Height and width are even. Within 0.51 of the formula.
void RgbToNv12(const uint8_t* rgb, int64_t count, int height, int width, ColourMatrix matrix,
               uint8_t* nv12);
// And back. Within 0.53 of the formula, cut to 0..255.
void Nv12ToRgb(const uint8_t* nv12, int64_t count, int height, int width, ColourMatrix matrix,
               uint8_t* rgb);

// Mirrors frames: columns from right to left, rows from bottom to top, or both.
void Flip(const uint8_t* frames, int64_t count, int height, int width, int channels,
          bool horizontal, bool vertical, uint8_t* out);

}  // namespace metabonk::video
