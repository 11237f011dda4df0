// The loops of programs for 8 lanes; see loops.inl.
#if defined(__x86_64__)
#include "nn/loops.inl"

namespace metabonk::nn {
const LoopKernels kLoopsAvx2 = Kernels("avx2");
}  // namespace metabonk::nn
#endif
