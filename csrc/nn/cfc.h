// CfC: the closed-form continuous-time cell (Hasani et al. 2022) over steps of rows of float32, and
// its gradients. Knows pointers, sizes and threads; no autograd, no Torch.
//
//   before = keep h                              keep 0 forgets; all 1 where `keep` is null
//   z      = 1.7159 tanh(0.666 (W [x, before] + b))
//   f1, f2, a, s = V z + c                       four heads of `hidden` each
//   t      = sigmoid(a dt + s)                   dt all 1 where it is null
//   h'     = (1 - t) tanh(f1) + t tanh(f2)
//
// Everything is row-major and contiguous, T steps of B rows; weights as torch.nn.Linear keeps them.
// A row's sums run in an order that follows from the widths and the instruction set alone: the same
// row gives the same bits in any batch, on any number of threads.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "nn/product.h"
#include "support/buffer.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

inline constexpr int kCfcHeads = 4;

struct CfcShape {
  int inputs, hidden, backbone;
};

struct CfcWeights {
  const float* in;          // W [backbone, inputs + hidden]
  const float* in_bias;     // b [backbone]
  const float* heads;       // V [4 hidden, backbone]: f1, f2, a, s
  const float* heads_bias;  // c [4 hidden]
};

struct CfcSequence {
  int steps, batch;
  const float* x;     // [T, B, inputs]
  const float* h;     // [B, hidden], before the first step
  const float* dt;    // [T, B] or null
  const float* keep;  // [T, B] or null
};

// What a forward pass writes. With one step, `out` may be the sequence's `h`.
struct CfcOutputs {
  float* out;    // [T, B, hidden]
  float* z;      // [T, B, backbone], for the gradient; or both null
  float* heads;  // [T, B, 4 hidden]: tanh f1, tanh f2, a, t
};

struct CfcGradients {
  float* x;     // [T, B, inputs] or null
  float* h;     // [B, hidden]
  float* dt;    // [T, B] or null
  float* keep;  // [T, B] or null
  float* in;
  float* in_bias;
  float* heads;
  float* heads_bias;
};

// A matrix [depth, columns] cut into panels of so many columns, each contiguous row after row, the
// last one filled with zeros: what the loops stream through.
struct CfcPanels {
  Buffer<float> data;
  int depth = 0, columns = 0, width = 0;

  int count() const { return (columns + width - 1) / width; }
  const float* panel(int i) const { return data.data() + int64_t{i} * depth * width; }
  // From element (k, n) of the matrix at from[k * row + n * column].
  void Pack(const float* from, int64_t row, int64_t column, int depth, int columns, int width);
};

// Both layers for the forward pass. A panel of `heads` holds all four of a few units: the four
// vectors of sums from which one vector of h' is made.
struct CfcForwardWeights {
  CfcPanels in, heads;
  Buffer<float> in_bias, heads_bias;  // in the order of the panels' columns

  void Pack(const CfcShape& shape, const CfcWeights& weights, int lanes);
};

// The same matrix in bf16, for steps that wait for memory: the words of a panel hold two of its
// vectors, the first of a pair in the lower halves.
struct CfcHalfPanels {
  Buffer<uint32_t> data;
  int depth = 0, columns = 0, width = 0;

  int count() const { return (columns + width - 1) / width; }
  const uint32_t* panel(int i) const { return data.data() + int64_t{i} * depth * (width / 2); }
  void Pack(const CfcPanels& from, int lanes);
};

// CfcForwardWeights rounded to bf16; biases and sums stay float32. Steps give the bits that rounded
// weights in float32 give.
struct CfcHalfWeights {
  CfcHalfPanels in, heads;
  Buffer<float> in_bias, heads_bias;

  void Pack(const CfcForwardWeights& from, int lanes);
};

// Both layers for the backward pass: V, and the two parts of W.
struct CfcBackwardWeights {
  CfcPanels heads, x, h;

  void Pack(const CfcShape& shape, const CfcWeights& weights, int lanes);
};

// Some rows of one step. z [rows, backbone] with rows z_stride apart; heads may be null.
struct CfcRows {
  CfcShape shape;
  int rows;
  const float* x;
  const float* before;
  const float* dt;
  float* out;
  float* z;
  int64_t z_stride;
  float* heads;
};

// The same backwards. carry [rows, hidden] is the gradient of h' from later steps and becomes that
// of h. d_heads and d_z (before the tanh) are left for the weights' gradients.
struct CfcRowsBack {
  CfcShape shape;
  int rows;
  const float* d_out;
  const float* z;
  const float* heads;
  const float* h;  // what `keep` was applied to; used where d_keep is wanted
  const float* dt;
  const float* keep;
  float* carry;
  float* d_heads;
  int64_t d_heads_stride;
  float* d_z;
  int64_t d_z_stride;
  float* d_x;
  float* d_dt;
  float* d_keep;
};

struct CfcKernels {
  const char* name;
  int lanes;
  void (*step)(const CfcForwardWeights& weights, const CfcRows& rows);
  void (*step_half)(const CfcHalfWeights& weights, const CfcRows& rows);
  void (*step_back)(const CfcBackwardWeights& weights, const CfcRowsBack& rows);
  void (*multiply)(const Product& product);
};

extern const CfcKernels kCfcPortable;
extern const CfcKernels kCfcAvx2;
extern const CfcKernels kCfcAvx512;

// The table of ActiveTier().
const CfcKernels& ActiveCfcKernels();

// How many threads a step of so many rows is worth, up to `most`.
int CfcShares(const CfcShape& shape, int64_t rows, int most);

// before = keep h for the rows of a step.
void CfcForget(const float* h, const float* keep, int rows, int hidden, float* before);

// Runs sequences on its own threads; keeps scratch memory, which grows to the largest one seen and
// is then reused. Calls from several threads wait for each other.
class CfcEngine {
 public:
  explicit CfcEngine(int threads) : pool_(threads), parts_(threads) {}

  void Forward(const CfcShape& shape, const CfcWeights& weights, const CfcSequence& sequence,
               const CfcOutputs& outputs);
  // saved: what Forward wrote. d_out [T, B, hidden].
  void Backward(const CfcShape& shape, const CfcWeights& weights, const CfcSequence& sequence,
                const CfcOutputs& saved, const float* d_out, const CfcGradients& gradients);

 private:
  struct Part {  // of one thread
    Buffer<float> before, z, carry;
  };
  struct Job;

  std::mutex one_caller_;
  ThreadPool pool_;
  std::vector<Part> parts_;
  CfcForwardWeights forward_;
  CfcBackwardWeights backward_;
  Buffer<float> d_heads_, d_z_, before_;
};

}  // namespace metabonk::nn
