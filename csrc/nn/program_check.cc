#include "nn/program_check.h"

#include <algorithm>

#include "nn/radar.h"
#include "nn/weights.h"

namespace metabonk::nn {

namespace {

constexpr Status Wrong(const char* where) {
  return {Code::kCorrupt, where, "not what this instruction takes: compile the policy again"};
}

bool SameSizes(const View& a, const View& b) {
  return a.rank == b.rank && std::equal(a.sizes.begin(), a.sizes.begin() + a.rank, b.sizes.begin());
}

bool Is(const View& view, Type type) { return view.type == type; }

// The instruction and what its program says of tensors.
class Checker {
 public:
  Checker(const Instruction& instruction, const Program& program)
      : op_(instruction), program_(program) {}

  Status Check() const;

 private:
  const View& y() const { return op_.views[0]; }
  const View& x(size_t i = 1) const { return op_.views[i]; }

  bool Counts(size_t views, size_t integers, size_t numbers) const {
    return op_.views.size() == views && op_.integers.size() == integers &&
           op_.numbers.size() == numbers;
  }
  template <typename Kind>
  bool Names() const {  // the first integer is one of Kind
    return op_.integers[0] >= 0 && op_.integers[0] < static_cast<int64_t>(Kind::kCount);
  }
  bool AllSameSizes() const {
    return std::all_of(op_.views.begin(), op_.views.end(),
                       [&](const View& view) { return SameSizes(view, y()); });
  }
  // The sizes of y are those of `view` but for the last axis.
  bool WithoutLast(const View& view) const {
    return view.rank == y().rank + 1 &&
           std::equal(y().sizes.begin(), y().sizes.begin() + y().rank, view.sizes.begin());
  }
  bool AllFloats() const {
    return std::all_of(op_.views.begin(), op_.views.end(),
                       [](const View& view) { return Is(view, Type::kF32); });
  }
  // Whether integer i is a tensor of this type and so many numbers.
  bool Tensor(size_t i, Type type, int64_t count) const {
    const int64_t place = op_.integers[i];
    if (place < 0 || place >= static_cast<int64_t>(program_.tensors.size())) return false;
    const Slot& slot = program_.tensors[static_cast<size_t>(place)];
    return slot.type == type && slot.count() == count;
  }
  int64_t Reach(const View& view, int64_t axis, int64_t stride) const;

  Status UnaryOp() const;
  Status BinaryOp() const;
  Status ReduceOp() const;
  Status GatherOp(const View& wide) const;
  Status WeightsOf(int64_t outputs, int64_t inputs) const;
  Status LinearOp() const;
  Status ConvolveOp() const;
  Status CfcOp() const;
  Status RadarOp() const;

