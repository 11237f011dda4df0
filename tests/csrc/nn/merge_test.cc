// Merges: the edge of TIES against sorting, and sums against loops.
#include "nn/merge.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "check.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

std::vector<float> Numbers(int64_t count, uint32_t seed) {
  std::vector<float> numbers(static_cast<size_t>(count));
  for (float& x : numbers) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<int32_t>(seed) >> 20) / 256.0f;  // many are equal
  }
  return numbers;
}

}  // namespace

TEST(nn_merge_the_edge_is_that_of_sorting) {
  for (const int64_t size : {1, 2, 100, 3000}) {
    const std::vector<float> base = Numbers(size, 1), values = Numbers(size, 2);
    std::vector<float> moved;
    for (size_t i = 0; i < base.size(); ++i) moved.push_back(std::fabs(values[i] - base[i]));
    std::sort(moved.begin(), moved.end(), std::greater<float>());
    for (const int64_t keep : {int64_t{1}, (size + 1) / 2, size}) {
      float edge = -1.0f;
      CHECK_EQ(MergeThreshold(base.data(), values.data(), size, keep, &edge), -1);
      CHECK_EQ(edge, moved[static_cast<size_t>(keep - 1)]);
    }
  }
  std::vector<float> base(9), values(9);
  values[7] = std::nanf("");
  float edge = -1.0f;
  CHECK_EQ(MergeThreshold(base.data(), values.data(), 9, 3, &edge), 7);
  CHECK_EQ(edge, -1.0f);
}

TEST(nn_merge_sums_are_the_loops_on_every_tier) {
  constexpr int64_t kSize = 1500;
  const std::vector<float> base = Numbers(kSize, 1), a = Numbers(kSize, 2), b = Numbers(kSize, 3);
  const std::vector<MergeModel> models = {{a.data(), 0.5f, 2.0f}, {b.data(), 2.0f, 3.0f}};
  const auto trim = [](float t, float edge) { return std::fabs(t) >= edge ? t : 0.0f; };
  for (int tier = 0; tier <= static_cast<int>(DetectedTier()); ++tier) {
    CapTier(static_cast<CpuTier>(tier));
    std::vector<float> sum(kSize), merged(kSize);
    const size_t before = check::Allocations();
    ActiveMergeKernels().weighted(models, kSize, sum.data());
    ActiveMergeKernels().ties(base.data(), models, 0.75f, kSize, merged.data());
    CHECK_EQ(check::Allocations(), before);
    for (size_t i = 0; i < sum.size(); ++i) {
      CHECK_EQ(sum[i], 0.5f * a[i] + 2.0f * b[i]);
      const float s = trim(a[i] - base[i], 2.0f), t = trim(b[i] - base[i], 3.0f);
      const float elected = 0.5f * s + 2.0f * t;
      float total = 0.0f, mass = 0.0f;
      if (s * elected > 0.0f) total += 0.5f * s, mass += 0.5f;
      if (t * elected > 0.0f) total += 2.0f * t, mass += 2.0f;
      CHECK_NEAR(merged[i], base[i] + 0.75f * (mass > 0.0f ? total / mass : 0.0f), 1e-6);
    }
  }
  CapTier(DetectedTier());
}

}  // namespace metabonk::nn
