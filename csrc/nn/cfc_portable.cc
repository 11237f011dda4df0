// CfC steps on 4 lanes; see cfc.inl.
#include "nn/lanes_portable.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 2;
constexpr int kStepRows = 2;

}  // namespace
}  // namespace metabonk::nn

#include "nn/cfc.inl"

namespace metabonk::nn {
const CfcKernels kCfcPortable = {"portable",           V::kLanes, Step<CfcForwardWeights>,
                                 Step<CfcHalfWeights>, StepBack,  Multiply};
}  // namespace metabonk::nn
