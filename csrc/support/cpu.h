// Which instruction sets this processor has, and which of them the kernels may use.
#pragma once

namespace metabonk {

enum class CpuTier : int { kBaseline, kAvx2, kAvx512, kCount };

// What the processor and the operating system offer.
CpuTier DetectedTier();
// The lower of DetectedTier() and the cap; what function tables are chosen by.
CpuTier ActiveTier();
// Caps the tier from now on (METABONK_CPU, tests); tables chosen before follow on their next use.
void CapTier(CpuTier tier);
const char* TierName(CpuTier tier);

}  // namespace metabonk
