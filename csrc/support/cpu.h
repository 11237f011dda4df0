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

// What some processors of the AVX-512 tier have beyond it; each level includes those before it.
// kVnni: AVX512_VNNI. kBf16: AVX512_BF16 and AVX512_VBMI. kAmx: tiles, with products of bytes and
// of bf16.
enum class CpuExtension : int { kNone, kVnni, kBf16, kAmx, kCount };

// Asks the operating system, once, to let this process use tiles where there are some.
CpuExtension DetectedExtension();
// The lower of DetectedExtension() and the cap; kNone while a lower tier than AVX-512 is active.
CpuExtension ActiveExtension();
// Caps the level from now on (tests).
void CapExtension(CpuExtension extension);
const char* ExtensionName(CpuExtension extension);

}  // namespace metabonk
