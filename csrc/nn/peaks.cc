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

ProductLoop ActiveBytePeak() {
#if defined(__x86_64__)
  if (ActiveExtension() >= CpuExtension::kAmx) return kBytePeakAmx;
  if (ActiveExtension() >= CpuExtension::kVnni) return kBytePeakVnni;
#endif
  return nullptr;
}

ProductLoop ActiveBf16Peak() {
#if defined(__x86_64__)
  if (ActiveExtension() >= CpuExtension::kAmx) return kBf16PeakAmx;
  if (ActiveExtension() >= CpuExtension::kBf16) return kBf16Peak;
#endif
  return nullptr;
}

}  // namespace metabonk::nn
