// Program: a network as a list of instructions over numbers in memory, in one stream of words that
// can be kept in a file. Knows the format and checks every word of it; computes nothing.
//
// A program has named inputs and tensors (its weights), an arena of bytes for everything between,
// named outputs and named states, which are places in the arena; states keep what they hold from
// one step to the next. An operand is a view: element (i, j, ...) of it stands at
// offset + i * stride_0 + j * stride_1 + ... of its base. What one instruction may do to memory is
// therefore known before it runs: a program that was read can touch its own memory only.
//
//   stream    magic, version, arena bytes, then four lists: inputs, tensors, outputs, states;
//             then the list of instructions. A list is its length and its items.
//   input     name, type, rank, sizes            tensors likewise
//   output    name, view                         states likewise
//   view      base, type, offset, rank, sizes, strides; offset and strides in elements
//   instruction  opcode, views, integers, numbers: three lists; a number is a double's bits
//   name      a list of bytes, one per word
//
// Base 0 is the arena, then come the inputs in their order, then the tensors.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "metabonk/status.h"

namespace metabonk::nn {

inline constexpr int64_t kProgramMagic = 0x4D42505247;  // "MBPRG"
inline constexpr int64_t kProgramVersion = 2;
inline constexpr int kRankMax = 6;
inline constexpr int64_t kArenaMax = int64_t{1} << 32;

// U8 holds bytes and truth values, which are 0 or not 0; I32 holds places.
enum class Type : int { kF32, kI32, kU8, kCount };
constexpr int64_t SizeOf(Type type) { return type == Type::kU8 ? 1 : 4; }

// y is always the first view. Sizes of operands of arithmetic equal those of y; what is repeated
// has stride 0.
enum class Opcode : int {
  kCopy,        // y = x, converted to y's type
  kUnary,       // y = f(x); integers: which f (Unary); numbers: two parameters of f
  kBinary,      // y = f(a, b); integers: which f (Binary)
  kWhere,       // y = condition ? a : b
  kReduce,      // y = f over the last axis of x; integers: which f (Reduction)
  kScan,        // y = running sums of x along the last axis
  kSoftmax,     // y = softmax of x along the last axis; integers: 1 for its logarithm
  kGather,      // y = x[..., index, ...]: x has y's sizes, its stride along the chosen axis is 0;
                // integers: how many places that axis has, how far they are apart
  kScatterAdd,  // y += x at index; like kGather with y and x exchanged
  kLinear,      // y = f(x W^T + b), x [rows, inputs], y [rows, outputs]; integers: tensor of W, of
                // b or -1, which f (Activation), format or -1 for float32, tensor of scales or -1,
                // tensor of the tensor scale or -1
  kCfc,         // y, x, h, dt, keep as in cfc.h; integers: tensors W b V c, whether dt, keep count
  kRadar,       // y, rows, mask as in radar.h; numbers: reach, then the rings
  kConvolve,    // y [B, rows, columns, outputs] = f(x W^T + b), x [B, rows, columns, high, wide]:
              // what each place sees, in pieces that overlap; integers: as of kLinear, W [outputs,
              // high wide]
  kCount
};

// numbers: of kClamp the bounds, of kAffine p and q of p x + q, of others unused.
enum class Unary : int {
  kAffine,
  kClamp,
  kNegate,
  kAbs,
  kNot,
  kExp,
  kLog,
  kTanh,
  kSigmoid,
  kRelu,
  kSilu,
  kSoftplus,
  kSqrt,
  kReciprocal,
  kSquare,
  kRound,
  kFloor,
  kSin,
  kCos,
  kErf,
  kCount
};
enum class Binary : int {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kMinimum,
  kMaximum,
  kEqual,
  kLess,
  kLessEqual,
  kAnd,
  kOr,
  kCount
};
enum class Reduction : int { kSum, kMax, kMin, kArgmax, kAny, kCount };
enum class Activation : int { kNone, kTanh, kRelu, kSilu, kCount };

using Sizes = std::array<int64_t, kRankMax>;

struct View {
  int base;
  Type type;
  int rank;
  int64_t offset;
  Sizes sizes, strides;

  int64_t count() const;
  bool dense() const;  // row after row without gaps
};

// An input, or a tensor.
struct Slot {
  std::string name;
  Type type;
  int rank;
  Sizes sizes;

  int64_t count() const;
};

struct Place {
  std::string name;
  View view;
};

struct Instruction {
  Opcode opcode;
  std::vector<View> views;
  std::vector<int64_t> integers;
  std::vector<double> numbers;
};

struct Program {
  int64_t arena_bytes;
  std::vector<Slot> inputs, tensors;
  std::vector<Place> outputs, states;
  std::vector<Instruction> instructions;

  const Slot* tensor(const View& view) const;  // that a view reads, or null
};

// Fills `program` from words, all of which must belong to it. instruction: the one at fault if the
// status is not ok, -1 for what comes before them.
Status ReadProgram(std::span<const int64_t> words, Program* program, int64_t* instruction);

}  // namespace metabonk::nn
