#include "support/cpu.h"

#include <algorithm>
#include <atomic>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace metabonk {

namespace {
std::atomic<int> cap{static_cast<int>(CpuTier::kCount) - 1};
std::atomic<int> extension_cap{static_cast<int>(CpuExtension::kCount) - 1};

#if defined(__x86_64__)
// Whether there are tiles (AMX) and Linux lets this process use them, which it does on demand only:
// they make what a signal or a switch has to save eight kilobytes larger.
bool MayUseTiles() {
#if defined(__linux__)
  constexpr unsigned kNeeded = 1u << 22 | 1u << 24 | 1u << 25;  // of bf16, tiles, of bytes
  unsigned a, b, c, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kNeeded) != kNeeded) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif
}  // namespace

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

CpuExtension DetectedExtension() {
#if defined(__x86_64__)
  static const CpuExtension extension = [] {
    if (DetectedTier() < CpuTier::kAvx512 || !__builtin_cpu_supports("avx512vnni")) {
      return CpuExtension::kNone;
    }
    const bool bf16 = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
    if (!bf16) return CpuExtension::kVnni;
    return MayUseTiles() ? CpuExtension::kAmx : CpuExtension::kBf16;
  }();
  return extension;
#else
  return CpuExtension::kNone;
#endif
}

CpuExtension ActiveExtension() {
  if (ActiveTier() < CpuTier::kAvx512) return CpuExtension::kNone;
  return static_cast<CpuExtension>(std::min(static_cast<int>(DetectedExtension()),
                                            extension_cap.load(std::memory_order_relaxed)));
}

void CapExtension(CpuExtension extension) {
  extension_cap.store(static_cast<int>(extension), std::memory_order_relaxed);
}

const char* ExtensionName(CpuExtension extension) {
  switch (extension) {
    case CpuExtension::kAmx:
      return "amx";
    case CpuExtension::kBf16:
      return "bf16";
    case CpuExtension::kVnni:
      return "vnni";
    default:
      return "none";
  }
}

}  // namespace metabonk
