// The surrogate on avx512; see surrogate.inl.
#if defined(__x86_64__)
#include "nn/surrogate.inl"

namespace metabonk::nn {
const SurrogateKernels kSurrogateAvx512 = {"avx512", Surrogate};
}  // namespace metabonk::nn
#endif
