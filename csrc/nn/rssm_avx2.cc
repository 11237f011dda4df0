// RSSM steps on 8 lanes; see rssm.inl.
#if defined(__x86_64__)
#include "nn/lanes_avx2.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 2;
constexpr int kStepRows = 3;

}  // namespace
}  // namespace metabonk::nn

#include "nn/rssm.inl"

namespace metabonk::nn {
const RssmKernels kRssmAvx2 = {"avx2", V::kLanes,  Layer,  Gru,    GruMix,  GruBack,
                               Sample, SampleBack, AddRow, EluAll, Multiply};
}  // namespace metabonk::nn
#endif
