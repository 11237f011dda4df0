// CfC steps on 8 lanes; see cfc.inl.
#if defined(__x86_64__)
#include "nn/lanes_avx2.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 2;
constexpr int kStepRows = 3;

}  // namespace
}  // namespace metabonk::nn

#include "nn/cfc.inl"

namespace metabonk::nn {
const CfcKernels kCfcAvx2 = {"avx2",   V::kLanes, Step<CfcForwardWeights>, Step<CfcHalfWeights>,
                             StepBack, Multiply};
}  // namespace metabonk::nn
#endif
