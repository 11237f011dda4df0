// Frames of bytes: resizing, grey, flipping, normalising, RGB to and from NV12, in the whole
// numbers of csrc/video/frames_loops.h: the same bytes as on the processor.
//
// What these cost is moving the bytes. A thread takes as many pixels as fill whole words where rows
// are such (four of RGB are three words), else one or two.
#include <api.h>

#include <device/launch.cuh>
#include <device/ptx.cuh>

namespace metabonk::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostBlocks = 1 << 16;  // beyond, threads go round

// One thread for each of `count` pieces of work, or its turn among them.
template <class Work>
__device__ inline void ForEach(int64_t count, const Work& work) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    work(i);
  }
}

LaunchShape ShapeFor(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return {static_cast<int>(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads};
}

__device__ inline int Clamp(int value) { return value < 0 ? 0 : value > 255 ? 255 : value; }
__device__ inline uint32_t Pack(const int (&bytes)[4]) {
  return static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
         static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}

// kPixels RGB pixels as whole numbers; four come as three words.
template <int kPixels>
__device__ inline void LoadPixels(const uint8_t* from, int (&rgb)[kPixels][3]) {
  if constexpr (kPixels == 4) {
    const uint32_t* words = reinterpret_cast<const uint32_t*>(from);
    const uint32_t three[3] = {words[0], words[1], words[2]};
#pragma unroll
    for (int i = 0; i < 12; ++i)
      rgb[i / 3][i % 3] = static_cast<int>(three[i / 4] >> i % 4 * 8 & 255);
  } else {
    for (int i = 0; i < kPixels * 3; ++i) rgb[i / 3][i % 3] = from[i];
  }
}

template <int kPixels>
__device__ inline void StoreBytes(uint8_t* to, const int (&bytes)[kPixels]) {
  if constexpr (kPixels == 4) {
    *reinterpret_cast<uint32_t*>(to) = Pack(bytes);
  } else {
    for (int i = 0; i < kPixels; ++i) to[i] = static_cast<uint8_t>(bytes[i]);
  }
}

template <int kPixels>
__global__ void __launch_bounds__(kThreads)
    GreyKernel(const uint8_t* rgb, int64_t pieces, uint8_t* out) {
  ForEach(pieces, [&](int64_t i) {
    int pixels[kPixels][3], grey[kPixels];
    LoadPixels<kPixels>(rgb + i * 3 * kPixels, pixels);
    for (int k = 0; k < kPixels; ++k) {
      const int sum = 9798 * pixels[k][0] + 19235 * pixels[k][1] + 3735 * pixels[k][2];
      grey[k] = (sum + (1 << 14)) >> 15;
    }
    StoreBytes<kPixels>(out + i * kPixels, grey);
  });
}

__device__ inline int Weigh(const int16_t* c, int r, int g, int b) {
  return c[0] * r + c[1] * g + c[2] * b;
}

// Two rows of kPixels pixels: their Y, and a pair of Cb and Cr for each two by two.
template <int kPixels>
__global__ void __launch_bounds__(kThreads)
    RgbToNv12Kernel(const uint8_t* rgb, int64_t count, int height, int width, MetabonkCudaColours c,
                    uint8_t* nv12) {
  constexpr int kLuma = (16 << 15) + (1 << 14), kChroma = (128 << 17) + (1 << 16);
  const int64_t across = width / kPixels, down = height / 2;
  ForEach(count * down * across, [&](int64_t i) {
    const int64_t x = i % across * kPixels, y = i / across % down, frame = i / across / down;
    const uint8_t* top = rgb + ((frame * height + 2 * y) * width + x) * 3;
    uint8_t* to = nv12 + frame * height * width * 3 / 2;
    int pixels[2][kPixels][3], luma[2][kPixels], chroma[kPixels];
    for (int row = 0; row < 2; ++row) {
      LoadPixels<kPixels>(top + static_cast<int64_t>(row) * width * 3, pixels[row]);
      for (int k = 0; k < kPixels; ++k) {
        const int* p = pixels[row][k];
        luma[row][k] = (Weigh(c.luma, p[0], p[1], p[2]) + kLuma) >> 15;
      }
      StoreBytes<kPixels>(to + (2 * y + row) * width + x, luma[row]);
    }
    for (int k = 0; k < kPixels; k += 2) {
      int sum[3];
      for (int j = 0; j < 3; ++j) {
        sum[j] = pixels[0][k][j] + pixels[0][k + 1][j] + pixels[1][k][j] + pixels[1][k + 1][j];
      }
      chroma[k] = (Weigh(c.blue, sum[0], sum[1], sum[2]) + kChroma) >> 17;
      chroma[k + 1] = (Weigh(c.red, sum[0], sum[1], sum[2]) + kChroma) >> 17;
    }
    StoreBytes<kPixels>(to + (static_cast<int64_t>(height) + y) * width + x, chroma);
  });
}

// (a b) / 2^15, rounded.
__device__ inline int Times(int a, int b) { return (a * b + (1 << 14)) >> 15; }

template <int kPixels>
__global__ void __launch_bounds__(kThreads)
    Nv12ToRgbKernel(const uint8_t* nv12, int64_t count, int height, int width,
                    MetabonkCudaColours c, uint8_t* rgb) {
  const int64_t across = width / kPixels;
  ForEach(count * height * across, [&](int64_t i) {
    const int64_t x = i % across * kPixels, y = i / across % height, frame = i / across / height;
    const uint8_t* from = nv12 + frame * height * width * 3 / 2;
    const uint8_t* luma = from + y * width + x;
    const uint8_t* chroma = from + (height + y / 2) * width + x;
    int bytes[3 * kPixels];
    for (int k = 0; k < kPixels; ++k) {
      const int level = Times((luma[k] - 16) * 128, c.y) + 32;
      const int u = (chroma[k / 2 * 2] - 128) * 256, v = (chroma[k / 2 * 2 + 1] - 128) * 256;
      bytes[3 * k] = Clamp((level + Times(v, c.red_v)) >> 6);
      bytes[3 * k + 1] = Clamp((level + Times(u, c.green_u) + Times(v, c.green_v)) >> 6);
      bytes[3 * k + 2] = Clamp((level + Times(u, c.blue_u)) >> 6);
    }
    uint8_t* to = rgb + ((frame * height + y) * width + x) * 3;
    if constexpr (kPixels == 4) {
      for (int word = 0; word < 3; ++word) {
        const int four[4] = {bytes[4 * word], bytes[4 * word + 1], bytes[4 * word + 2],
                             bytes[4 * word + 3]};
        reinterpret_cast<uint32_t*>(to)[word] = Pack(four);
      }
    } else {
      for (int k = 0; k < 3 * kPixels; ++k) to[k] = static_cast<uint8_t>(bytes[k]);
    }
  });
}

__global__ void __launch_bounds__(kThreads)
    FlipKernel(const uint8_t* frames, int64_t count, int height, int width, int channels,
               bool horizontal, bool vertical, uint8_t* out) {
  const int64_t row = static_cast<int64_t>(width) * channels;
  ForEach(count * height * row, [&](int64_t i) {
    const int64_t at = i % row, y = i / row % height, frame = i / row / height;
    const int64_t x = at / channels, channel = at % channels;
    const int64_t from_x = horizontal ? width - 1 - x : x, from_y = vertical ? height - 1 - y : y;
    out[i] = frames[(frame * height + from_y) * row + from_x * channels + channel];
  });
}

__global__ void __launch_bounds__(kThreads)
    NormaliseKernel(const uint8_t* frames, int64_t count, int64_t pixels, int channels,
                    const __grid_constant__ MetabonkCudaAffine affine, bool planar, float* out) {
  ForEach(count * pixels * channels, [&](int64_t i) {
    int64_t from = i, channel = i % channels;
    if (planar) {
      const int64_t frame = i / pixels / channels, pixel = i % pixels;
      channel = i / pixels % channels;
      from = (frame * pixels + pixel) * channels + channel;
    }
    const float x = static_cast<float>(frames[from]);
    out[i] = AddRounded(MultiplyRounded(x, affine.scale[channel]), affine.shift[channel]);
  });
}

__global__ void __launch_bounds__(kThreads) ResizeKernel(MetabonkCudaResize r) {
  const int64_t row = static_cast<int64_t>(r.to_width) * r.channels;
  ForEach(r.count * r.to_height * row, [&](int64_t i) {
    const int64_t at = i % row, y = i / row % r.to_height, frame = i / row / r.to_height;
    const int x = static_cast<int>(at / r.channels), channel = static_cast<int>(at % r.channels);
    const int top = r.row_first[y], left = r.column_first[x];
    const int16_t* down = r.row_weights + y * r.row_taps;
    const int16_t* across = r.column_weights + static_cast<int64_t>(x) * r.column_taps;
    int sum = 1 << 20;
    // Taps beyond the frame have no weight.
    for (int j = 0; j < r.column_taps && left + j < r.width; ++j) {
      int mixed = 1 << 6;
      for (int k = 0; k < r.row_taps && top + k < r.height; ++k) {
        const int64_t pixel = (frame * r.height + top + k) * r.width + left + j;
        mixed += down[k] * r.frames[pixel * r.channels + channel];
      }
      sum += across[j] * (mixed >> 7);
    }
    r.out[i] = static_cast<uint8_t>(sum >> 21);
  });
}

bool InWords(const void* a, const void* b) {
  return (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) % 4 == 0;
}

bool Sized(int64_t count, int height, int width, int channels) {
  return count >= 1 && height >= 1 && width >= 1 && channels >= 1 &&
         channels <= kMetabonkCudaFrameChannels;
}

}  // namespace
}  // namespace metabonk::cuda

