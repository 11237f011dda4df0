// From instructions to their bound forms: functions of elements become loops, layers the kernels
// of cfc.h, qlinear.h and radar.h.
#include <algorithm>
#include <cstring>

#include "nn/loops.h"
#include "nn/radar.h"
#include "nn/runner.h"

namespace metabonk::nn {

namespace {

struct Operand {
  explicit Operand(const View& view)
      : base(static_cast<size_t>(view.base)), bytes(view.offset * SizeOf(view.type)) {}

  void* In(const Frame& frame) const { return static_cast<char*>(frame.bases[base]) + bytes; }

  size_t base;
  int64_t bytes;
};

class BoundLoop : public Bound {
 public:
  BoundLoop(Kernel kernel, const Instruction& instruction, int axis)
      : loop_(kernel, instruction.views.data(), static_cast<int>(instruction.views.size()), axis) {
    for (const View& view : instruction.views) operands_.emplace_back(view);
  }
  Loop& loop() { return loop_; }

  void Run(Frame* frame) override {
    void* at[kOperandsMax];
    for (size_t k = 0; k < operands_.size(); ++k) at[k] = operands_[k].In(*frame);
    loop_(at, &frame->fault);
  }

 private:
  Loop loop_;
  std::vector<Operand> operands_;
};

// Writes the bias, or zeros, where there is none, into `rows` rows y_row apart.
void BeginRows(const void* bias, int64_t rows, int64_t outputs, float* y, int64_t y_row) {
  const auto bytes = static_cast<size_t>(outputs) * sizeof(float);
  for (int64_t r = 0; r < rows; ++r) {
    if (bias != nullptr) {
      std::memcpy(y + r * y_row, bias, bytes);
    } else {
      std::memset(y + r * y_row, 0, bytes);
    }
  }
}

// y = f(x W^T + b) for float32 weights.
class BoundLinear : public Bound {
 public:
  BoundLinear(const Program& program, size_t i)
      : instruction_(i),
        x_(program.instructions[i].views[1]),
        y_(program.instructions[i].views[0]) {
    const Instruction& it = program.instructions[i];
    rows_ = static_cast<int>(it.views[0].sizes[0]);
    outputs_ = it.views[0].sizes[1];
    x_row_ = it.views[1].strides[0];
    y_row_ = it.views[0].strides[0];
    if (it.integers[1] >= 0)
      bias_ = 1 + program.inputs.size() + static_cast<size_t>(it.integers[1]);
  }

  void Run(Frame* frame) override {
    auto* y = static_cast<float*>(y_.In(*frame));
    BeginRows(bias_ == 0 ? nullptr : frame->bases[bias_], rows_, outputs_, y, y_row_);
    frame->weights->layer(instruction_)
        .linear.AddProduct(frame->weights->kernels(), rows_,
                           static_cast<const float*>(x_.In(*frame)), x_row_, y, y_row_);
  }

 private:
  size_t instruction_, bias_ = 0;
  Operand x_, y_;
  int rows_;
  int64_t outputs_, x_row_, y_row_;
};

// A convolution: every row of places is a product whose pieces are rows of the kernel, over x as it
// lies.
class BoundConvolve : public Bound {
 public:
  BoundConvolve(const Program& program, size_t i)
      : instruction_(i),
        x_(program.instructions[i].views[1]),
        y_(program.instructions[i].views[0]),
        view_(program.instructions[i].views[1]),
        outputs_(program.instructions[i].views[0].sizes[3]) {
    const int64_t bias = program.instructions[i].integers[1];
    if (bias >= 0) bias_ = 1 + program.inputs.size() + static_cast<size_t>(bias);
  }

