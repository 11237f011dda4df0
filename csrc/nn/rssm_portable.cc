// RSSM steps on 4 lanes; see rssm.inl.
#include "nn/lanes_portable.h"

namespace metabonk::nn {
namespace {

constexpr int kTileVectors = 2;
constexpr int kStepRows = 2;

}  // namespace
}  // namespace metabonk::nn

#include "nn/rssm.inl"

namespace metabonk::nn {
const RssmKernels kRssmPortable = {"portable", V::kLanes,  Layer,  Gru,    GruMix,  GruBack,
                                   Sample,     SampleBack, AddRow, EluAll, Multiply};
}  // namespace metabonk::nn
