// RSSM: the recurrent state-space model (Hafner et al. 2019) over rows of float32: a GRU that
// carries the deterministic state, and two heads that make distributions of the stochastic one.
// Knows shapes, packed weights and the loops over rows of one step; sequences are rssm_scan.h's,
// single steps rssm_plan.h's. No autograd, no Torch.
//
//   x      = elu(W_in [k s, k a] + b_in)          s, a: state and action before; keep k = 0 forgets
//   r, z   = sigmoid(W_ih x + b_ih + W_hh (k h) + b_hh)         torch.nn.GRUCell
//   n      = tanh(W_in' x + b_in' + r (W_hn (k h) + b_hn))
//   h'     = (1 - z) n + z k h
//   prior  = distribution(V elu(W h' + b) + c)
//   posterior = the same of [h', e], e the embedded observation
//   s'     = a sample of the posterior, without observations of the prior
//
// A distribution is `groups` categoricals of `classes` (Hafner et al. 2021), as log-probabilities
// log((1 - mix) softmax + mix / classes), or with classes 0 `groups` Gaussians, as means and then
// deviations softplus + floor. Randomness is handed in: one uniform number per categorical, which
// the inverse of the cumulative distribution turns into a class, or one standard normal each.
//
// A row's sums run in an order that follows from the widths and the instruction set alone.
#pragma once

#include <cstdint>

#include "nn/cfc.h"
#include "nn/product.h"
#include "support/buffer.h"

namespace metabonk::nn {

// Panels that may be kept in bf16: then a word holds a column of two rows, the first one in its
// lower half, and half the memory is read. Sums run in the same order, so that a product gives the
// bits that rounded weights in float32 give.
struct Panels : CfcPanels {
  Buffer<uint32_t> pairs;
  bool half = false;

  int pair_rows() const { return (depth + 1) / 2; }
  const uint32_t* pair_panel(int i) const {
    return pairs.data() + int64_t{i} * pair_rows() * width;
  }
  // NOLINTNEXTLINE(bugprone-derived-method-shadowing-base-method): the base knows no halves
  void Pack(const float* from, int64_t row, int64_t column, int new_depth, int new_columns,
            int new_width) {
    CfcPanels::Pack(from, row, column, new_depth, new_columns, new_width);
    half = false;
  }
  // Turns what was packed into bf16.
  void Halve();
};

inline constexpr int kClassesMax = 4096;
inline constexpr int kGates = 4;  // r, z, n and what r multiplies: kept per unit for the gradient

struct RssmShape {
  int action, embed, hidden, deter, groups, classes;
  float mix, floor;

  int stoch() const { return classes > 0 ? groups * classes : groups; }
  int parameters() const { return classes > 0 ? groups * classes : 2 * groups; }
  bool observes() const { return embed > 0; }
};

// As torch.nn.Linear and torch.nn.GRUCell keep them; the posterior's are null without observations.
struct RssmWeights {
  const float *in, *in_bias;                        // [hidden, stoch + action]
  const float *ih, *hh, *ih_bias, *hh_bias;         // [3 deter, hidden], [3 deter, deter]
  const float *prior, *prior_bias;                  // [hidden, deter]
  const float *prior_out, *prior_out_bias;          // [parameters, hidden]
  const float *posterior, *posterior_bias;          // [hidden, deter + embed]
  const float *posterior_out, *posterior_out_bias;  // [parameters, hidden]
};

// Rows through one layer: y = f(start + [x, more] W). What is optional may be null.
enum class RssmLast { kNone, kElu, kEluBack };

struct RssmLayer {
  const Panels* weights;  // [depth + more_depth, columns]
  int rows;
  const float* x;
  int64_t x_stride;
  int depth;
  const float* more;
  int64_t more_stride;
  int more_depth;
  const float* bias;   // one row for all
  const float* start;  // a row for each; may be y
  int64_t start_stride;
  float* y;
  int64_t y_stride;
  RssmLast last;
  const float* slope;  // kEluBack: what elu returned, by whose slope the sum is multiplied
  int64_t slope_stride;
};

// The GRU's weights for steps forwards: a panel holds the three gates of one vector of units.
struct RssmGru {
  Panels x, h;
  Panels gate;         // one of the three, while they are packed
  Buffer<float> bias;  // per vector of units: r and z of both biases, n of x's, n of h's

