// The hot loops of a tick as plain scalar code, compiled without vectorisation: the yardstick that
// the benchmark measures the others by; see kernels.inl.
#define KERNELS_PLAIN
#define KERNELS_NAMESPACE kernels_scalar
#include "games/arena/kernels.inl"

namespace metabonk::arena {

namespace k = kernels_scalar;
const Kernels kKernelsScalar = {"scalar",    k::CountDown,  k::Measure, k::Steer,
                                k::Separate, k::Accelerate, k::Settle,  k::Overlaps};

}  // namespace metabonk::arena
