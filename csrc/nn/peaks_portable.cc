// Peaks on 4 lanes; see peaks.inl.
// clang-format off
#include "nn/lanes_portable.h"
#include "nn/peaks.inl"
// clang-format on

namespace metabonk::nn {
const PeakLoops kPeaksPortable = {"portable", MultiplyAdd, Read};
}  // namespace metabonk::nn
