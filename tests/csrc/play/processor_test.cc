// The cap of the processor that METABONK_CPU sets in other people's programs.
#include "play/processor.h"

#include <string>

#include "check.h"
#include "support/cpu.h"

namespace metabonk::play {
namespace {

// No cap before a test and none after it.
class Uncapped {
 public:
  Uncapped() { Lift(); }
  ~Uncapped() { Lift(); }
  Uncapped(const Uncapped&) = delete;
  Uncapped& operator=(const Uncapped&) = delete;

  static void Lift() {
    CapTier(CpuTier::kAvx512);
    CapExtension(CpuExtension::kAmx);
  }
};

CpuTier Lower(CpuTier tier) { return tier < DetectedTier() ? tier : DetectedTier(); }

CpuExtension Lower(CpuExtension extension) {
  return extension < DetectedExtension() ? extension : DetectedExtension();
}

}  // namespace

TEST(processor_is_capped_by_every_name) {
  const Uncapped uncapped;
  const struct {
    const char* name;
    CpuTier tier;
    CpuExtension extension;
  } levels[] = {
      {"baseline", CpuTier::kBaseline, CpuExtension::kNone},
      {"avx2", CpuTier::kAvx2, CpuExtension::kNone},
      {"avx512", CpuTier::kAvx512, CpuExtension::kNone},
      {"vnni", CpuTier::kAvx512, CpuExtension::kVnni},
      {"bf16", CpuTier::kAvx512, CpuExtension::kBf16},
      {"amx", CpuTier::kAvx512, CpuExtension::kAmx},
      {"auto", CpuTier::kAvx512, CpuExtension::kAmx},
  };
  for (const auto& level : levels) {
    for (int names = 1; names <= 3; ++names) {  // the one, the other, both
      Uncapped::Lift();
      const char* cpu = (names & 1) != 0 ? level.name : nullptr;
      const char* native = (names & 2) != 0 ? level.name : nullptr;
      CHECK(CapProcessor(cpu, native).ok());
      CHECK_EQ(ActiveTier(), Lower(level.tier));
      CHECK_EQ(ActiveExtension(), Lower(level.extension));
    }
  }
}

TEST(processor_keeps_its_cap_where_nothing_is_said) {
  const Uncapped uncapped;
  CapTier(CpuTier::kBaseline);
  CHECK(CapProcessor(nullptr, nullptr).ok());
  CHECK(CapProcessor("auto", nullptr).ok());
  CHECK(CapProcessor("auto", "auto").ok());
  CHECK_EQ(ActiveTier(), CpuTier::kBaseline);
}

TEST(processor_refuses_what_is_no_name_and_caps_nothing) {
  const Uncapped uncapped;
  const struct {
    const char *cpu, *native, *says;
  } faults[] = {
      {"avx3", nullptr, "METABONK_CPU: native.cpu = 'avx3': must be one of auto, baseline"},
      {"", nullptr, "METABONK_CPU: native.cpu = '': must be"},
      {nullptr, "AVX2", "METABONK_NATIVE_CPU: native.cpu = 'AVX2': must be"},
      {"baseline", "none", "METABONK_NATIVE_CPU: native.cpu = 'none'"},
      {"baseline", "avx2", "both set native.cpu, to different values (baseline and avx2)"},
      {"auto", "baseline", "different values (auto and baseline): unset one of them"},
  };
  for (const auto& fault : faults) {
    const Failure failure = CapProcessor(fault.cpu, fault.native);
    CHECK_EQ(failure.code, Code::kInvalidArgument);
    if (failure.text.find(fault.says) == std::string::npos) {
      check::Fail(__FILE__, __LINE__, std::string(fault.says) + " is not in: " + failure.text);
    }
    CHECK_EQ(ActiveTier(), DetectedTier());
    CHECK_EQ(ActiveExtension(), DetectedExtension());
  }
}

}  // namespace metabonk::play
