#include "nn/peaks.h"

#include "support/cpu.h"

namespace metabonk::nn {

const PeakLoops& ActivePeakLoops() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return kPeaksAvx512;
    case CpuTier::kAvx2:
      return kPeaksAvx2;
    default:
      break;
  }
#endif
  return kPeaksPortable;
}

}  // namespace metabonk::nn
