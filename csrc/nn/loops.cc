#include "nn/loops.h"

#include <algorithm>

#include "support/cpu.h"

namespace metabonk::nn {

namespace {

// Whether axis i of all operands lies right behind axis i + 1, so that both are one.
bool Joins(const Sizes& sizes, const Sizes* strides, int operands, int i) {
  for (int k = 0; k < operands; ++k) {
    if (strides[k][i] != strides[k][i + 1] * sizes[i + 1]) return false;
  }
  return true;
}

}  // namespace

const LoopKernels& ActiveLoops() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return kLoopsAvx512;
    case CpuTier::kAvx2:
      return kLoopsAvx2;
    default:
      break;
  }
#endif
  return kLoopsPortable;
}

Loop::Loop(Kernel kernel, const View* views, int operands, int axis)
    : kernel_(kernel), operands_(operands) {
  // The operand that has all axes; one that lacks the last one stands still along it.
  const View& whole = views[axis < 0 ? 1 : 0];
  Sizes sizes = whole.sizes;
  Sizes strides[kOperandsMax]{};
  for (int k = 0; k < operands; ++k) {
    std::copy_n(views[k].strides.begin(), views[k].rank, strides[k].begin());
  }
  int rank = whole.rank;
  const auto remove = [&](int i) {
    std::copy(sizes.begin() + i + 1, sizes.begin() + rank, sizes.begin() + i);
    for (int k = 0; k < operands; ++k) {
      std::copy(strides[k].begin() + i + 1, strides[k].begin() + rank, strides[k].begin() + i);
    }
    --rank;
  };
  const int free = axis == 0 ? 0 : 1;  // the last axis is a function's own
  for (int i = rank - 1 - free; i >= 0; --i) {
    if (sizes[i] == 1) {
      remove(i);
    } else if (i + 1 < rank - free && Joins(sizes, strides, operands, i)) {
      sizes[i + 1] *= sizes[i];
      remove(i);
    }
  }
  run_.length = rank > 0 ? sizes[rank - 1] : 1;
  outer_ = rank > 0 ? rank - 1 : 0;
  for (int k = 0; k < operands; ++k) {
    run_.step[k] = rank > 0 ? strides[k][rank - 1] : 1;
    for (int i = 0; i < outer_; ++i) bytes_[k][i] = strides[k][i] * SizeOf(views[k].type);
  }
  std::copy_n(sizes.begin(), outer_, sizes_.begin());
}

void Loop::operator()(void* const* at, int* fault) const {
  Run run = run_;
  run.fault = fault;
  for (int k = 0; k < operands_; ++k) run.at[k] = at[k];
  if (outer_ == 0) {
    kernel_(run);
    return;
  }
  Sizes counter{};
  while (true) {
    kernel_(run);
    int i = outer_ - 1;
    for (; i >= 0; --i) {
      const bool again = ++counter[i] < sizes_[i];
      for (int k = 0; k < operands_; ++k) {
        char* place = static_cast<char*>(run.at[k]);
        run.at[k] = place + (again ? bytes_[k][i] : -bytes_[k][i] * (sizes_[i] - 1));
      }
      if (again) break;
      counter[i] = 0;
    }
    if (i < 0) return;
  }
}

}  // namespace metabonk::nn
