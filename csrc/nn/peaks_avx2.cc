// Peaks on 8 lanes; see peaks.inl.
#if defined(__x86_64__)
// clang-format off
#include "nn/lanes_avx2.h"
#include "nn/peaks.inl"
// clang-format on

namespace metabonk::nn {
const PeakLoops kPeaksAvx2 = {"avx2", MultiplyAdd, Read};
}  // namespace metabonk::nn
#endif
