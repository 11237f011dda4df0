// The kernels of every tier against the scalar ones, on random input and with guarded output.
#include <algorithm>
#include <vector>

#include "check.h"
#include "games/arena/render_kernels.h"
#include "games/arena/sprites.h"
#include "support/cpu.h"
#include "support/random.h"

namespace metabonk::arena {
namespace {

std::vector<const RenderKernels*> TiersAboveBaseline() {
  std::vector<const RenderKernels*> tables;
  if (DetectedTier() >= CpuTier::kAvx2) tables.push_back(&kRenderKernelsAvx2);
  if (DetectedTier() >= CpuTier::kAvx512) tables.push_back(&kRenderKernelsAvx512);
  return tables;
}

struct Draws {
  uint64_t n = 0;
  uint32_t Below(uint32_t limit) { return metabonk::Below(HashDraw(77, n++), limit); }
  int Between(int low, int high) {
    return low + static_cast<int>(Below(static_cast<uint32_t>(high - low)));
  }
  float Unit() { return UnitFloat(HashDraw(78, n++)); }
};

TEST(ArenaViewKernelGroundRow) {
  Draws draws;
  std::vector<uint32_t> map(256 * 256);
  for (uint32_t& texel : map) texel = draws.Below(~0u);
  for (int round = 0; round < 200; ++round) {
    const int count = draws.Between(1, 200);
    const GroundRow row{draws.Between(-(40 << 16), 160 << 16),
                        draws.Between(-(40 << 16), 160 << 16),
                        draws.Between(-90000, 90000),
                        draws.Between(-90000, 90000),
                        draws.Below(1 << 24),
                        draws.Below(1 << 24),
                        draws.Below(257)};
    std::vector<uint32_t> expected(static_cast<size_t>(count) + 32, 7);
    kRenderKernelsBaseline.ground_row(expected.data(), count, map.data(), row);
    CHECK_EQ(expected[static_cast<size_t>(count)], 7u);
    for (const RenderKernels* kernels : TiersAboveBaseline()) {
      std::vector<uint32_t> got(expected.size(), 7);
      kernels->ground_row(got.data(), count, map.data(), row);
      CHECK(got == expected);
    }
  }
}

TEST(ArenaViewKernelStamps) {
  Draws draws;
  constexpr int kWidth = 40, kHeight = 30, kStride = 48;
  for (int round = 0; round < 100; ++round) {
    std::vector<StampDraw> list;
    for (int i = 0; i < 20; ++i) {
      const int side = draws.Between(1, kStampMax + 1);
      list.push_back({static_cast<int16_t>(draws.Between(-side, kWidth)),
                      static_cast<int16_t>(draws.Between(-side, kHeight)),
                      StampIndex(draws.Between(0, kWorldSprites), side),
                      static_cast<uint16_t>(draws.Below(16))});
    }
    const size_t size = kStride * kHeight + 2 * kFrameMargin;
    std::vector<uint32_t> expected(size, 0x010203);
    const auto run = [&](const RenderKernels& kernels, std::vector<uint32_t>& pixels) {
      const PlainFrame frame{pixels.data() + kFrameMargin, kStride, kWidth, kHeight};
      kernels.stamps(frame, StampTable(), list.data(), static_cast<int>(list.size()));
    };
    run(kRenderKernelsBaseline, expected);
    for (int y = 0; y < kHeight; ++y) {  // nothing between the rows
      for (int x = kWidth; x < kStride; ++x) {
        CHECK_EQ(expected[static_cast<size_t>(kFrameMargin + y * kStride + x)], 0x010203u);
      }
    }
    CHECK(std::count(expected.begin(), expected.end(), 0x010203u) < static_cast<int>(size));
    for (const RenderKernels* kernels : TiersAboveBaseline()) {
      std::vector<uint32_t> got(size, 0x010203);
      run(*kernels, got);
      CHECK(got == expected);
    }
  }
}

TEST(ArenaViewKernelProject) {
  Draws draws;
  for (int round = 0; round < 100; ++round) {
    const int count = draws.Between(0, kProjectMost + 1);
    std::vector<float> x, y;
    for (int i = 0; i < count; ++i) {
      x.push_back(128.0f * draws.Unit());
      y.push_back(128.0f * draws.Unit());
    }
    const Projection view{64.0f, 60.0f, 0.6f, 0.8f, 0.8f, -0.6f, 71.4f, 1.5f, 50.0f, 0.6f, 3.0f};
    Projected expected = {}, got = {};
    const int kept = kRenderKernelsBaseline.project(view, x.data(), y.data(), count, &expected);
    for (const RenderKernels* kernels : TiersAboveBaseline()) {
      CHECK_EQ(kernels->project(view, x.data(), y.data(), count, &got), kept);
      for (int i = 0; i < kept; ++i) {
        CHECK_EQ(got.index[i], expected.index[i]);
        CHECK_EQ(got.depth[i], expected.depth[i]);
        CHECK_EQ(got.across[i], expected.across[i]);
        CHECK_EQ(got.scale[i], expected.scale[i]);
      }
    }
  }
}

TEST(ArenaViewKernelPack) {
  Draws draws;
  for (int count = 0; count < 70; ++count) {
    std::vector<uint32_t> pixels(static_cast<size_t>(count) + 1);
    for (uint32_t& pixel : pixels) pixel = draws.Below(~0u);
    std::vector<uint8_t> expected(static_cast<size_t>(count) * 3 + 64, 0xEE);
    kRenderKernelsBaseline.pack(pixels.data(), expected.data(), count);
    for (int i = 0; i < count; ++i) {
      CHECK_EQ(expected[static_cast<size_t>(3 * i + 1)],
               static_cast<uint8_t>(pixels[static_cast<size_t>(i)] >> 8));
    }
    for (const RenderKernels* kernels : TiersAboveBaseline()) {
      std::vector<uint8_t> got(expected.size(), 0xEE);
      kernels->pack(pixels.data(), got.data(), count);
      CHECK(got == expected);
    }
  }
}

}  // namespace
}  // namespace metabonk::arena
