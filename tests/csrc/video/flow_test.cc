// DenseFlow: planted motions come back, and going on with them shows what will be.
#include "video/flow.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"

namespace metabonk::video {
namespace {

struct Picture {
  int height, width;
  std::vector<uint8_t> rgb;
};

// A smooth random texture, moved by (dx, dy): waves of many directions and lengths.
Picture Texture(int height, int width, float dx, float dy, float brighter = 0.0f) {
  Picture made = {height, width, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const float u = static_cast<float>(x) - dx, v = static_cast<float>(y) - dy;
      for (int c = 0; c < 3; ++c) {
        float sum = 0.0f;
        for (int k = 1; k <= 6; ++k) {
          const float angle = 2.4f * static_cast<float>(k);
          const float wave = 6.283185307f / (9.0f + 6.0f * static_cast<float>(k));
          sum += std::sin(wave * (std::cos(angle) * u + std::sin(angle) * v) +
                          static_cast<float>(c + k));
        }
        made.rgb.push_back(
            static_cast<uint8_t>(std::clamp(128.0f + 16.0f * sum + brighter, 0.0f, 255.0f)));
      }
    }
  }
  return made;
}

double Psnr(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, int margin, int height,
            int width) {
  double sum = 0.0;
  int count = 0;
  for (int y = margin; y < height - margin; ++y) {
    for (int x = margin; x < width - margin; ++x) {
      for (int c = 0; c < 3; ++c, ++count) {
        const size_t at = static_cast<size_t>((y * width + x) * 3 + c);
        const double off = static_cast<double>(a[at]) - static_cast<double>(b[at]);
        sum += off * off;
      }
    }
  }
  return 10.0 * std::log10(255.0 * 255.0 / std::max(sum / count, 1e-6));
}

// Median error of the flow, in pixels, away from the borders.
double Error(const DenseFlow& flow, float dx, float dy) {
  std::vector<double> errors;
  const int h = flow.flow_height(), w = flow.flow_width();
  for (int y = 8; y < h - 8; ++y) {
    for (int x = 8; x < w - 8; ++x) {
      const float* at = flow.flow().data() + 2 * (y * w + x);
      errors.push_back(std::hypot(at[0] - dx, at[1] - dy));
    }
  }
  std::nth_element(errors.begin(), errors.begin() + static_cast<ptrdiff_t>(errors.size() / 2),
                   errors.end());
  return errors[errors.size() / 2];
}

}  // namespace

TEST(video_flow_finds_planted_motions_at_both_scales) {
  for (const auto& [height, width] : {std::pair{84, 100}, std::pair{128, 160}}) {
    for (const auto& [dx, dy] : {std::pair{0.0f, 0.0f}, std::pair{2.5f, -1.25f},
                                 std::pair{-6.0f, 4.0f}, std::pair{11.0f, 0.5f}}) {
      const Picture before = Texture(height, width, 0.0f, 0.0f);
      const Picture now = Texture(height, width, dx, dy);
      DenseFlow flow(height, width);
      flow.Run(before.rgb.data(), now.rgb.data());
      // A pixel of `now` was at its place less the motion.
      CHECK(Error(flow, -dx, -dy) < 0.25);
      CHECK(dx == 0.0f || Error(flow, dx, dy) > 1.0);  // the control: not the other way
    }
  }
}

TEST(video_flow_goes_on_with_the_motion) {
  const int height = 96, width = 128;
  const Picture before = Texture(height, width, 0.0f, 0.0f);
  const Picture now = Texture(height, width, 3.0f, 2.0f);
  const Picture later = Texture(height, width, 7.5f, 5.0f);
  DenseFlow flow(height, width);
  flow.Run(before.rgb.data(), now.rgb.data());
  std::vector<uint8_t> out(now.rgb.size());
  flow.Extrapolate(now.rgb.data(), 1.5f, out.data());
  const double copied = Psnr(now.rgb, later.rgb, 12, height, width);
  CHECK(Psnr(out, later.rgb, 12, height, width) > copied + 6.0);
  flow.Extrapolate(now.rgb.data(), 0.0f, out.data());
  CHECK(out == now.rgb);
}

TEST(video_flow_takes_a_flash_for_no_motion) {
  const Picture before = Texture(96, 96, 0.0f, 0.0f);
  const Picture now = Texture(96, 96, 0.0f, 0.0f, 20.0f);
  DenseFlow flow(96, 96);
  flow.Run(before.rgb.data(), now.rgb.data());
  CHECK(Error(flow, 0.0f, 0.0f) < 0.1);
}

TEST(video_flow_is_finite_on_any_bytes_and_allocates_nothing) {
  for (const int side : {16, 23, 47, 130}) {
    const size_t bytes = static_cast<size_t>(side * (side + 1) * 3);
    std::vector<uint8_t> before(bytes), now(bytes), out(bytes);
    uint32_t seed = 7;
    for (size_t i = 0; i < bytes; ++i) {
      seed = seed * 1664525u + 1013904223u;
      before[i] = static_cast<uint8_t>(seed >> 24);
      now[i] = i % 2 ? 255 : static_cast<uint8_t>(seed >> 16);
    }
    DenseFlow flow(side, side + 1);
    const size_t allocated = check::Allocations();
    flow.Run(before.data(), now.data());
    flow.Extrapolate(now.data(), 3.0f, out.data());
    CHECK_EQ(check::Allocations(), allocated);
    for (const float part : flow.flow()) CHECK(std::isfinite(part));
    std::vector<float> first(flow.flow().begin(), flow.flow().end());
    flow.Run(before.data(), now.data());
    CHECK(std::equal(first.begin(), first.end(), flow.flow().begin()));
  }
}

TEST(video_flow_says_which_sizes_it_takes) {
  CHECK(DenseFlow::Check(16, 4096).ok());
  CHECK(!DenseFlow::Check(15, 64).ok());
  CHECK(!DenseFlow::Check(64, 4097).ok());
}

}  // namespace metabonk::video
