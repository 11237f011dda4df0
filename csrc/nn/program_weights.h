// ProgramWeights: the tensors of a program, and what its layers make of them to stream through.
// Knows programs and layouts; runs nothing. Never changes once made, so that one can be read while
// the next is being made.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "nn/cfc.h"
#include "nn/program.h"
#include "nn/qlinear.h"

namespace metabonk::nn {

// A float32 layer: W^T in panels of 64 outputs, the last one as wide as is needed.
struct LinearPanels {
  static constexpr int kWidth = 64;
  Buffer<float> data;
  int inputs = 0, outputs = 0;

  void Pack(const float* weight, int outputs, int inputs);
  // y [rows, outputs], rows y_row apart, += x W^T; x rows x_row apart, each in as many pieces of
  // one size, `apart` behind each other.
  void AddProduct(const CfcKernels& kernels, int rows, const float* x, int64_t x_row, float* y,
                  int64_t y_row, int pieces = 1, int64_t apart = 0) const;
};

// What one instruction streams through; of other instructions than layers it is empty.
struct PackedLayer {
  LinearPanels linear;
  CfcForwardWeights cfc;
  Buffer<uint8_t> quantized;
};

class ProgramWeights {
 public:
  // tensors: as many as the program has, each of the size it says. Copies them. kernels: those that
  // will read them, as panels are as wide as their vectors: for a runner that is there its own,
  // which need not be the active ones any more. Fails where codes are not finite.
  static Status Make(const Program& program, std::span<const void* const> tensors,
                     const CfcKernels& kernels, std::unique_ptr<const ProgramWeights>* made);

  // What may read them, and nothing else.
  const CfcKernels& kernels() const { return *kernels_; }
  const void* tensor(size_t i) const { return tensors_[i].data(); }
  const PackedLayer& layer(size_t instruction) const { return layers_[instruction]; }

  // For whoever keeps a list of those that are out of use.
  mutable const ProgramWeights* behind = nullptr;

 private:
  explicit ProgramWeights(const CfcKernels& kernels) : kernels_(&kernels) {}

  Status Pack(const Program& program, const Instruction& instruction, PackedLayer* layer) const;
  Status PackQuantized(const Instruction& instruction, PackedLayer* layer) const;

  const CfcKernels* kernels_;
  std::vector<Buffer<uint8_t>> tensors_;
  std::vector<PackedLayer> layers_;
};

// Sizes of the layer that a kCfc instruction is.
CfcShape CfcShapeOf(const Instruction& instruction, const Program& program);
// Sizes and format of the layer that a quantised kLinear instruction is.
WeightShape WeightShapeOf(const Instruction& instruction);

}  // namespace metabonk::nn
