#include "nn/radar.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace metabonk::nn {
namespace {

constexpr float kTiny = 1e-3f;  // added to distances, so that a thing underfoot has no direction
// cos and sin of 0, 22.5, 45, ... degrees.
constexpr float kNarrow = 0.5f;  // below it a sector's weight is under 2e-5
constexpr float kA = 0.92387953f, kB = 0.70710678f, kC = 0.38268343f;
constexpr float kRight[kRadarSectors] = {1.0f,  kA,  kB,  kC,  0.0f, -kC, -kB, -kA,
                                         -1.0f, -kA, -kB, -kC, 0.0f, kC,  kB,  kA};
constexpr float kForward[kRadarSectors] = {0.0f, kC,  kB,  kA,  1.0f,  kA,  kB,  kC,
                                           0.0f, -kC, -kB, -kA, -1.0f, -kA, -kB, -kC};

float Fourth(float x) {
  x *= x;
  return x * x;
}

// How much each ring has of a distance: linear from one to the next, all of it inside the first,
// fading out beyond the last. At most two are not zero.
void WeighRings(float distance, std::span<const float> rings, float reach, float* weight) {
  const int count = static_cast<int>(rings.size());
  for (int i = 0; i < count; ++i) {
    const float before =
        i == 0 ? 1.0f : rings[static_cast<size_t>(i)] - rings[static_cast<size_t>(i - 1)];
    const float after =
        i + 1 == count ? reach : rings[static_cast<size_t>(i + 1)] - rings[static_cast<size_t>(i)];
    const float beyond = distance - rings[static_cast<size_t>(i)];
    weight[i] = std::max(0.0f, std::min(1.0f + beyond / before, 1.0f - beyond / after));
  }
}

}  // namespace

void SpreadRadar(const RadarShape& shape, const float* rows, const uint8_t* mask,
                 std::span<const float> rings, float reach, float* out) {
  const int ring_count = static_cast<int>(rings.size());
  const int summed = shape.features - 1;
  const int64_t outputs = int64_t{kRadarSectors} * ring_count * summed;
  float ring[kRadarRingsMax] = {};
  std::memset(out, 0, static_cast<size_t>(shape.batch * outputs) * sizeof(float));
  for (int64_t sample = 0; sample < shape.batch; ++sample, out += outputs) {
    for (int thing = 0; thing < shape.things; ++thing, rows += shape.features) {
      if (!mask[sample * shape.things + thing]) continue;
      const float distance = std::sqrt(rows[0] * rows[0] + rows[1] * rows[1]);
      WeighRings(distance, rings, reach, ring);
      const float scale = 1.0f / (distance + kTiny);
      for (int s = 0; s < kRadarSectors; ++s) {
        const float cosine = (rows[0] * kRight[s] + rows[1] * kForward[s]) * scale;
        if (cosine <= kNarrow) continue;
        const float sector = Fourth(Fourth(cosine));
        for (int r = 0; r < ring_count; ++r) {
          if (ring[r] == 0.0f) continue;
          const float weight = sector * ring[r];
          float* sums = out + (s * ring_count + r) * summed;
          sums[0] += weight;
          for (int f = 1; f < summed; ++f) sums[f] += weight * rows[f + 1];
        }
      }
    }
  }
}

}  // namespace metabonk::nn
