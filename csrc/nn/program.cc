#include "nn/program.h"

#include <bit>

#include "nn/program_check.h"

namespace metabonk::nn {

namespace {

constexpr int64_t kListMax = 1 << 20;
constexpr int64_t kNameMax = 200;
constexpr int64_t kSizeMax = int64_t{1} << 40;

// Reads words one after the other; the first fault is kept and everything after it reads zeros.
class Reader {
 public:
  explicit Reader(std::span<const int64_t> words) : words_(words) {}

  int64_t Next() {
    if (next_ >= words_.size()) {
      Fail(Status{Code::kCorrupt, "program",
                  "it ends in the middle: take it from its source again"});
      return 0;
    }
    return words_[next_++];
  }
  int64_t Within(int64_t low, int64_t high, const char* where) {
    const int64_t word = Next();
    if (word >= low && word <= high) return word;
    Fail(Status{Code::kCorrupt, where, "out of bounds: the program was not made by this version"});
    return low;
  }
  void Fail(const Status& status) {
    if (status_.ok()) status_ = status;
  }
  bool ok() const { return status_.ok(); }
  bool done() const { return next_ == words_.size(); }
  const Status& status() const { return status_; }

  // Calls `item` as often as the list says, up to the first fault.
  template <typename Item>
  void List(int64_t most, const char* where, const Item& item) {
    const int64_t length = Within(0, most, where);
    for (int64_t i = 0; i < length && ok(); ++i) item();
  }

 private:
  std::span<const int64_t> words_;
  size_t next_ = 0;
  Status status_;
};

std::string ReadName(Reader& in) {
  std::string name;
  in.List(kNameMax, "name", [&] { name.push_back(static_cast<char>(in.Within(32, 126, "name"))); });
  return name;
}

Type ReadType(Reader& in) {
  return static_cast<Type>(in.Within(0, static_cast<int>(Type::kCount) - 1, "type"));
}

Slot ReadSlot(Reader& in) {
  Slot slot{ReadName(in), ReadType(in), static_cast<int>(in.Within(0, kRankMax, "rank")), {}};
  int64_t count = 1;
  for (int i = 0; i < slot.rank; ++i) {
    slot.sizes[i] = in.Within(0, kSizeMax, "size");
    if (slot.sizes[i] > 0 && count > kSizeMax / slot.sizes[i]) {
      in.Fail(Status{Code::kCorrupt, "size", "more numbers than any machine holds"});
      return slot;
    }
    count *= slot.sizes[i];
  }
  return slot;
}

// Numbers that a base holds, of a type.
int64_t Capacity(const Program& program, int base, Type type) {
  if (base == 0) return program.arena_bytes / SizeOf(type);
  const size_t place = static_cast<size_t>(base) - 1;
  const size_t inputs = program.inputs.size();
  const Slot& slot = place < inputs ? program.inputs[place] : program.tensors[place - inputs];
  return slot.type == type ? slot.count() : 0;
}

// The highest place that a view touches; kSizeMax for any beyond that.
int64_t Last(const View& view) {
  int64_t last = view.offset;
  for (int i = 0; i < view.rank; ++i) {
    const int64_t steps = view.sizes[i] - 1;
    if (steps > 0 && view.strides[i] > (kSizeMax - last) / steps) return kSizeMax;
    last += steps * view.strides[i];
  }
  return last;
}

View ReadView(Reader& in, const Program& program) {
  View view{};
  const auto bases = static_cast<int64_t>(program.inputs.size() + program.tensors.size());
  view.base = static_cast<int>(in.Within(0, bases, "base"));
  view.type = ReadType(in);
  view.offset = in.Within(0, kSizeMax, "offset");
  view.rank = static_cast<int>(in.Within(0, kRankMax, "rank"));
  for (int i = 0; i < view.rank; ++i) view.sizes[i] = in.Within(1, kSizeMax, "size");
  for (int i = 0; i < view.rank; ++i) view.strides[i] = in.Within(0, kSizeMax, "stride");
  if (in.ok() && Last(view) >= Capacity(program, view.base, view.type)) {
    in.Fail(Status{Code::kCorrupt, "view", "it reaches beyond its memory, or has another type"});
  }
  return view;
}

Instruction ReadInstruction(Reader& in, const Program& program) {
  Instruction made{};
  made.opcode = static_cast<Opcode>(in.Within(0, static_cast<int>(Opcode::kCount) - 1, "opcode"));
  in.List(8, "views", [&] { made.views.push_back(ReadView(in, program)); });
  in.List(16, "integers", [&] { made.integers.push_back(in.Next()); });
  in.List(32, "numbers", [&] { made.numbers.push_back(std::bit_cast<double>(in.Next())); });
  return made;
}

void ReadHead(Reader& in, Program* program) {
  if (in.Next() != kProgramMagic) {
    in.Fail(Status{Code::kCorrupt, "program", "these words are no program"});
  }
  if (in.Next() != kProgramVersion) {
    in.Fail(Status{Code::kVersionMismatch, "program",
                   "written in another version of the format: compile the policy again"});
  }
  program->arena_bytes = in.Within(0, kArenaMax, "arena");
  in.List(kListMax, "inputs", [&] { program->inputs.push_back(ReadSlot(in)); });
  in.List(kListMax, "tensors", [&] { program->tensors.push_back(ReadSlot(in)); });
  for (auto* places : {&program->outputs, &program->states}) {
    in.List(kListMax, "outputs", [&] {
      std::string name = ReadName(in);
      places->push_back({std::move(name), ReadView(in, *program)});
      const View& view = places->back().view;
      if (view.base != 0 || !view.dense()) {  // callers copy them as they lie
        in.Fail(Status{Code::kCorrupt, "output", "it must lie in the arena, without gaps"});
      }
    });
  }
}

}  // namespace

int64_t View::count() const {
  int64_t product = 1;
  for (int i = 0; i < rank; ++i) product *= sizes[i];
  return product;
}

bool View::dense() const {
  int64_t step = 1;
  for (int i = rank - 1; i >= 0; --i) {
    if (sizes[i] != 1 && strides[i] != step) return false;
    step *= sizes[i];
  }
  return true;
}

int64_t Slot::count() const {
  int64_t product = 1;
  for (int i = 0; i < rank; ++i) product *= sizes[i];
  return product;
}

const Slot* Program::tensor(const View& view) const {
  const size_t place = static_cast<size_t>(view.base);
  return place > inputs.size() ? &tensors[place - 1 - inputs.size()] : nullptr;
}

Status ReadProgram(std::span<const int64_t> words, Program* program, int64_t* instruction) {
  *program = Program{};
  *instruction = -1;
  Reader in(words);
  ReadHead(in, program);
  in.List(kListMax, "instructions", [&] {
    ++*instruction;
    program->instructions.push_back(ReadInstruction(in, *program));
    if (in.ok()) in.Fail(CheckInstruction(program->instructions.back(), *program));
  });
  if (in.ok() && !in.done()) {
    in.Fail(Status{Code::kCorrupt, "program", "there are words after its end"});
  }
  return in.status();
}

}  // namespace metabonk::nn
