// Loops: small functions over views of any shape, one instruction set at a time. Knows pointers and
// strides; no programs, no layers.
//
// A loop has an inner axis, which a kernel runs along, and outer axes, which the driver counts
// through. Neighbouring axes that lie behind each other in all operands become one.
#pragma once

#include <cstdint>

#include "nn/program.h"

namespace metabonk::nn {

inline constexpr int kOperandsMax = 4;

// One run along the inner axis. at: y, then what it is made of; step: their strides in elements.
struct Run {
  int64_t length;
  void* at[kOperandsMax];
  int64_t step[kOperandsMax];
  float p, q;             // parameters of the function
  int64_t places, apart;  // of gather and scatter: how many, how far apart
  int* fault;             // set to 1 where an index is none
};

using Kernel = void (*)(const Run& run);

struct LoopKernels {
  const char* name;
  Kernel unary[static_cast<int>(Unary::kCount)];
  Kernel binary[static_cast<int>(Binary::kCount)];
  Kernel binary_integers[static_cast<int>(Binary::kCount)];
  Kernel reduce[static_cast<int>(Reduction::kCount)];
  Kernel count;  // sum of bytes that are not 0
  Kernel where_words, where_bytes;
  Kernel copy[static_cast<int>(Type::kCount)][static_cast<int>(Type::kCount)];  // to, from
  Kernel scan, softmax, log_softmax;
  Kernel gather_words, gather_bytes, scatter_add;
};

extern const LoopKernels kLoopsPortable;
extern const LoopKernels kLoopsAvx2;
extern const LoopKernels kLoopsAvx512;

// The table of ActiveTier().
const LoopKernels& ActiveLoops();

// A kernel bound to the shapes of its operands; the memory comes with each call.
class Loop {
 public:
  Loop() = default;
  // views: of y first. axis: 1 where the function runs along the last axis, 0 for functions of
  // single elements, -1 where it runs along a last axis that y lacks.
  Loop(Kernel kernel, const View* views, int operands, int axis);

  void Set(float p, float q) { run_.p = p, run_.q = q; }
  void Set(int64_t places, int64_t apart) { run_.places = places, run_.apart = apart; }
  // at: where each operand begins.
  void operator()(void* const* at, int* fault) const;

 private:
  Kernel kernel_ = nullptr;
  int operands_ = 0, outer_ = 0;
  Sizes sizes_{};
  int64_t bytes_[kOperandsMax][kRankMax]{};  // strides of the outer axes
  Run run_{};
};

}  // namespace metabonk::nn
