#include "nn/program_weights.h"

#include <algorithm>
#include <cstring>

namespace metabonk::nn {

namespace {

constexpr size_t kTail = 64;  // so that what is empty has an address too

}  // namespace

void LinearPanels::Pack(const float* weight, int rows, int columns) {
  outputs = rows;
  inputs = columns;
  float* to = data.Reserve(static_cast<size_t>(outputs) * static_cast<size_t>(inputs) + kTail);
  for (int first = 0; first < outputs; first += kWidth) {
    const int width = std::min(kWidth, outputs - first);
    for (int k = 0; k < inputs; ++k) {
      for (int n = 0; n < width; ++n) *to++ = weight[int64_t{first + n} * inputs + k];
    }
  }
}

void LinearPanels::AddProduct(const CfcKernels& kernels, int rows, const float* x, int64_t x_row,
                              float* y, int64_t y_row, int pieces, int64_t apart) const {
  for (int output = 0; output < outputs; output += kWidth) {
    const int width = std::min(kWidth, outputs - output);
    const float* panel = data.data() + int64_t{output} * inputs;
    kernels.multiply({rows, width, inputs / pieces, x, x_row, 1, panel, width, y + output, y_row,
                      pieces, apart});
  }
}

CfcShape CfcShapeOf(const Instruction& instruction, const Program& program) {
  const auto backbone = program.tensors[static_cast<size_t>(instruction.integers[1])].count();
  return {static_cast<int>(instruction.views[1].sizes[1]),
          static_cast<int>(instruction.views[0].sizes[1]), static_cast<int>(backbone)};
}

WeightShape WeightShapeOf(const Instruction& instruction) {
  const Sizes &y = instruction.views[0].sizes, &x = instruction.views[1].sizes;
  const bool places = instruction.opcode == Opcode::kConvolve;
  return {static_cast<WeightFormat>(instruction.integers[3]), static_cast<int>(y[places ? 3 : 1]),
          static_cast<int>(places ? x[3] * x[4] : x[1])};
}

Status ProgramWeights::Make(const Program& program, std::span<const void* const> tensors,
                            const CfcKernels& kernels,
                            std::unique_ptr<const ProgramWeights>* made) {
  if (tensors.size() != program.tensors.size()) {
    return {Code::kInvalidArgument, "tensors", "as many as the program has are wanted"};
  }
  std::unique_ptr<ProgramWeights> weights(new ProgramWeights(kernels));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Slot& slot = program.tensors[i];
    const auto bytes = static_cast<size_t>(slot.count() * SizeOf(slot.type));
    weights->tensors_.emplace_back();
    std::memcpy(weights->tensors_.back().Reserve(bytes + kTail), tensors[i], bytes);
  }
  weights->layers_.resize(program.instructions.size());
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const Status status = weights->Pack(program, program.instructions[i], &weights->layers_[i]);
    if (!status.ok()) return status;
  }
  *made = std::move(weights);
  return Status::Ok();
}

Status ProgramWeights::Pack(const Program& program, const Instruction& instruction,
                            PackedLayer* layer) const {
  const auto floats = [&](size_t i) {
    return static_cast<const float*>(tensor(static_cast<size_t>(instruction.integers[i])));
  };
  if (instruction.opcode == Opcode::kCfc) {
    const CfcWeights weights{floats(0), floats(1), floats(2), floats(3)};
    layer->cfc.Pack(CfcShapeOf(instruction, program), weights, kernels_->lanes);
  } else if (instruction.opcode == Opcode::kLinear || instruction.opcode == Opcode::kConvolve) {
    if (instruction.integers[3] >= 0) return PackQuantized(instruction, layer);
    const WeightShape shape = WeightShapeOf(instruction);
    layer->linear.Pack(floats(0), shape.outputs, shape.inputs);
  }
  return Status::Ok();
}

Status ProgramWeights::PackQuantized(const Instruction& instruction, PackedLayer* layer) const {
  const auto part = [&](size_t i) -> void* {
    const int64_t place = instruction.integers[i];
    return place < 0 ? nullptr : tensors_[static_cast<size_t>(place)].data();
  };
  const WeightShape shape = WeightShapeOf(instruction);
  const WeightArrays arrays{static_cast<uint8_t*>(part(0)), static_cast<uint8_t*>(part(4)),
                            static_cast<float*>(part(5))};
  if (const Status status = CheckCodes(shape, arrays); !status.ok()) return status;
  const PanelLayout layout(shape);
  PackPanels(layout, arrays, layer->quantized.Reserve(static_cast<size_t>(layout.bytes())));
  return Status::Ok();
}

}  // namespace metabonk::nn
