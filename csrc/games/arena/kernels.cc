// Which table of hot loops is in use.
#include "games/arena/kernels.h"

#include <atomic>

#include "support/cpu.h"

namespace metabonk::arena {

namespace {
std::atomic<bool> use_scalar{false};
}

void UseScalarKernels(bool scalar) { use_scalar.store(scalar, std::memory_order_relaxed); }

const Kernels& ActiveKernels() {
  if (use_scalar.load(std::memory_order_relaxed)) return kKernelsScalar;
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return kKernelsAvx512;
    case CpuTier::kAvx2:
      return kKernelsAvx2;
    default:
      break;
  }
#endif
  return kKernelsBaseline;
}

}  // namespace metabonk::arena
