// Returns on avx2; see returns.inl.
#if defined(__x86_64__)
#include "nn/returns.inl"

namespace metabonk::nn {
const ReturnsKernels kReturnsAvx2 = {"avx2", Gae, GaeGradient, LambdaReturns, LambdaGradient};
}  // namespace metabonk::nn
#endif
