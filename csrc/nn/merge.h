// Merges of flat weights: weighted sums, and TIES (Yadav et al. 2023: trim, elect sign, merge).
// Knows pointers and sizes; no networks, no names of parameters, no Torch.
//
//   weighted: out_i = sum_m w_m x_mi
//   ties:     t_mi = x_mi - base_i, 0 where |t_mi| is below the `keep`-th largest of model m
//             s_i = sign(sum_m w_m t_mi)
//             out_i = base_i + scale mean_w {t_mi : sign(t_mi) = s_i, t_mi != 0}
//
// All arrays are [size] float32. Sums run in the order of the models; no fused multiply-adds, the
// same bits on every tier.
#pragma once

#include <cstdint>
#include <span>

namespace metabonk::nn {

struct MergeModel {
  const float* values;
  float weight;     // finite; for TIES 0 or more
  float threshold;  // of TIES: what is smaller than this counts as 0
};

struct MergeKernels {
  const char* name;
  // out shares no memory with the models.
  void (*weighted)(std::span<const MergeModel> models, int64_t size, float* out);
  // out may be base.
  void (*ties)(const float* base, std::span<const MergeModel> models, float scale, int64_t size,
               float* out);
};

extern const MergeKernels kMergePortable;
extern const MergeKernels kMergeAvx2;
extern const MergeKernels kMergeAvx512;

const MergeKernels& ActiveMergeKernels();

// The `keep`-th largest of |values - base|, 1 <= keep <= size: exactly, in three passes over the
// bits. Returns -1, or the first place where the difference is not finite.
int64_t MergeThreshold(const float* base, const float* values, int64_t size, int64_t keep,
                       float* threshold);

}  // namespace metabonk::nn
