// Returns on what the compiler assumes; see returns.inl.
#include "nn/returns.inl"

namespace metabonk::nn {
const ReturnsKernels kReturnsPortable = {"portable", Gae, GaeGradient, LambdaReturns,
                                         LambdaGradient};
}  // namespace metabonk::nn
