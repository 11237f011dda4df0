// The surrogate on avx2; see surrogate.inl.
#if defined(__x86_64__)
#include "nn/surrogate.inl"

namespace metabonk::nn {
const SurrogateKernels kSurrogateAvx2 = {"avx2", Surrogate};
}  // namespace metabonk::nn
#endif
