#include "video/frames.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "support/cpu.h"

namespace metabonk::video {

namespace {

constexpr int kWeightBits = 14;

constexpr int16_t Fixed(double value, int bits) {
  const double scaled = value * (1 << bits);
  return static_cast<int16_t>(scaled + (scaled < 0.0 ? -0.5 : 0.5));
}

// From the two numbers that define a matrix: how much red and blue weigh in luma (ITU-R BT.601-7
// and BT.709-6, 3). Those of Cb and Cr sum to exactly 0, so that grey stays grey.
constexpr ColourCoefficients FromWeights(double kr, double kb) {
  const double kg = 1.0 - kr - kb, range = 219.0 / 255.0, chroma = 224.0 / 255.0;
  const double u = 0.5 / (1.0 - kb), v = 0.5 / (1.0 - kr);
  const int16_t ur = Fixed(-kr * u * chroma, 15), ub = Fixed(0.5 * chroma, 15);
  const int16_t vb = Fixed(-kb * v * chroma, 15), vr = ub;
  return {{Fixed(kr * range, 15), Fixed(kg * range, 15), Fixed(kb * range, 15)},
          {ur, static_cast<int16_t>(-ur - ub), ub},
          {vr, static_cast<int16_t>(-vr - vb), vb},
          Fixed(1.0 / range, 14),
          Fixed(2.0 * (1.0 - kr) / chroma, 13),
          Fixed(-2.0 * kb * (1.0 - kb) / kg / chroma, 13),
          Fixed(-2.0 * kr * (1.0 - kr) / kg / chroma, 13),
          Fixed(2.0 * (1.0 - kb) / chroma, 13)};
}

constexpr ColourCoefficients kBt601 = FromWeights(0.299, 0.114);
constexpr ColourCoefficients kBt709 = FromWeights(0.2126, 0.0722);

// The part of source pixel `at` that lies in [begin, end).
double Covered(double begin, double end, int at) {
  return std::max(0.0, std::min(end, at + 1.0) - std::max(begin, static_cast<double>(at)));
}

// Real weights of output coordinate i from its first tap on.
void RealWeights(int from, int to, int i, ResizeMethod method, int* first,
                 std::vector<double>* weights) {
  const double scale = static_cast<double>(from) / to;
  if (method == ResizeMethod::kBilinear) {
    const double centre = std::clamp((i + 0.5) * scale - 0.5, 0.0, from - 1.0);
    *first = std::min(static_cast<int>(centre), std::max(0, from - 2));
    const double part = centre - *first;
    *weights = from == 1 ? std::vector<double>{1.0} : std::vector<double>{1.0 - part, part};
    return;
  }
  const double begin = i * scale, end = std::min<double>(from, (i + 1) * scale);
  *first = std::min(static_cast<int>(begin), from - 1);
  weights->clear();
  for (int at = *first; at < from && (at < end || weights->empty()); ++at) {
    weights->push_back(Covered(begin, end, at) / scale);
  }
}

// Whole numbers that sum to 2^14: rounded down, then the largest remainders up.
void Quantise(const std::vector<double>& real, int16_t* weights) {
  double total = 0.0;
  for (const double w : real) total += w;
  std::vector<double> rest(real.size());
  int left = 1 << kWeightBits;
  for (size_t k = 0; k < real.size(); ++k) {
    const double scaled = real[k] / total * (1 << kWeightBits);
    const int whole = static_cast<int>(scaled);
    rest[k] = scaled - whole;
    weights[k] = static_cast<int16_t>(whole);
    left -= whole;
  }
  for (; left > 0; --left) {
    const auto largest = std::max_element(rest.begin(), rest.end());
    ++weights[largest - rest.begin()];
    *largest = -1.0;
  }
}

}  // namespace

const ColourCoefficients& CoefficientsOf(ColourMatrix matrix) {
  return matrix == ColourMatrix::kBt601 ? kBt601 : kBt709;
}

const FrameKernels& ActiveFrameKernels() {
#if defined(__x86_64__)
  if (ActiveExtension() >= CpuExtension::kBf16) return kFramesBf16;
  if (ActiveTier() >= CpuTier::kAvx2) return kFramesAvx2;  // wider vectors only wait for memory
#endif
  return kFramesPortable;
}

ResizeAxis MakeResizeAxis(int from, int to, ResizeMethod method) {
  ResizeAxis axis;
  axis.count = to;
  std::vector<double> real;
  std::vector<std::vector<double>> all;
  for (int i = 0; i < to; ++i) {
    int first;
    RealWeights(from, to, i, method, &first, &real);
    axis.first.push_back(first);
    all.push_back(real);
    axis.taps = std::max(axis.taps, static_cast<int>(real.size() + 1) / 2 * 2);
  }
  axis.weights.assign(static_cast<size_t>(to) * static_cast<size_t>(axis.taps), 0);
  for (size_t i = 0; i < all.size(); ++i) {
    Quantise(all[i], axis.weights.data() + i * static_cast<size_t>(axis.taps));
  }
  return axis;
}

Resizer::Resizer(int height, int width, int channels, int to_height, int to_width,
                 ResizeMethod method)
    : height_(height),
      width_(width),
      channels_(channels),
      halves_(channels == 3 && height == 2 * to_height && width == 2 * to_width),
      rows_(MakeResizeAxis(height, to_height, method)),
      columns_(MakeResizeAxis(width, to_width, method)) {
  // Two source columns an output column: mixing all of a row pays from about half of them on.
  sparse_ = channels == 3 && rows_.taps == 2 && columns_.taps == 2 && 2 * to_width <= width;
  // Unused taps of the last pixels lie beyond the row.
  const auto beyond = static_cast<size_t>(columns_.taps) * static_cast<size_t>(channels);
  row_.resize(static_cast<size_t>(width) * static_cast<size_t>(channels) + beyond + kRowPadding);
}

void Resizer::Run(const uint8_t* frames, int64_t count, uint8_t* out) {
  const FrameKernels& kernels = ActiveFrameKernels();
  const int64_t stride = int64_t{width_} * channels_;
  for (int64_t n = 0; n < count; ++n, frames += height_ * stride) {
    for (int i = 0; i < rows_.count; ++i) {
      const int first = rows_.first[static_cast<size_t>(i)];
      if (halves_) {
        const uint8_t* top = frames + first * stride;
        kernels.halve(top, top + stride, columns_.count, out);
        out += int64_t{columns_.count} * channels_;
        continue;
      }
      const int taps = std::min(rows_.taps, height_ - first);
      const int16_t* weights = rows_.weights.data() + int64_t{i} * rows_.taps;
      if (sparse_) {
        const uint8_t* top = frames + first * stride;
        kernels.mix_pairs(top, taps == 1 ? top : top + stride, weights[0], width_, columns_, out);
        out += int64_t{columns_.count} * channels_;
        continue;
      }
      kernels.mix_rows(frames + first * stride, stride, weights, taps, stride, row_.data());
      kernels.mix_columns(row_.data(), columns_, channels_, out);
      out += int64_t{columns_.count} * channels_;
    }
  }
}

void RgbToNv12(const uint8_t* rgb, int64_t count, int height, int width, ColourMatrix matrix,
               uint8_t* nv12) {
  const FrameKernels& kernels = ActiveFrameKernels();
  const ColourCoefficients& c = CoefficientsOf(matrix);
  const int64_t stride = int64_t{width} * 3;
  for (int64_t n = 0; n < count; ++n) {
    uint8_t* uv = nv12 + int64_t{height} * width;
    for (int i = 0; i < height; i += 2, rgb += 2 * stride, nv12 += 2 * int64_t{width}) {
      kernels.rgb_to_nv12(rgb, rgb + stride, width, c, nv12, nv12 + width, uv);
      uv += width;
    }
    nv12 = uv;
  }
}

void Nv12ToRgb(const uint8_t* nv12, int64_t count, int height, int width, ColourMatrix matrix,
               uint8_t* rgb) {
  const FrameKernels& kernels = ActiveFrameKernels();
  const ColourCoefficients& c = CoefficientsOf(matrix);
  const int64_t size = int64_t{height} * width;
  for (int64_t n = 0; n < count; ++n, nv12 += size / 2 * 3) {
    for (int64_t i = 0; i < height; ++i, rgb += int64_t{width} * 3) {
      kernels.nv12_to_rgb(nv12 + i * width, nv12 + size + i / 2 * width, width, c, rgb);
    }
  }
}

void Flip(const uint8_t* frames, int64_t count, int height, int width, int channels,
          bool horizontal, bool vertical, uint8_t* out) {
  const FrameKernels& kernels = ActiveFrameKernels();
  const int64_t stride = int64_t{width} * channels;
  for (int64_t n = 0; n < count; ++n, frames += height * stride) {
    for (int64_t i = 0; i < height; ++i, out += stride) {
      const uint8_t* row = frames + (vertical ? height - 1 - i : i) * stride;
      if (horizontal) {
        kernels.flip(row, width, channels, out);
      } else {
        std::memcpy(out, row, static_cast<size_t>(stride));
      }
    }
  }
}

}  // namespace metabonk::video
