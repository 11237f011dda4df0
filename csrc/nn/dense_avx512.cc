// Dense layers on 16 lanes; see dense.inl.
#if defined(__x86_64__)
#include "nn/lanes_avx512.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 4;  // 24 sums, 4 of b and one of a: 29 of 32 registers

}  // namespace
}  // namespace metabonk::nn

#include "nn/dense.inl"

namespace metabonk::nn {
const DenseKernels kDenseAvx512 = {"avx512", Multiply, TanhAll, TanhGradient};
}  // namespace metabonk::nn
#endif
