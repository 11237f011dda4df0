// Adam on avx2; see adam.inl.
#if defined(__x86_64__)
#include "nn/adam.inl"

namespace metabonk::nn {
const AdamKernels kAdamAvx2 = {"avx2", Squares, Scale, Step};
}  // namespace metabonk::nn
#endif
