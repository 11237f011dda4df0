// CfC steps on 16 lanes; see cfc.inl.
#if defined(__x86_64__)
#include "nn/lanes_avx512.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 4;
constexpr int kStepRows = 6;

}  // namespace
}  // namespace metabonk::nn

#include "nn/cfc.inl"

namespace metabonk::nn {
const CfcKernels kCfcAvx512 = {"avx512", V::kLanes, Step<CfcForwardWeights>, Step<CfcHalfWeights>,
                               StepBack, Multiply};
}  // namespace metabonk::nn
#endif
