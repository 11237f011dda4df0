// Adam on avx512; see adam.inl.
#if defined(__x86_64__)
#include "nn/adam.inl"

namespace metabonk::nn {
const AdamKernels kAdamAvx512 = {"avx512", Squares, Scale, Step};
}  // namespace metabonk::nn
#endif
