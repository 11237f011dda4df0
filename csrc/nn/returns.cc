#include "nn/returns.h"

#include "support/cpu.h"

namespace metabonk::nn {

const ReturnsKernels& ActiveReturnsKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kBaseline:
      break;
    case CpuTier::kAvx2:
      return kReturnsAvx2;
    default:
      return kReturnsAvx512;
  }
#endif
  return kReturnsPortable;
}

}  // namespace metabonk::nn
