// The loops of programs for 16 lanes; see loops.inl.
#if defined(__x86_64__)
#include "nn/loops.inl"

namespace metabonk::nn {
const LoopKernels kLoopsAvx512 = Kernels("avx512");
}  // namespace metabonk::nn
#endif
