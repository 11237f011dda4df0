// Merges on avx512; see merge.inl.
#if defined(__x86_64__)
#include "nn/merge.inl"

namespace metabonk::nn {
const MergeKernels kMergeAvx512 = {"avx512", Weighted, Ties};
}  // namespace metabonk::nn
#endif
