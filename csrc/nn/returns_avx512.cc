// Returns on avx512; see returns.inl.
#if defined(__x86_64__)
#include "nn/returns.inl"

namespace metabonk::nn {
const ReturnsKernels kReturnsAvx512 = {"avx512", Gae, GaeGradient, LambdaReturns, LambdaGradient};
}  // namespace metabonk::nn
#endif
