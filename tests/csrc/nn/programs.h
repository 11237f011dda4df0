// Programs for tests: a small pilot that carries a state, one program with every instruction, and
// the words of any program, as metabonk/play/program.py writes them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/program.h"
#include "nn/program_weights.h"
#include "nn/radar.h"
#include "support/random.h"

namespace metabonk::nn {

inline Sizes SizesOf(std::initializer_list<int64_t> list) {
  Sizes sizes{};
  std::copy(list.begin(), list.end(), sizes.begin());
  return sizes;
}

inline View DenseView(int base, Type type, int64_t offset, std::initializer_list<int64_t> list) {
  View view{base, type, static_cast<int>(list.size()), offset, SizesOf(list), {}};
  int64_t step = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    view.strides[static_cast<size_t>(i)] = step;
    step *= view.sizes[static_cast<size_t>(i)];
  }
  return view;
}

// Collects a program; memory of the arena is given out once and never again.
class ProgramMaker {
 public:
  int Input(const char* name, Type type, std::initializer_list<int64_t> sizes) {
    made_.inputs.push_back({name, type, static_cast<int>(sizes.size()), SizesOf(sizes)});
    return static_cast<int>(made_.inputs.size());
  }
  // The number of the tensor; its base follows from how many inputs there are.
  int64_t Tensor(const char* name, Type type, std::initializer_list<int64_t> sizes) {
    made_.tensors.push_back({name, type, static_cast<int>(sizes.size()), SizesOf(sizes)});
    return static_cast<int64_t>(made_.tensors.size()) - 1;
  }
  View Fresh(Type type, std::initializer_list<int64_t> sizes) {
    View view = DenseView(0, type, bytes_ / SizeOf(type), sizes);
    bytes_ += (view.count() * SizeOf(type) + 63) / 64 * 64;
    return view;
  }
  View Emit(Opcode opcode, std::vector<View> views, std::vector<int64_t> integers = {},
            std::vector<double> numbers = {}) {
    made_.instructions.push_back({opcode, views, std::move(integers), std::move(numbers)});
    return views[0];
  }
  void Output(const char* name, const View& view) { made_.outputs.push_back({name, view}); }
  void State(const char* name, const View& view) { made_.states.push_back({name, view}); }
  Program Finish() {
    made_.arena_bytes = bytes_;
    return made_;
  }

 private:
  Program made_{};
  int64_t bytes_ = 0;
};

// action [rows, columns] = tanh(h W^T + b) + uniform, h = cfc(observation, h), forgotten where
// is_first.
inline Program Pilot(int64_t rows, int64_t columns = 3) {
  constexpr int64_t kInputs = 5, kHidden = 7, kBackbone = 6;
  ProgramMaker make;
  const View observation = DenseView(make.Input("observation", Type::kF32, {rows, kInputs}),
                                     Type::kF32, 0, {rows, kInputs});
  const View first = DenseView(make.Input("is_first", Type::kU8, {rows}), Type::kU8, 0, {rows});
  const View uniform =
      DenseView(make.Input("uniform", Type::kF32, {rows, columns}), Type::kF32, 0, {rows, columns});
  const int64_t w = make.Tensor("cfc.w", Type::kF32, {kBackbone, kInputs + kHidden});
  const int64_t b = make.Tensor("cfc.b", Type::kF32, {kBackbone});
  const int64_t v = make.Tensor("cfc.v", Type::kF32, {4 * kHidden, kBackbone});
  const int64_t c = make.Tensor("cfc.c", Type::kF32, {4 * kHidden});
  const int64_t head = make.Tensor("head.weight", Type::kF32, {columns, kHidden});
  const int64_t bias = make.Tensor("head.bias", Type::kF32, {columns});
  const View state = make.Fresh(Type::kF32, {rows, kHidden});
  const View later = make.Fresh(Type::kU8, {rows}), keep = make.Fresh(Type::kF32, {rows});
  const View h = make.Fresh(Type::kF32, {rows, kHidden});
  const View mean = make.Fresh(Type::kF32, {rows, columns});
  const View action = make.Fresh(Type::kF32, {rows, columns});
  make.Emit(Opcode::kUnary, {later, first}, {static_cast<int64_t>(Unary::kNot)}, {0, 0});
  make.Emit(Opcode::kCopy, {keep, later});
  make.Emit(Opcode::kCfc, {h, observation, state, keep}, {w, b, v, c, 0, 1});
  make.Emit(Opcode::kLinear, {mean, h},
            {head, bias, static_cast<int64_t>(Activation::kTanh), -1, -1, -1});
  make.Emit(Opcode::kBinary, {action, mean, uniform}, {static_cast<int64_t>(Binary::kAdd)});
  make.Emit(Opcode::kCopy, {state, h});
  make.Output("action", action);
  make.State("h", state);
  return make.Finish();
}

