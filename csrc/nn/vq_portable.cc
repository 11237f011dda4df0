// Nearest codes on the compiler's own vectors of 4 lanes, which every processor has something for;
// see vq.inl.
#include <cstdint>

#include "nn/lanes_portable.h"

namespace metabonk::nn {
namespace {

struct I {
  V::Integers v;

  // first, first + 1, ...
  static I From(int32_t first) { return {V::Integers{first, first + 1, first + 2, first + 3}}; }
};

// Takes a score that is higher, and with it the code; NaN never is.
inline void Keep(V score, I code, V* best, I* at) {
  const V::Integers higher = score.v > best->v;
  best->v = higher ? score.v : best->v;
  at->v = higher ? code.v : at->v;
}

// The highest of the lanes and the lowest code that has it.
inline void Lowest(V best, I at, float* score, int32_t* code) {
  *score = best.v[0];
  *code = at.v[0];
  for (int i = 1; i < V::kLanes; ++i) {
    if (best.v[i] > *score || (best.v[i] == *score && at.v[i] < *code)) {
      *score = best.v[i];
      *code = at.v[i];
    }
  }
}

constexpr int kTileRows = 2;
constexpr int kTileVectors = 4;  // 8 sums, 4 of codes and one of x: 13 of 16 registers

}  // namespace
}  // namespace metabonk::nn

#include "nn/vq.inl"

namespace metabonk::nn {
const VqKernels kVqPortable = {"portable", kTileRows, Search};
}  // namespace metabonk::nn
