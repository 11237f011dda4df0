// The hot loops of a tick for one instruction set; see kernels.inl.
#define KERNELS_NAMESPACE kernels_avx2
#include "games/arena/kernels.inl"

namespace metabonk::arena {

namespace k = kernels_avx2;
const Kernels kKernelsAvx2 = {"avx2",      k::CountDown,  k::Measure, k::Steer,
                              k::Separate, k::Accelerate, k::Settle,  k::Overlaps};

}  // namespace metabonk::arena
