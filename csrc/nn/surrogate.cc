#include "nn/surrogate.h"

#include "support/cpu.h"

namespace metabonk::nn {

const SurrogateKernels& ActiveSurrogateKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kBaseline:
      break;
    case CpuTier::kAvx2:
      return kSurrogateAvx2;
    default:
      return kSurrogateAvx512;
  }
#endif
  return kSurrogatePortable;
}

int64_t ChosenOutside(const SurrogateBatch& batch) {
  for (int64_t row = 0; row < batch.rows; ++row) {
    for (int i = 0; i < batch.choices; ++i) {
      const int64_t choice = batch.chosen[row * batch.choices + i];
      if (choice < 0 || choice >= batch.sizes[i]) return row;
    }
  }
  return -1;
}

}  // namespace metabonk::nn
