// Merges on what the compiler assumes; see merge.inl.
#include "nn/merge.inl"

namespace metabonk::nn {
const MergeKernels kMergePortable = {"portable", Weighted, Ties};
}  // namespace metabonk::nn
