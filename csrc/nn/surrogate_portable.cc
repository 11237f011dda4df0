// The surrogate on what the compiler assumes; see surrogate.inl.
#include "nn/surrogate.inl"

namespace metabonk::nn {
const SurrogateKernels kSurrogatePortable = {"portable", Surrogate};
}  // namespace metabonk::nn