  void Run(Frame* frame) override {
    const LinearPanels& panels = frame->weights->layer(instruction_).linear;
    const CfcKernels& kernels = frame->weights->kernels();
    const auto* x = static_cast<const float*>(x_.In(*frame));
    auto* y = static_cast<float*>(y_.In(*frame));
    const int64_t batch = view_.sizes[0], rows = view_.sizes[1], columns = view_.sizes[2];
    const int64_t high = view_.sizes[3];
    BeginRows(bias_ == 0 ? nullptr : frame->bases[bias_], batch * rows * columns, outputs_, y,
              outputs_);
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t r = 0; r < rows; ++r) {
        const float* from = x + b * view_.strides[0] + r * view_.strides[1];
        panels.AddProduct(kernels, static_cast<int>(columns), from, view_.strides[2],
                          y + (b * rows + r) * columns * outputs_, outputs_, static_cast<int>(high),
                          view_.strides[3]);
      }
    }
  }

 private:
  size_t instruction_, bias_ = 0;
  Operand x_, y_;
  View view_;
  int64_t outputs_;
};

// The same for quantised weights, whose engine has kernels of its own.
class BoundQuantized : public Bound {
 public:
  BoundQuantized(const Program& program, size_t i)
      : shape_(WeightShapeOf(program.instructions[i])),
        instruction_(i),
        rows_(program.instructions[i].views[0].sizes[0]),
        x_(program.instructions[i].views[1]),
        y_(program.instructions[i].views[0]) {
    const int64_t bias = program.instructions[i].integers[1];
    if (bias >= 0) bias_ = 1 + program.inputs.size() + static_cast<size_t>(bias);
    engine_.Prepare({shape_, nullptr, nullptr}, rows_);
  }

  void Run(Frame* frame) override {
    const auto* bias = bias_ == 0 ? nullptr : static_cast<const float*>(frame->bases[bias_]);
    const uint8_t* panels = frame->weights->layer(instruction_).quantized.data();
    engine_.Forward({shape_, panels, bias}, rows_, static_cast<const float*>(x_.In(*frame)),
                    static_cast<float*>(y_.In(*frame)));
  }

 private:
  QLinearEngine engine_{1, true};  // a batch may be acted in any number of parts
  WeightShape shape_;
  size_t instruction_, bias_ = 0;
  int64_t rows_;
  Operand x_, y_;
};

// A convolution with quantised weights: what some places see becomes rows, as those of a layer.
class BoundQuantizedConvolve : public Bound {
 public:
  BoundQuantizedConvolve(const Program& program, size_t i)
      : shape_(WeightShapeOf(program.instructions[i])),
        instruction_(i),
        x_(program.instructions[i].views[1]),
        y_(program.instructions[i].views[0]),
        view_(program.instructions[i].views[1]) {
    const int64_t bias = program.instructions[i].integers[1];
    if (bias >= 0) bias_ = 1 + program.inputs.size() + static_cast<size_t>(bias);
    places_ = view_.sizes[0] * view_.sizes[1] * view_.sizes[2];
    engine_.Prepare({shape_, nullptr, nullptr}, kPlaces);
    rows_.Reserve(static_cast<size_t>(kPlaces) * static_cast<size_t>(shape_.inputs));
  }

  void Run(Frame* frame) override {
    const auto* bias = bias_ == 0 ? nullptr : static_cast<const float*>(frame->bases[bias_]);
    const QWeights weights{shape_, frame->weights->layer(instruction_).quantized.data(), bias};
    const auto* x = static_cast<const float*>(x_.In(*frame));
    auto* y = static_cast<float*>(y_.In(*frame));
    for (int64_t first = 0; first < places_; first += kPlaces) {
      const int64_t count = std::min(kPlaces, places_ - first);
      for (int64_t i = 0; i < count; ++i) See(x, first + i, rows_.data() + i * shape_.inputs);
      engine_.Forward(weights, count, rows_.data(), y + first * shape_.outputs);
    }
  }

 private:
  static constexpr int64_t kPlaces = 64;  // that the engine takes together