// Every opcode, over an input of floats [4, 6], one of bytes and one of places.
inline Program Everything() {
  ProgramMaker make;
  constexpr Type kF = Type::kF32, kI = Type::kI32, kB = Type::kU8;
  const View x = DenseView(make.Input("x", kF, {4, 6}), kF, 0, {4, 6});
  const View truth = DenseView(make.Input("truth", kB, {4, 6}), kB, 0, {4, 6});
  const View places = DenseView(make.Input("places", kI, {4, 6}), kI, 0, {4, 6});
  make.Input("normal", kF, {4, 3});
  const int64_t weight = make.Tensor("weight", kF, {8, 6}), bias = make.Tensor("bias", kF, {8});
  const int64_t codes = make.Tensor("codes", kB, {8 * CodeBytes(WeightFormat::kInt8, 6)});
  const int64_t scales = make.Tensor("scales", kB, {8 * ScaleBytes(WeightFormat::kInt8, 6)});
  const int64_t w = make.Tensor("w", kF, {3, 6 + 2}), b = make.Tensor("b", kF, {3});
  const int64_t v = make.Tensor("v", kF, {8, 3}), c = make.Tensor("c", kF, {8});
  const auto floats = [&] { return make.Fresh(kF, {4, 6}); };
  const auto which = [](auto kind) { return std::vector<int64_t>{static_cast<int64_t>(kind)}; };
  const View soft = make.Emit(Opcode::kSoftmax, {floats(), x}, {0});
  make.Emit(Opcode::kSoftmax, {floats(), soft}, {1});
  make.Emit(Opcode::kUnary, {floats(), x}, which(Unary::kSilu), {0, 0});
  make.Emit(Opcode::kUnary, {floats(), x}, which(Unary::kClamp), {-1, 1});
  make.Emit(Opcode::kBinary, {floats(), soft, x}, which(Binary::kMultiply));
  make.Emit(Opcode::kBinary, {make.Fresh(kB, {4, 6}), soft, x}, which(Binary::kLess));
  make.Emit(Opcode::kBinary, {make.Fresh(kI, {4, 6}), places, places}, which(Binary::kMinimum));
  make.Emit(Opcode::kWhere, {floats(), truth, soft, x});
  make.Emit(Opcode::kReduce, {make.Fresh(kF, {4}), x}, which(Reduction::kSum));
  make.Emit(Opcode::kReduce, {make.Fresh(kI, {4}), x}, which(Reduction::kArgmax));
  make.Emit(Opcode::kReduce, {make.Fresh(kI, {4}), truth}, which(Reduction::kSum));
  make.Emit(Opcode::kReduce, {make.Fresh(kB, {4}), truth}, which(Reduction::kAny));
  make.Emit(Opcode::kScan, {floats(), x});
  View wide = x;  // row by row, its stride along the chosen axis is 0
  wide.strides[1] = 0;
  make.Emit(Opcode::kGather, {floats(), wide, places}, {6, 1});
  const View sums = make.Emit(Opcode::kCopy, {floats(), x});
  View into = sums;
  into.strides[1] = 0;
  make.Emit(Opcode::kScatterAdd, {into, x, places}, {6, 1});
  const View layer = make.Fresh(kF, {4, 8});
  make.Emit(Opcode::kLinear, {layer, x}, {weight, bias, 2, -1, -1, -1});
  make.Emit(Opcode::kLinear, {make.Fresh(kF, {4, 8}), x},
            {codes, bias, 0, static_cast<int64_t>(WeightFormat::kInt8), scales, -1});
  const int64_t filter = make.Tensor("filter", kF, {3, 4}), shift = make.Tensor("shift", kF, {3});
  const View seen{x.base, kF, 5, 0, SizesOf({2, 1, 5, 2, 2}), SizesOf({12, 6, 1, 6, 1})};
  make.Emit(Opcode::kConvolve, {make.Fresh(kF, {2, 1, 5, 3}), seen},
            {filter, shift, 2, -1, -1, -1});
  const int64_t few = make.Tensor("few", kB, {3 * CodeBytes(WeightFormat::kInt8, 4)});
  const int64_t steps = make.Tensor("steps", kB, {3 * ScaleBytes(WeightFormat::kInt8, 4)});
  make.Emit(Opcode::kConvolve, {make.Fresh(kF, {2, 1, 5, 3}), seen},
            {few, shift, 0, static_cast<int64_t>(WeightFormat::kInt8), steps, -1});
  const View h = make.Fresh(kF, {4, 2}), next = make.Fresh(kF, {4, 2});
  const View dt = make.Fresh(kF, {4}), keep = make.Fresh(kF, {4});
  make.Emit(Opcode::kCfc, {next, x, h, dt, keep}, {w, b, v, c, 1, 1});
  make.Emit(Opcode::kCopy, {h, next});
  const View rows = make.Fresh(kF, {4, 2, 3});
  make.Emit(Opcode::kCopy, {rows, DenseView(x.base, kF, 0, {4, 2, 3})});
  const View mask = make.Fresh(kB, {4, 2});
  make.Emit(Opcode::kCopy, {mask, DenseView(truth.base, kB, 0, {4, 2})});
  make.Emit(Opcode::kRadar, {make.Fresh(kF, {4, kRadarSectors, 2}), rows, mask}, {}, {4.0, 9.0});
  make.Output("action", layer);
  make.State("h", h);
  return make.Finish();
}

