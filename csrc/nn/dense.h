// Dense: y = tanh(sum_k x_k W_k^T + b) over rows of float32, and its gradients, on the processor's
// widest vectors. Knows pointers, sizes and threads; no networks, no autograd, no Torch.
//
// Matrices are row-major and contiguous: x [rows, inputs], W [outputs, inputs] (as torch.nn.Linear
// keeps it), b [outputs], y and its gradient [rows, outputs]. Sums run in an order that follows
// from the shapes and the number of threads alone, so the same call gives the same bits.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "nn/product.h"
#include "support/buffer.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

// One of the inputs of a layer and its part of the weights.
struct DenseInput {
  const float* x;       // [rows, inputs]
  const float* weight;  // [outputs, inputs]
  int inputs;
};

// Where the gradients of one input go.
struct DenseGradient {
  float* d_x;       // [rows, inputs], or null where nobody asks
  float* d_weight;  // [outputs, inputs]
};

struct DenseKernels {
  const char* name;
  void (*multiply)(const Product& product);
  void (*tanh)(float* values, int64_t count);
  // g = dy (1 - y^2)
  void (*tanh_gradient)(const float* y, const float* dy, float* g, int64_t count);
};

extern const DenseKernels kDenseAvx2;
extern const DenseKernels kDenseAvx512;

// The table of ActiveTier(); null below AVX2, where a BLAS does better than plain loops would.
const DenseKernels* ActiveDenseKernels();

// Computes layers on its own threads; keeps their scratch memory, which grows to the largest layer
// seen and is then reused. Calls from several threads wait for each other.
class DenseEngine {
 public:
  explicit DenseEngine(int threads) : pool_(threads), parts_(threads) {}

  // bias [outputs] -> y [rows, outputs].
  void Forward(int rows, int outputs, const float* bias, std::span<const DenseInput> inputs,
               float* y);
  // y and its gradient dy [rows, outputs] -> d_bias [outputs] and those of every input.
  void Backward(int rows, int outputs, const float* y, const float* dy,
                std::span<const DenseInput> inputs, float* d_bias,
                std::span<const DenseGradient> gradients);

 private:
  struct Part {              // of one thread
    Buffer<float> gradient;  // of a block's sums before tanh, [block, outputs]
    Buffer<float> sums;      // d_bias, then each d_weight, each from a cache line on
  };
  struct Job;

  int Shares(int rows) const;
  void Reduce(int shares, size_t size, const Job& job, float* d_bias,
              std::span<const DenseGradient> gradients);

  std::mutex one_caller_;
  ThreadPool pool_;
  std::vector<Part> parts_;
  // Every weight as [inputs, outputs], and as it is; each, and each row of these, from a cache line
  // on.
  Buffer<float> transposed_, lined_;
};

}  // namespace metabonk::nn
