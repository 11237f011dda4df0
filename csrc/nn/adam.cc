#include "nn/adam.h"

#include <cmath>

#include "support/cpu.h"

namespace metabonk::nn {

const AdamKernels& ActiveAdamKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kBaseline:
      break;
    case CpuTier::kAvx2:
      return kAdamAvx2;
    default:
      return kAdamAvx512;
  }
#endif
  return kAdamPortable;
}

AdamTerms TermsOf(double rate, double beta1, double beta2, double epsilon, int64_t step) {
  const double t = static_cast<double>(step);
  return {static_cast<float>(beta1), static_cast<float>(beta2),
          static_cast<float>(rate / (1.0 - std::pow(beta1, t))),
          static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, t))),
          static_cast<float>(epsilon)};
}

double Clip(float* values, int64_t count, double longest) {
  const AdamKernels& kernels = ActiveAdamKernels();
  const double length = std::sqrt(kernels.squares(values, count));
  // Of a length that is not a number nothing is scaled: the caller sees it.
  if (length > longest) {
    kernels.scale(values, count, static_cast<float>(longest / (length + 1e-6)));
  }
  return length;
}

}  // namespace metabonk::nn