  // What a place sees, row after row.
  void See(const float* x, int64_t place, float* to) const {
    const int64_t column = place % view_.sizes[2], line = place / view_.sizes[2];
    const float* from = x + line / view_.sizes[1] * view_.strides[0] +
                        line % view_.sizes[1] * view_.strides[1] + column * view_.strides[2];
    const int64_t wide = view_.sizes[4];
    for (int64_t k = 0; k < view_.sizes[3]; ++k, from += view_.strides[3], to += wide) {
      std::memcpy(to, from, static_cast<size_t>(wide) * sizeof(float));
    }
  }

  QLinearEngine engine_{1, true};
  WeightShape shape_;
  size_t instruction_, bias_ = 0;
  Operand x_, y_;
  View view_;
  int64_t places_;
  Buffer<float> rows_;
};

// f over the rows that a layer has written.
class BoundActivation : public Bound {
 public:
  BoundActivation(std::unique_ptr<Bound> layer, const View& y, Kernel kernel)
      : layer_(std::move(layer)), y_(y) {
    const View both[] = {y, y};
    loop_ = Loop(kernel, both, 2, 0);
  }

  void Run(Frame* frame) override {
    layer_->Run(frame);
    void* at[] = {y_.In(*frame), y_.In(*frame)};
    loop_(at, &frame->fault);
  }

 private:
  std::unique_ptr<Bound> layer_;
  Operand y_;
  Loop loop_;
};

class BoundCfc : public Bound {
 public:
  BoundCfc(const Program& program, size_t i)
      : shape_(CfcShapeOf(program.instructions[i], program)),
        instruction_(i),
        rows_(static_cast<int>(program.instructions[i].views[0].sizes[0])) {
    const Instruction& it = program.instructions[i];
    for (const View& view : it.views) operands_.emplace_back(view);
    dt_ = it.integers[4] != 0 ? 3 : 0;
    keep_ = it.integers[5] != 0 ? (dt_ != 0 ? 4 : 3) : 0;
    const auto block = static_cast<size_t>(std::min(rows_, kBlockRows));
    before_.Reserve(block * static_cast<size_t>(shape_.hidden));
    z_.Reserve(block * static_cast<size_t>(shape_.backbone));
  }

  void Run(Frame* frame) override {
    const auto at = [&](size_t k) { return static_cast<float*>(operands_[k].In(*frame)); };
    for (int first = 0; first < rows_; first += kBlockRows) {
      CfcRows rows{};
      rows.shape = shape_;
      rows.rows = std::min(kBlockRows, rows_ - first);
      rows.x = at(1) + int64_t{first} * shape_.inputs;
      rows.before = at(2) + int64_t{first} * shape_.hidden;
      if (keep_ != 0) {
        CfcForget(rows.before, at(keep_) + first, rows.rows, shape_.hidden, before_.data());
        rows.before = before_.data();
      }
      rows.dt = dt_ == 0 ? nullptr : at(dt_) + first;
      rows.out = at(0) + int64_t{first} * shape_.hidden;
      rows.z = z_.data();
      rows.z_stride = shape_.backbone;
      frame->weights->kernels().step(frame->weights->layer(instruction_).cfc, rows);
    }
  }

 private:
  static constexpr int kBlockRows = 96;  // as in cfc.cc: scratch that stays in the cache
  CfcShape shape_;
  size_t instruction_, dt_, keep_;
  int rows_;
  std::vector<Operand> operands_;
  Buffer<float> before_, z_;
};

class BoundRadar : public Bound {
 public:
  explicit BoundRadar(const Instruction& it)
      : y_(it.views[0]), rows_(it.views[1]), mask_(it.views[2]) {
    const View& rows = it.views[1];
    shape_ = {rows.sizes[0], static_cast<int>(rows.sizes[1]), static_cast<int>(rows.sizes[2])};
    reach_ = static_cast<float>(it.numbers[0]);
    for (size_t i = 1; i < it.numbers.size(); ++i) {
      rings_.push_back(static_cast<float>(it.numbers[i]));
    }
  }