  const Instruction& op_;
  const Program& program_;
};

Status Checker::UnaryOp() const {
  if (!Counts(2, 1, 2) || !Names<Unary>() || !AllSameSizes()) return Wrong("unary");
  const bool logic = static_cast<Unary>(op_.integers[0]) == Unary::kNot;
  const Type type = logic ? Type::kU8 : Type::kF32;
  return Is(y(), type) && Is(x(), type) ? Status::Ok() : Wrong("unary");
}

Status Checker::BinaryOp() const {
  if (!Counts(3, 1, 0) || !Names<Binary>() || !AllSameSizes()) return Wrong("binary");
  if (x(1).type != x(2).type) return Wrong("binary");
  const auto which = static_cast<Binary>(op_.integers[0]);
  if (which >= Binary::kAnd)
    return Is(y(), Type::kU8) && Is(x(), Type::kU8) ? Status::Ok() : Wrong("and, or");
  if (Is(x(), Type::kU8)) return Wrong("binary");
  if (which == Binary::kDivide && Is(x(), Type::kI32)) return Wrong("division of integers");
  const bool compares = which >= Binary::kEqual;
  return y().type == (compares ? Type::kU8 : x().type) ? Status::Ok() : Wrong("binary");
}

Status Checker::ReduceOp() const {
  if (!Counts(2, 1, 0) || !Names<Reduction>() || !WithoutLast(x())) return Wrong("reduce");
  switch (static_cast<Reduction>(op_.integers[0])) {
    case Reduction::kSum:
      if (Is(x(), Type::kU8)) return Is(y(), Type::kI32) ? Status::Ok() : Wrong("reduce");
      break;
    case Reduction::kArgmax:
      return Is(x(), Type::kF32) && Is(y(), Type::kI32) ? Status::Ok() : Wrong("reduce");
    case Reduction::kAny:
      return Is(x(), Type::kU8) && Is(y(), Type::kU8) ? Status::Ok() : Wrong("reduce");
    default:
      break;
  }
  return AllFloats() ? Status::Ok() : Wrong("reduce");
}

// wide: the view whose memory spreads along the chosen axis.
Status Checker::GatherOp(const View& wide) const {
  if (!Counts(3, 2, 0) || !AllSameSizes() || x(1).type != y().type || !Is(x(2), Type::kI32)) {
    return Wrong("gather");
  }
  const int64_t axis = op_.integers[0], stride = op_.integers[1];
  constexpr int64_t kMost = int64_t{1} << 31;
  if (axis < 1 || axis > kMost || stride < 0 || stride > kMost) return Wrong("gather");
  int64_t last = wide.offset + (axis - 1) * stride;
  for (int i = 0; i < wide.rank; ++i) last += (wide.sizes[i] - 1) * wide.strides[i];
  const Slot* tensor = program_.tensor(wide);
  int64_t capacity = 0;
  if (wide.base == 0) {
    capacity = program_.arena_bytes / SizeOf(wide.type);
  } else {
    capacity = (tensor ? *tensor : program_.inputs[static_cast<size_t>(wide.base) - 1]).count();
  }
  return last < capacity ? Status::Ok() : Wrong("gather");
}

// The integers of a layer, whose weights are [outputs, inputs].
Status Checker::WeightsOf(int64_t outputs, int64_t inputs) const {
  const int64_t format = op_.integers[3];
  if (op_.integers[2] < 0 || op_.integers[2] >= static_cast<int64_t>(Activation::kCount)) {
    return Wrong("activation");
  }
  if (op_.integers[1] != -1 && !Tensor(1, Type::kF32, outputs)) return Wrong("bias");
  if (format == -1) {
    return Tensor(0, Type::kF32, outputs * inputs) ? Status::Ok() : Wrong("weight");
  }
  if (format < 0 || format >= static_cast<int64_t>(WeightFormat::kCount)) return Wrong("format");
  if (inputs > kInputsMax) return Wrong("format");
  const auto tensors = static_cast<int64_t>(program_.tensors.size());
  for (const size_t i : {4, 5}) {  // those that the format has no use for are looked up too
    if (op_.integers[i] < -1 || op_.integers[i] >= tensors) return Wrong("scales");
  }
  const auto kind = static_cast<WeightFormat>(format);
  const auto wide = static_cast<int>(inputs);
  if (!Tensor(0, Type::kU8, outputs * CodeBytes(kind, wide))) return Wrong("codes");
  if (kind != WeightFormat::kBf16 && !Tensor(4, Type::kU8, outputs * ScaleBytes(kind, wide))) {
    return Wrong("scales");
  }
  if (kind == WeightFormat::kNvfp4 && !Tensor(5, Type::kF32, 1)) return Wrong("tensor scale");
  return Status::Ok();
}

Status Checker::LinearOp() const {
  if (!Counts(2, 6, 0) || !AllFloats() || y().rank != 2 || x().rank != 2) return Wrong("linear");
  const int64_t rows = y().sizes[0], outputs = y().sizes[1], inputs = x().sizes[1];
  if (x().sizes[0] != rows || outputs > kOutputsMax || inputs > kInputsMax || rows > (1 << 30)) {
    return Wrong("linear");
  }
  if ((inputs > 1 && x().strides[1] != 1) || (outputs > 1 && y().strides[1] != 1)) {
    return Wrong("linear");
  }
  if (op_.integers[3] != -1 && (!x().dense() || !y().dense())) return Wrong("linear");
  return WeightsOf(outputs, inputs);
}

Status Checker::ConvolveOp() const {
  if (!Counts(2, 6, 0) || !AllFloats() || y().rank != 4 || x().rank != 5 || !y().dense()) {
    return Wrong("convolve");
  }
  if (!std::equal(y().sizes.begin(), y().sizes.begin() + 3, x().sizes.begin())) {
    return Wrong("convolve");
  }
  const int64_t outputs = y().sizes[3], high = x().sizes[3], wide = x().sizes[4];
  constexpr int64_t kMost = 1 << 24;
  if (outputs > kOutputsMax || y().sizes[2] > kMost || (wide > 1 && x().strides[4] != 1)) {
    return Wrong("convolve");
  }
  if (high > kInputsMax || wide > kInputsMax || high * wide > kInputsMax * 16) {
    return Wrong("convolve");
  }
  return WeightsOf(outputs, high * wide);
}

Status Checker::CfcOp() const {
  if (op_.integers.size() != 6 || !op_.numbers.empty() || !AllFloats()) return Wrong("cfc");
  const auto flag = [&](size_t i) { return op_.integers[i] == 0 || op_.integers[i] == 1; };
  if (!flag(4) || !flag(5)) return Wrong("cfc");
  const auto extra = static_cast<size_t>(op_.integers[4] + op_.integers[5]);
  if (op_.views.size() != 3 + extra || y().rank != 2 || x().rank != 2) return Wrong("cfc");
  for (const View& view : op_.views) {
    if (!view.dense() || view.rank == 0 || view.sizes[0] != y().sizes[0]) return Wrong("cfc");
  }
  const int64_t hidden = y().sizes[1], inputs = x().sizes[1];
  for (size_t i = 3; i < op_.views.size(); ++i) {
    if (x(i).count() != y().sizes[0]) return Wrong("cfc");
  }
  if (!SameSizes(x(2), y()) || std::max({hidden, inputs, y().sizes[0]}) > (1 << 20)) {
    return Wrong("cfc");
  }
  const int64_t place = op_.integers[1];
  if (place < 0 || place >= static_cast<int64_t>(program_.tensors.size())) return Wrong("cfc");
  const int64_t backbone = program_.tensors[static_cast<size_t>(place)].count();
  const bool fits = backbone >= 1 && backbone < (1 << 20) && Tensor(1, Type::kF32, backbone) &&
                    Tensor(0, Type::kF32, backbone * (inputs + hidden)) &&
                    Tensor(2, Type::kF32, 4 * hidden * backbone) &&
                    Tensor(3, Type::kF32, 4 * hidden);
  return fits ? Status::Ok() : Wrong("cfc");
}

Status Checker::RadarOp() const {
  if (op_.views.size() != 3 || !op_.integers.empty()) return Wrong("radar");
  const View &rows = x(1), &mask = x(2);
  const auto rings = static_cast<int64_t>(op_.numbers.size()) - 1;
  const bool fits = rings >= 1 && rings <= kRadarRingsMax && rows.rank == 3 && mask.rank == 2 &&
                    y().rank == 3 && rows.sizes[2] >= 3 && Is(rows, Type::kF32) &&
                    Is(y(), Type::kF32) && Is(mask, Type::kU8) && rows.dense() && mask.dense() &&
                    y().dense() && mask.sizes[0] == rows.sizes[0] &&
                    mask.sizes[1] == rows.sizes[1] && y().sizes[0] == rows.sizes[0] &&
                    y().sizes[1] == kRadarSectors * rings && y().sizes[2] == rows.sizes[2] - 1 &&
                    std::max(rows.sizes[1], rows.sizes[2]) < (1 << 20);
  return fits ? Status::Ok() : Wrong("radar");
}

Status Checker::Check() const {
  if (op_.views.empty() || y().base != 0) return Wrong("result");
  const bool floats = AllFloats();
  switch (op_.opcode) {
    case Opcode::kCopy:
      return Counts(2, 0, 0) && AllSameSizes() ? Status::Ok() : Wrong("copy");
    case Opcode::kUnary:
      return UnaryOp();
    case Opcode::kBinary:
      return BinaryOp();
    case Opcode::kWhere:
      return Counts(4, 0, 0) && AllSameSizes() && Is(x(1), Type::kU8) && x(2).type == y().type &&
                     x(3).type == y().type
                 ? Status::Ok()
                 : Wrong("where");
    case Opcode::kReduce:
      return ReduceOp();
    case Opcode::kScan:
      return Counts(2, 0, 0) && AllSameSizes() && floats && y().rank > 0 ? Status::Ok()
                                                                         : Wrong("scan");
    case Opcode::kSoftmax:
      return Counts(2, 1, 0) && AllSameSizes() && floats && y().rank > 0 ? Status::Ok()
                                                                         : Wrong("softmax");
    case Opcode::kGather:
      return op_.views.size() == 3 ? GatherOp(x(1)) : Wrong("gather");
    case Opcode::kScatterAdd:
      return floats || op_.views.size() != 3 || !Is(y(), Type::kF32) ? Wrong("scatter")
                                                                     : GatherOp(y());
    case Opcode::kLinear:
      return LinearOp();
    case Opcode::kCfc:
      return CfcOp();
    case Opcode::kRadar:
      return RadarOp();
    case Opcode::kConvolve:
      return ConvolveOp();
    default:
      return Wrong("opcode");
  }
}

}  // namespace

Status CheckInstruction(const Instruction& instruction, const Program& program) {
  return Checker(instruction, program).Check();
}

}  // namespace metabonk::nn
