// The loops of programs for any processor; see loops.inl.
#include "nn/loops.inl"

namespace metabonk::nn {
const LoopKernels kLoopsPortable = Kernels("portable");
}  // namespace metabonk::nn
