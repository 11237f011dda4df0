// Linear layers over quantised weights: y = round(x) W^T + b, rows of float32 in and out. Knows
// panels (panels.h), pointers and threads; no networks, no autograd, no Torch.
//
// round(x): for int8 weights each row of x becomes codes -127..127 and a scale of its own, largest
// |x| / 127 (dynamic quantisation); the product is one of integers, so that every instruction set
// gives the same bits. A row whose largest is below 2^-100 counts as zero; one that holds NaN or
// infinity gives a row of NaN. For all other formats x is rounded to bf16, products are summed in
// float32, and instruction sets differ by rounding only.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "nn/panels.h"
#include "support/buffer.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

// A tile of weights and the rows that meet it. What is optional may be null.
struct QTile {
  const PanelLayout* layout;
  int panels;            // 4 or 1
  const uint8_t* tile;   // its header and what follows, see panels.h
  const uint8_t* x;      // rows as the kernels' take_row made them
  int64_t x_stride;      // bytes
  const float* x_scale;  // [rows], int8 only
  int rows;
  const float* bias;  // [outputs] or null
  float* y;           // [rows, outputs], rows y_stride floats apart
  int64_t y_stride;
  int outputs;       // that are there, 1 to 16 panels
  uint8_t* scratch;  // scratch_bytes()
};

// One set for int8 and one for all other formats, per instruction set. kQFloatAmx wants x to lie in
// memory of a multiple of 16 rows.
struct QLinearKernels {
  const char* name;
  int x_bytes;  // per input of a row made ready
  // x [inputs] -> row [padded], scale (int8).
  void (*take_row)(const float* x, int inputs, int padded, uint8_t* row, float* scale);
  void (*multiply)(const QTile& tile);
  // Per tile that is being multiplied.
  int64_t (*scratch_bytes)(const PanelLayout& layout);
};

extern const QLinearKernels kQInt8Portable, kQFloatPortable;
extern const QLinearKernels kQInt8Avx2, kQFloatAvx2;
extern const QLinearKernels kQInt8Avx512, kQFloatAvx512;
extern const QLinearKernels kQInt8Vnni, kQFloatBf16;
extern const QLinearKernels kQInt8Amx, kQFloatAmx;

// The best that ActiveTier() and ActiveExtension() allow for so many rows.
const QLinearKernels& ActiveQLinearKernels(WeightFormat format, int64_t rows);

// What one layer multiplies by. bias may be null.
struct QWeights {
  WeightShape shape;
  const uint8_t* panels;
  const float* bias;
};

// Multiplies on its own threads; keeps scratch memory, which grows to the largest product seen and
// is then reused. Calls from several threads wait for each other.
class QLinearEngine {
 public:
  // steady: a row has the same bits however many others come with it, at the speed of few.
  explicit QLinearEngine(int threads, bool steady = false)
      : pool_(threads), steady_(steady), parts_(static_cast<size_t>(pool_.threads())) {}

  int threads() const { return pool_.threads(); }
  // x [rows, inputs] -> y [rows, outputs], both contiguous.
  void Forward(const QWeights& weights, int64_t rows, const float* x, float* y);
  // Grows the scratch memory to what Forward will need.
  void Prepare(const QWeights& weights, int64_t rows);

 private:
  friend class QLinearPlan;
  struct Job;
  struct Part {  // of one thread
    Buffer<uint8_t> rows, scratch;
    Buffer<float> scales;
  };

  void Grow(const QLinearKernels& kernels, const PanelLayout& layout, int64_t rows);
  void Run(Job* job);

  const QLinearKernels& KernelsFor(WeightFormat format, int64_t rows) const {
    return ActiveQLinearKernels(format, steady_ ? 1 : rows);
  }

  std::mutex one_caller_;
  ThreadPool pool_;
  bool steady_;
  std::vector<Part> parts_;
};

// A product bound to its memory, kernels and threads (at most so many, for large products only):
// Step() reads x as it is then, writes y and allocates nothing.
class QLinearPlan {
 public:
  QLinearPlan(const QWeights& weights, int64_t rows, const float* x, float* y, int threads);

  void Step();
  // Other weights of the same shape.
  void Load(const uint8_t* panels, const float* bias);
  const char* tier() const { return kernels_->name; }
  int threads() const { return engine_.threads(); }
  int64_t products() const { return rows_ * layout_.inputs * layout_.outputs; }

 private:
  const QLinearKernels* kernels_;
  PanelLayout layout_;
  QLinearEngine engine_;
  QWeights weights_;
  int64_t rows_;
  const float* x_;
  float* y_;
};

}  // namespace metabonk::nn
