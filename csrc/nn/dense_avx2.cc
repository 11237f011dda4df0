// Dense layers on 8 lanes; see dense.inl.
#if defined(__x86_64__)
#include "nn/lanes_avx2.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 2;  // 12 sums, 2 of b and one of a: 15 of 16 registers

}  // namespace
}  // namespace metabonk::nn

#include "nn/dense.inl"

namespace metabonk::nn {
const DenseKernels kDenseAvx2 = {"avx2", Multiply, TanhAll, TanhGradient};
}  // namespace metabonk::nn
#endif