int metabonk_cuda_grey(const uint8_t* rgb, int64_t pixels, uint8_t* out, void* stream) {
  using namespace metabonk::cuda;
  if (pixels < 1) return kMetabonkCudaBadSize;
  if (pixels % 4 == 0 && InWords(rgb, out)) {
    return Launch(GreyKernel<4>, ShapeFor(pixels / 4), stream, rgb, pixels / 4, out);
  }
  return Launch(GreyKernel<1>, ShapeFor(pixels), stream, rgb, pixels, out);
}

int metabonk_cuda_rgb_to_nv12(const uint8_t* rgb, int64_t count, int height, int width,
                              const MetabonkCudaColours* colours, uint8_t* nv12, void* stream) {
  using namespace metabonk::cuda;
  if (!Sized(count, height, width, 3) || height % 2 != 0 || width % 2 != 0) {
    return kMetabonkCudaBadSize;
  }
  const int64_t pairs = count * (height / 2) * (width / 2);
  if (width % 4 == 0 && InWords(rgb, nv12)) {
    return Launch(RgbToNv12Kernel<4>, ShapeFor(pairs / 2), stream, rgb, count, height, width,
                  *colours, nv12);
  }
  return Launch(RgbToNv12Kernel<2>, ShapeFor(pairs), stream, rgb, count, height, width, *colours,
                nv12);
}

