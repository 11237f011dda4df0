// Adam on what the compiler assumes; see adam.inl.
#include "nn/adam.inl"

namespace metabonk::nn {
const AdamKernels kAdamPortable = {"portable", Squares, Scale, Step};
}  // namespace metabonk::nn
