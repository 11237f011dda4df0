// Merges on avx2; see merge.inl.
#if defined(__x86_64__)
#include "nn/merge.inl"

namespace metabonk::nn {
const MergeKernels kMergeAvx2 = {"avx2", Weighted, Ties};
}  // namespace metabonk::nn
#endif