inline std::vector<int64_t> WordsOf(const Program& program) {
  std::vector<int64_t> words{kProgramMagic, kProgramVersion, program.arena_bytes};
  const auto put = [&](auto value) { words.push_back(static_cast<int64_t>(value)); };
  const auto sizes = [&](const Sizes& list, int rank) {
    for (int i = 0; i < rank; ++i) put(list[static_cast<size_t>(i)]);
  };
  const auto name = [&](const std::string& text) {
    put(text.size());
    for (const char c : text) put(c);
  };
  const auto view = [&](const View& v) {
    put(v.base), put(v.type), put(v.offset), put(v.rank);
    sizes(v.sizes, v.rank), sizes(v.strides, v.rank);
  };
  for (const auto* slots : {&program.inputs, &program.tensors}) {
    put(slots->size());
    for (const Slot& slot : *slots) {
      name(slot.name), put(slot.type), put(slot.rank), sizes(slot.sizes, slot.rank);
    }
  }
  for (const auto* places : {&program.outputs, &program.states}) {
    put(places->size());
    for (const Place& place : *places) name(place.name), view(place.view);
  }
  put(program.instructions.size());
  for (const Instruction& it : program.instructions) {
    put(it.opcode), put(it.views.size());
    for (const View& v : it.views) view(v);
    put(it.integers.size());
    for (const int64_t integer : it.integers) put(integer);
    put(it.numbers.size());
    for (const double number : it.numbers) put(std::bit_cast<int64_t>(number));
  }
  return words;
}

// Numbers for the tensors of a program: floats in [-0.5, 0.5), bytes and places that every format
// takes for small ones.
class TensorData {
 public:
  explicit TensorData(const Program& program, uint64_t seed = 1) {
    for (const Slot& slot : program.tensors) {
      const auto count = static_cast<size_t>(slot.count());
      std::vector<float>& data = data_.emplace_back(count + 1);  // enough for any type
      for (size_t i = 0; i < count; ++i) {
        const uint64_t draw = HashDraw(seed, next_++);
        if (slot.type == Type::kF32) {
          data[i] = UnitFloat(draw) - 0.5f;
        } else {
          reinterpret_cast<uint8_t*>(data.data())[i] = static_cast<uint8_t>(draw & 0x33);
        }
      }
    }
    for (const auto& data : data_) addresses_.push_back(data.data());
  }
  const std::vector<const void*>& addresses() const { return addresses_; }

 private:
  uint64_t next_ = 0;
  std::vector<std::vector<float>> data_;
  std::vector<const void*> addresses_;
};

inline std::unique_ptr<const ProgramWeights> WeightsOf(
    const Program& program, uint64_t seed = 1, const CfcKernels& kernels = ActiveCfcKernels()) {
  const TensorData data(program, seed);
  std::unique_ptr<const ProgramWeights> weights;
  if (!ProgramWeights::Make(program, data.addresses(), kernels, &weights).ok()) return nullptr;
  return weights;
}

}  // namespace metabonk::nn