  void Pack(const RssmShape& shape, const RssmWeights& weights, int lanes);
};

struct RssmGruRows {
  int rows, hidden, deter;
  const float* x;       // [rows, hidden]
  const float* before;  // [rows, deter]
  float* out;           // [rows, deter]
  float* gates;         // [rows, 4 deter]: r, z, n and W_hn h + b_hn; or null
};

// The same from sums that were made elsewhere, biases included.
struct RssmGruSums {
  int rows, deter;
  const float* from_x;  // [rows, 3 deter]: W_ih x + b_ih
  const float* from_h;  // [rows, 3 deter]: W_hh h + b_hh
  const float* before;  // [rows, deter]
  float* out;           // [rows, deter]
};

// gates -> gradients of what the gates are functions of, in their place: of r, z, n, then of
// W_hn h + b_hn. d_out [rows, deter] becomes z d_out, the part that goes to `before` directly.
struct RssmGruBack {
  int rows, deter;
  const float* gates;
  const float* before;
  float* d_out;
  float* d_gates;  // rows d_gates_stride apart
  int64_t d_gates_stride;
};

// Distributions and samples of rows.
struct RssmSample {
  RssmShape shape;
  int rows;
  float* parameters;   // [rows, parameters]: what the head put out, and then the distribution's
  const float* noise;  // [rows, groups], or null where no sample is wanted
  float* stoch;        // [rows, stoch]
  int32_t* index;      // [rows, groups], of categoricals
};

// Gradients of what a head puts out; d_stoch reaches the probabilities straight through the sample.
struct RssmSampleBack {
  RssmShape shape;
  int rows;
  const float* parameters;
  const float* d_parameters;  // or null
  const float* d_stoch;       // or null
  const float* noise;         // of Gaussians, where d_stoch is there
  float* d_out;               // [rows, parameters], rows d_out_stride apart
  int64_t d_out_stride;
};

struct RssmKernels {
  const char* name;
  int lanes;
  void (*layer)(const RssmLayer& layer);
  void (*gru)(const RssmGru& weights, const RssmGruRows& rows);
  void (*gru_mix)(const RssmGruSums& sums);
  void (*gru_back)(const RssmGruBack& rows);
  void (*sample)(const RssmSample& rows);
  void (*sample_back)(const RssmSampleBack& rows);
  // y += scale * row, then elu of it where asked.
  void (*add_row)(const float* row, float scale, int count, float* y);
  void (*elu)(float* y, int count);
  void (*multiply)(const Product& product);
};

extern const RssmKernels kRssmPortable;
extern const RssmKernels kRssmAvx2;
extern const RssmKernels kRssmAvx512;

// The table of ActiveTier().
const RssmKernels& ActiveRssmKernels();

// One of the two heads, split where what it reads comes from.
struct RssmHead {
  Panels deter, embed, out;
  const float *bias = nullptr, *out_bias = nullptr;

  void Pack(const RssmShape& shape, const RssmWeights& weights, bool posterior, int width);
};

// All weights for steps forwards.
struct RssmForward {
  Panels action, stoch;  // of W_in; stoch only where the state before may be no one-hot rows
  Panels rows;           // of W_in, a row of `hidden` per class: what a one-hot state picks
  const float* in_bias = nullptr;  // biases stay the caller's, see KeepBiases
  RssmGru gru;
  RssmHead prior, posterior;

  // dense: the stochastic state before the first step is not one of indices.
  void Pack(const RssmShape& shape, const RssmWeights& weights, bool dense, int lanes);
  // Keeps all but the biases in bf16.
  void Halve();
  // Copies the biases to memory of its own.
  void KeepBiases(const RssmShape& shape, Buffer<float>* memory);
};

// The stochastic state of some rows: numbers, or the classes of categoricals.
struct RssmState {
  const float* numbers;  // [rows, stoch], or null
  const int32_t* index;  // [rows, groups]
};

// The first of the indices of `rows` rows that is no class, or -1.
int64_t RssmBadIndex(const RssmShape& shape, const RssmState& state, int rows);

// x = elu(start + W_in's part of the state), rows of `hidden`; start may be x. keep may be null.
void RssmTakeState(const RssmKernels& kernels, const RssmShape& shape, const RssmForward& weights,
                   const RssmState& state, const float* keep, int rows, float* scratch, float* x);

// The layers of one head: hidden = elu(start + deter W + bias), out = hidden V + c.
struct RssmHeadRows {
  const RssmHead* head;
  int rows;
  const float* deter;
  const float* start;  // holds the bias; or null. May be hidden
  float* hidden;
  float* out;
};

void RssmRunHead(const RssmKernels& kernels, const RssmShape& shape, const RssmHeadRows& rows);

}  // namespace metabonk::nn
