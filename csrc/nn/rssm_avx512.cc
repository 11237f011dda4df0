// RSSM steps on 16 lanes; see rssm.inl.
#if defined(__x86_64__)
#include "nn/lanes_avx512.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 4;
constexpr int kStepRows = 6;

}  // namespace
}  // namespace metabonk::nn

#include "nn/rssm.inl"

namespace metabonk::nn {
const RssmKernels kRssmAvx512 = {"avx512", V::kLanes,  Layer,  Gru,    GruMix,  GruBack,
                                 Sample,   SampleBack, AddRow, EluAll, Multiply};
}  // namespace metabonk::nn
#endif
