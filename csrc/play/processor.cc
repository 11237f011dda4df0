#include "play/processor.h"

#include <array>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include "support/cpu.h"

namespace metabonk::play {

namespace {

constexpr const char* kCpu = "METABONK_CPU";
constexpr const char* kNative = "METABONK_NATIVE_CPU";

struct Level {
  std::string_view name;
  CpuTier tier;
  CpuExtension extension;  // that the tier may use
};

// `auto` is none of these. Tiers below AVX-512 have no extension whatever the cap is.
constexpr std::array<Level, 6> kLevels = {{
    {"baseline", CpuTier::kBaseline, CpuExtension::kNone},
    {"avx2", CpuTier::kAvx2, CpuExtension::kNone},
    {"avx512", CpuTier::kAvx512, CpuExtension::kNone},
    {"vnni", CpuTier::kAvx512, CpuExtension::kVnni},
    {"bf16", CpuTier::kAvx512, CpuExtension::kBf16},
    {"amx", CpuTier::kAvx512, CpuExtension::kAmx},
}};

// Leaves `level` null for `auto`.
Failure Find(const char* variable, const char* text, const Level** level) {
  *level = nullptr;
  if (text == nullptr || std::string_view(text) == "auto") return {};
  for (const Level& one : kLevels) {
    if (one.name == text) *level = &one;
  }
  if (*level != nullptr) return {};
  return {
      Code::kInvalidArgument,
      std::string(variable) + ": native.cpu = '" + text +
          "': must be one of auto, baseline, avx2, avx512, vnni, bf16, amx (Highest instruction "
          "set it may use; games are the same on all. vnni, bf16 and amx: AVX-512 with these "
          "extensions, each with those before it)"};
}

}  // namespace

Failure CapProcessor(const char* cpu, const char* native) {
  const Level *one, *other;
  if (Failure failure = Find(kCpu, cpu, &one); !failure.ok()) return failure;
  if (Failure failure = Find(kNative, native, &other); !failure.ok()) return failure;
  if (cpu != nullptr && native != nullptr && one != other) {
    return {Code::kInvalidArgument, std::string(kCpu) + " and " + kNative +
                                        " both set native.cpu, to different values (" + cpu +
                                        " and " + native + "): unset one of them"};
  }
  const Level* level = one != nullptr ? one : other;
  if (level == nullptr) return {};
  CapExtension(level->extension);
  CapTier(level->tier);
  return {};
}

Failure CapProcessorOnce() {
  static std::mutex one;
  static bool done = false;
  const std::lock_guard lock(one);
  if (done) return {};
  Failure failure = CapProcessor(std::getenv(kCpu), std::getenv(kNative));
  done = failure.ok();
  return failure;
}

}  // namespace metabonk::play