int metabonk_cuda_nv12_to_rgb(const uint8_t* nv12, int64_t count, int height, int width,
                              const MetabonkCudaColours* colours, uint8_t* rgb, void* stream) {
  using namespace metabonk::cuda;
  if (!Sized(count, height, width, 3) || height % 2 != 0 || width % 2 != 0) {
    return kMetabonkCudaBadSize;
  }
  const int64_t pairs = count * height * (width / 2);
  if (width % 4 == 0 && InWords(rgb, nv12)) {
    return Launch(Nv12ToRgbKernel<4>, ShapeFor(pairs / 2), stream, nv12, count, height, width,
                  *colours, rgb);
  }
  return Launch(Nv12ToRgbKernel<2>, ShapeFor(pairs), stream, nv12, count, height, width, *colours,
                rgb);
}

int metabonk_cuda_flip(const uint8_t* frames, int64_t count, int height, int width, int channels,
                       int horizontal, int vertical, uint8_t* out, void* stream) {
  using namespace metabonk::cuda;
  if (!Sized(count, height, width, channels)) return kMetabonkCudaBadSize;
  return Launch(FlipKernel, ShapeFor(count * height * width * channels), stream, frames, count,
                height, width, channels, horizontal != 0, vertical != 0, out);
}

int metabonk_cuda_normalise(const uint8_t* frames, int64_t count, int64_t pixels, int channels,
                            const MetabonkCudaAffine* affine, int planar, float* out,
                            void* stream) {
  using namespace metabonk::cuda;
  if (!Sized(count, 1, 1, channels) || pixels < 1) return kMetabonkCudaBadSize;
  return Launch(NormaliseKernel, ShapeFor(count * pixels * channels), stream, frames, count, pixels,
                channels, *affine, planar != 0, out);
}

int metabonk_cuda_resize(const MetabonkCudaResize* resize, void* stream) {
  using namespace metabonk::cuda;
  if (!Sized(resize->count, resize->height, resize->width, resize->channels) ||
      resize->to_height < 1 || resize->to_width < 1 || resize->row_taps < 1 ||
      resize->column_taps < 1) {
    return kMetabonkCudaBadSize;
  }
  const int64_t bytes = resize->count * resize->to_height * resize->to_width * resize->channels;
  return Launch(ResizeKernel, ShapeFor(bytes), stream, *resize);
}
