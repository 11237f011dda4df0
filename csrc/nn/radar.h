// Radar: things around the player become sums over sectors and rings. Knows pointers and sizes; no
// networks, no autograd, no Torch. The definition is metabonk/ops/radar.py.
#pragma once

#include <cstdint>
#include <span>

namespace metabonk::nn {

inline constexpr int kRadarSectors = 16;
inline constexpr int kRadarRingsMax = 16;

struct RadarShape {
  int64_t batch;
  int things;    // rows per sample
  int features;  // per row, the first two of which are the place: right and forward
};

// rows [batch, things, features], mask [batch, things] (0: not there), rings [rings.size()],
// ascending, reach > 0: how far beyond the last ring a thing still counts. Writes out
// [batch, kRadarSectors * rings.size(), features - 1]. Allocates nothing; the same input gives the
// same bits.
void SpreadRadar(const RadarShape& shape, const float* rows, const uint8_t* mask,
                 std::span<const float> rings, float reach, float* out);

}  // namespace metabonk::nn
