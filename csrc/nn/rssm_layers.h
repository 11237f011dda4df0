// RssmLayers: what an RSSM step multiplies by, behind the precision in which it is kept. Knows the
// layers of a step and their scratch memory; neither what is carried between steps nor samples.
#pragma once

#include <memory>

#include "metabonk/status.h"
#include "nn/rssm.h"

namespace metabonk::nn {

// How weights are kept; states, biases and sums are float32 in all of them.
//   kBf16  rounded to it; a step gives the bits that rounded weights in float32 give
//   kInt8  codes with a scale per output (weights.h), and what meets them row by row as well, see
//          qlinear.h. W_in, W and the posterior's first layer are cut where what they read comes
//          from: each part has scales of its own. A one-hot state is not rounded: it picks rows.
enum class RssmPrecision { kFloat, kBf16, kInt8, kCount };

class RssmLayers {
 public:
  virtual ~RssmLayers() = default;

  // Packs weights of the shape that this was made for, and keeps no pointer to them. Fails for
  // numbers or sizes that codes cannot hold; then what was loaded before is still there.
  virtual Status Load(const RssmWeights& weights) = 0;

  // x [rows, hidden] = elu(W_in [k s, a] + b_in); action [rows, action] as `keep` leaves it.
  virtual void In(const RssmState& state, const float* action, const float* keep, int rows,
                  float* x) = 0;
  // out [rows, deter], not the memory of `before`.
  virtual void Gru(const float* x, const float* before, int rows, float* out) = 0;
  // What the heads put out for a distribution [rows, parameters].
  virtual void Prior(const float* deter, int rows, float* out) = 0;
  virtual void Posterior(const float* deter, const float* embed, int rows, float* out) = 0;
};

// For steps of at most `rows` rows on the kernels of `kernels`, without weights yet. dense: the
// stochastic state may be numbers where it could be indices.
std::unique_ptr<RssmLayers> MakeRssmLayers(RssmPrecision precision, const RssmShape& shape,
                                           const RssmKernels& kernels, bool dense, int rows);

}  // namespace metabonk::nn