  void Run(Frame* frame) override {
    SpreadRadar(shape_, static_cast<const float*>(rows_.In(*frame)),
                static_cast<const uint8_t*>(mask_.In(*frame)), rings_, reach_,
                static_cast<float*>(y_.In(*frame)));
  }

 private:
  RadarShape shape_;
  Operand y_, rows_, mask_;
  float reach_;
  std::vector<float> rings_;
};

std::unique_ptr<Bound> BindLayer(const Program& program, size_t i) {
  const Instruction& it = program.instructions[i];
  std::unique_ptr<Bound> layer;
  if (it.opcode == Opcode::kConvolve && it.integers[3] >= 0) {
    layer = std::make_unique<BoundQuantizedConvolve>(program, i);
  } else if (it.opcode == Opcode::kConvolve) {
    layer = std::make_unique<BoundConvolve>(program, i);
  } else if (it.integers[3] >= 0) {
    layer = std::make_unique<BoundQuantized>(program, i);
  } else {
    layer = std::make_unique<BoundLinear>(program, i);
  }
  constexpr Unary kFunctions[] = {Unary::kAffine, Unary::kTanh, Unary::kRelu, Unary::kSilu};
  if (it.integers[2] == 0) return layer;
  const auto which = static_cast<size_t>(kFunctions[it.integers[2]]);
  return std::make_unique<BoundActivation>(std::move(layer), it.views[0],
                                           ActiveLoops().unary[which]);
}

Kernel KernelOf(const Instruction& it) {
  const LoopKernels& loops = ActiveLoops();
  const auto kind = [&] { return static_cast<size_t>(it.integers[0]); };
  const Type y = it.views[0].type, x = it.views[1].type;
  switch (it.opcode) {
    case Opcode::kCopy:
      return loops.copy[static_cast<size_t>(y)][static_cast<size_t>(x)];
    case Opcode::kUnary:
      return loops.unary[kind()];
    case Opcode::kBinary:
      return x == Type::kI32 ? loops.binary_integers[kind()] : loops.binary[kind()];
    case Opcode::kWhere:
      return y == Type::kU8 ? loops.where_bytes : loops.where_words;
    case Opcode::kReduce:
      return x == Type::kU8 && y == Type::kI32 ? loops.count : loops.reduce[kind()];
    case Opcode::kScan:
      return loops.scan;
    case Opcode::kSoftmax:
      return it.integers[0] != 0 ? loops.log_softmax : loops.softmax;
    case Opcode::kGather:
      return y == Type::kU8 ? loops.gather_bytes : loops.gather_words;
    default:
      return loops.scatter_add;
  }
}

int AxisOf(Opcode opcode) {
  if (opcode == Opcode::kReduce) return -1;
  return opcode == Opcode::kScan || opcode == Opcode::kSoftmax ? 1 : 0;
}

}  // namespace

std::unique_ptr<Bound> Bind(const Program& program, size_t i) {
  const Instruction& it = program.instructions[i];
  switch (it.opcode) {
    case Opcode::kLinear:
    case Opcode::kConvolve:
      return BindLayer(program, i);
    case Opcode::kCfc:
      return std::make_unique<BoundCfc>(program, i);
    case Opcode::kRadar:
      return std::make_unique<BoundRadar>(it);
    default:
      break;
  }
  auto bound = std::make_unique<BoundLoop>(KernelOf(it), it, AxisOf(it.opcode));
  if (it.opcode == Opcode::kUnary) {
    bound->loop().Set(static_cast<float>(it.numbers[0]), static_cast<float>(it.numbers[1]));
  } else if (it.opcode == Opcode::kGather || it.opcode == Opcode::kScatterAdd) {
    bound->loop().Set(it.integers[0], it.integers[1]);
  }
  return bound;
}

}  // namespace metabonk::nn
