// Frames: every tier against the definitions, byte for byte, with guards around what is written.
#include "video/frames.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "check.h"
#include "support/cpu.h"

namespace metabonk::video {
namespace {

constexpr uint8_t kGuard = 0xA5;
constexpr size_t kGuards = 64;

std::vector<uint8_t> Noise(int64_t count, uint32_t seed) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (uint8_t& byte : bytes) {
    seed = seed * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(seed >> 24);
    if (seed & 0x100u) byte = byte & 0x80u ? 255 : 0;
  }
  return bytes;
}

// Runs `run(out)` on every instruction set: the same bytes, and none beyond them.
template <typename T, typename Run>
std::vector<T> SameOnEveryTier(int64_t count, const Run& run) {
  std::vector<T> first;
  const int tiers = static_cast<int>(DetectedTier()) + 1;
  const int sets = tiers + static_cast<int>(DetectedExtension());
  for (int i = 0; i < sets; ++i) {
    CapTier(static_cast<CpuTier>(std::min(i, tiers - 1)));
    CapExtension(static_cast<CpuExtension>(std::max(0, i - tiers + 1)));
    std::vector<T> out(static_cast<size_t>(count) + kGuards);
    std::memset(out.data(), kGuard, out.size() * sizeof(T));
    run(out.data());
    T guard;
    std::memset(&guard, kGuard, sizeof(T));
    for (size_t k = static_cast<size_t>(count); k < out.size(); ++k) {
      CHECK(std::memcmp(&out[k], &guard, sizeof(T)) == 0);
    }
    out.resize(static_cast<size_t>(count));
    if (first.empty()) first = out;
    CHECK(out == first);
  }
  CapTier(DetectedTier());
  CapExtension(DetectedExtension());
  return first;
}

}  // namespace

TEST(video_frames_resize_is_the_same_on_every_tier_and_keeps_even_frames) {
  for (const ResizeMethod method : {ResizeMethod::kArea, ResizeMethod::kBilinear}) {
    for (const int channels : {1, 2, 3, 4, 7}) {
      for (const int from : {1, 2, 15, 33, 100}) {
        for (const int to : {1, 3, 16, 33, 50}) {
          const std::vector<uint8_t> frames = Noise(2 * from * (from + 3) * channels, 1);
          const int64_t size = 2 * int64_t{to} * (to + 1) * channels;
          Resizer resizer(from, from + 3, channels, to, to + 1, method);
          SameOnEveryTier<uint8_t>(size, [&](uint8_t* out) { resizer.Run(frames.data(), 2, out); });
          const std::vector<uint8_t> even(frames.size(), 201);
          for (const uint8_t byte : SameOnEveryTier<uint8_t>(
                   size, [&](uint8_t* out) { resizer.Run(even.data(), 2, out); })) {
            CHECK_EQ(byte, 201);
          }
        }
      }
    }
  }
}

TEST(video_frames_that_are_mixed_in_pairs_are_those_that_are_mixed_in_rows) {
  for (const int width : {2, 3, 9, 40, 41, 128}) {
    for (const int to : {1, 2, 3, 7, 16, 20, 64}) {
      if (2 * to > width) continue;
      const std::vector<uint8_t> rows = Noise(2 * int64_t{width} * 3, 8);
      const ResizeAxis axis = MakeResizeAxis(width, to, ResizeMethod::kBilinear);
      for (const int weight : {0, 1, 5000, 8192, 16383, 16384}) {
        const int16_t weights[2] = {static_cast<int16_t>(weight),
                                    static_cast<int16_t>((1 << 14) - weight)};
        std::vector<int16_t> row(static_cast<size_t>(width * 3 + 6 + kRowPadding));
        std::vector<uint8_t> want(static_cast<size_t>(to) * 3);
        kFramesPortable.mix_rows(rows.data(), width * 3, weights, 2, width * 3, row.data());
        kFramesPortable.mix_columns(row.data(), axis, 3, want.data());
        const std::vector<uint8_t> found = SameOnEveryTier<uint8_t>(to * 3, [&](uint8_t* out) {
          ActiveFrameKernels().mix_pairs(rows.data(), rows.data() + width * 3, weights[0], width,
                                         axis, out);
        });
        CHECK(found == want);
      }
    }
  }
}

