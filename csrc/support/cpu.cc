#include "support/cpu.h"

#include <algorithm>
#include <atomic>

namespace metabonk {

namespace {
std::atomic<int> cap{static_cast<int>(CpuTier::kCount) - 1};
}

CpuTier DetectedTier() {
#if defined(__x86_64__)
  static const CpuTier tier = [] {
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    return avx512 ? CpuTier::kAvx512 : avx2 ? CpuTier::kAvx2 : CpuTier::kBaseline;
  }();
  return tier;
#else
  return CpuTier::kBaseline;
#endif
}

CpuTier ActiveTier() {
  return static_cast<CpuTier>(
      std::min(static_cast<int>(DetectedTier()), cap.load(std::memory_order_relaxed)));
}

void CapTier(CpuTier tier) { cap.store(static_cast<int>(tier), std::memory_order_relaxed); }

const char* TierName(CpuTier tier) {
  switch (tier) {
    case CpuTier::kAvx512:
      return "avx512";
    case CpuTier::kAvx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace metabonk
