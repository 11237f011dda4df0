// Peaks on 16 lanes; see peaks.inl.
#if defined(__x86_64__)
// clang-format off
#include "nn/lanes_avx512.h"
#include "nn/peaks.inl"
// clang-format on

namespace metabonk::nn {
const PeakLoops kPeaksAvx512 = {"avx512", MultiplyAdd, Read};
}  // namespace metabonk::nn
#endif