TEST(video_frames_weights_sum_to_one_and_stay_inside) {
  for (const ResizeMethod method : {ResizeMethod::kArea, ResizeMethod::kBilinear}) {
    for (int from = 1; from < 70; ++from) {
      for (int to = 1; to < 70; ++to) {
        const ResizeAxis axis = MakeResizeAxis(from, to, method);
        for (int i = 0; i < to; ++i) {
          int sum = 0;
          for (int k = 0; k < axis.taps; ++k) {
            const int weight = axis.weights[static_cast<size_t>(i * axis.taps + k)];
            CHECK(weight >= 0);
            const int at = axis.first[static_cast<size_t>(i)] + k;
            CHECK(at >= 0 && (at < from || weight == 0));
            sum += weight;
          }
          CHECK_EQ(sum, 1 << 14);
        }
      }
    }
  }
}

TEST(video_frames_colours_are_the_same_on_every_tier) {
  for (const ColourMatrix matrix : {ColourMatrix::kBt601, ColourMatrix::kBt709}) {
    for (const int width : {2, 14, 16, 18, 32, 50}) {
      const int height = 6;
      const int64_t size = int64_t{height} * width;
      const std::vector<uint8_t> rgb = Noise(2 * size * 3, 3);
      const std::vector<uint8_t> nv12 = SameOnEveryTier<uint8_t>(
          2 * size / 2 * 3,
          [&](uint8_t* out) { RgbToNv12(rgb.data(), 2, height, width, matrix, out); });
      for (const std::vector<uint8_t>& given : {nv12, Noise(2 * size / 2 * 3, 4)}) {
        SameOnEveryTier<uint8_t>(2 * size * 3, [&](uint8_t* out) {
          Nv12ToRgb(given.data(), 2, height, width, matrix, out);
        });
      }
    }
  }
}

TEST(video_frames_grey_flip_and_normalise_are_the_same_on_every_tier) {
  for (const int64_t pixels : {1, 2, 15, 16, 17, 47, 200}) {
    const std::vector<uint8_t> frame = Noise(pixels * 16, 5);
    SameOnEveryTier<uint8_t>(
        pixels, [&](uint8_t* out) { ActiveFrameKernels().grey(frame.data(), pixels, out); });
    for (const int channels : {1, 2, 3, 4, 8, 9, 16}) {
      const std::vector<uint8_t> flipped =
          SameOnEveryTier<uint8_t>(pixels * channels, [&](uint8_t* out) {
            Flip(frame.data(), 1, 1, static_cast<int>(pixels), channels, true, false, out);
          });
      for (int64_t i = 0; i < pixels * channels; ++i) {
        const int64_t from = (pixels - 1 - i / channels) * channels + i % channels;
        CHECK_EQ(flipped[static_cast<size_t>(i)], frame[static_cast<size_t>(from)]);
      }
      std::vector<float> scale, shift;
      for (int c = 0; c < channels; ++c) {
        scale.push_back(0.01f + 0.003f * static_cast<float>(c));
        shift.push_back(-0.3f * static_cast<float>(c));
      }
      for (const bool planar : {false, true}) {
        SameOnEveryTier<float>(pixels * channels, [&](float* out) {
          ActiveFrameKernels().normalise(frame.data(), pixels, channels, scale.data(), shift.data(),
                                         planar, out);
        });
      }
    }
  }
}

TEST(video_frames_do_not_allocate) {
  const std::vector<uint8_t> rgb = Noise(40 * 60 * 3, 6);
  std::vector<uint8_t> out(rgb.size());
  Resizer resizer(40, 60, 3, 21, 33, ResizeMethod::kArea);
  const size_t before = check::Allocations();
  resizer.Run(rgb.data(), 1, out.data());
  RgbToNv12(rgb.data(), 1, 40, 60, ColourMatrix::kBt709, out.data());
  Flip(rgb.data(), 1, 40, 60, 3, true, true, out.data());
  CHECK_EQ(check::Allocations(), before);
}

}  // namespace metabonk::video
