// Reading programs: what was written is read back, and every rule of program.h refuses what breaks
// it. Each refusal changes one thing of a program that is accepted.
#include "nn/program.h"

#include <functional>
#include <string>
#include <vector>

#include "check.h"
#include "nn/programs.h"

namespace metabonk::nn {
namespace {

Status ReadWords(const std::vector<int64_t>& words, int64_t* instruction = nullptr) {
  Program program;
  int64_t place;
  const Status status = ReadProgram(words, &program, instruction ? instruction : &place);
  return status;
}

struct Fault {
  const char* name;
  std::function<void(Program*)> make;
};

// What is wrong in the lists that come before the instructions.
const Fault kHeadFaults[] = {
    {"negative arena", [](Program* p) { p->arena_bytes = -1; }},
    {"arena of more than is allowed", [](Program* p) { p->arena_bytes = kArenaMax + 1; }},
    {"arena smaller than its views", [](Program* p) { p->arena_bytes = 64; }},
    {"type that is none", [](Program* p) { p->inputs[0].type = Type::kCount; }},
    {"negative size", [](Program* p) { p->inputs[0].sizes[0] = -4; }},
    {"sizes whose product overflows",
     [](Program* p) { p->tensors[0].sizes[0] = p->tensors[0].sizes[1] = int64_t{1} << 33; }},
    {"name that is no text", [](Program* p) { p->inputs[0].name = "\x01"; }},
    {"name that is too long", [](Program* p) { p->inputs[0].name.assign(201, 'x'); }},
    {"output outside of the arena", [](Program* p) { p->outputs[0].view.base = 1; }},
    {"output beyond the arena", [](Program* p) { p->outputs[0].view.offset = p->arena_bytes / 4; }},
    {"output of a negative offset", [](Program* p) { p->outputs[0].view.offset = -1; }},
    {"state of a negative stride", [](Program* p) { p->states[0].view.strides[0] = -1; }},
    {"state of no elements", [](Program* p) { p->states[0].view.sizes[0] = 0; }},
    {"state whose last place overflows",
     [](Program* p) {
       p->states[0].view.sizes[0] = int64_t{1} << 40;
       p->states[0].view.strides[0] = int64_t{1} << 40;
     }},
};

// The instruction of `program` with this opcode, the n-th of them.
Instruction& Find(Program* program, Opcode opcode, int n = 0) {
  for (Instruction& it : program->instructions) {
    if (it.opcode == opcode && n-- == 0) return it;
  }
  return program->instructions.front();
}

struct InstructionFault {
  const char* name;
  Opcode opcode;
  int n;
  std::function<void(Instruction*)> make;
};

using I = Instruction;
const InstructionFault kInstructionFaults[] = {
    {"result in an input", Opcode::kCopy, 0, [](I* i) { i->views[0] = i->views[1]; }},
    {"base that is none", Opcode::kCopy, 0, [](I* i) { i->views[1].base = 99; }},
    {"no views", Opcode::kCopy, 0, [](I* i) { i->views.clear(); }},
    {"a view too few", Opcode::kBinary, 0, [](I* i) { i->views.pop_back(); }},
    {"other sizes", Opcode::kUnary, 0, [](I* i) { i->views[1].sizes[1] = 5; }},
    {"other type than the memory has", Opcode::kUnary, 0,
     [](I* i) { i->views[1].type = Type::kI32; }},
    {"unary function that is none", Opcode::kUnary, 0,
     [](I* i) { i->integers[0] = static_cast<int64_t>(Unary::kCount); }},
    {"unary without parameters", Opcode::kUnary, 0, [](I* i) { i->numbers.clear(); }},
    {"arithmetic on bytes", Opcode::kUnary, 0, [](I* i) { i->views[0].type = Type::kU8; }},
    {"binary function that is none", Opcode::kBinary, 0, [](I* i) { i->integers[0] = -1; }},
    {"comparison into floats", Opcode::kBinary, 0,
     [](I* i) { i->integers[0] = static_cast<int64_t>(Binary::kLess); }},
    {"conjunction of floats", Opcode::kBinary, 0,
     [](I* i) { i->integers[0] = static_cast<int64_t>(Binary::kAnd); }},
    {"division of integers", Opcode::kBinary, 2,
     [](I* i) { i->integers[0] = static_cast<int64_t>(Binary::kDivide); }},
    {"condition of floats", Opcode::kWhere, 0, [](I* i) { i->views[1] = i->views[3]; }},
    {"reduction to all of its axes", Opcode::kReduce, 0, [](I* i) { i->views[0] = i->views[1]; }},
    {"reduction that is none", Opcode::kReduce, 0, [](I* i) { i->integers[0] = 5; }},
    {"place of the largest as a float", Opcode::kReduce, 0,
     [](I* i) { i->integers[0] = static_cast<int64_t>(Reduction::kArgmax); }},
    {"sums of bytes", Opcode::kScan, 0, [](I* i) { i->views[0].type = Type::kU8; }},
    {"softmax without its axis", Opcode::kSoftmax, 0,
     [](I* i) { i->views[0].rank = i->views[1].rank = 0; }},
    {"gather by floats", Opcode::kGather, 0, [](I* i) { i->views[2] = i->views[1]; }},
    {"gather from beyond", Opcode::kGather, 0, [](I* i) { i->integers[0] = 7; }},
    {"gather from nothing", Opcode::kGather, 0, [](I* i) { i->integers[0] = 0; }},
    {"gather backwards", Opcode::kGather, 0, [](I* i) { i->integers[1] = -1; }},
    {"scatter to beyond", Opcode::kScatterAdd, 0, [](I* i) { i->integers[1] = 100000; }},
    {"scatter by floats", Opcode::kScatterAdd, 0, [](I* i) { i->views[2] = i->views[1]; }},
    {"weight that is none", Opcode::kLinear, 0, [](I* i) { i->integers[0] = 99; }},
    {"weight of another size", Opcode::kLinear, 0, [](I* i) { i->integers[0] = 1; }},
    {"bias of another size", Opcode::kLinear, 0, [](I* i) { i->integers[1] = 0; }},
    {"activation that is none", Opcode::kLinear, 0, [](I* i) { i->integers[2] = 4; }},
    {"format that is none", Opcode::kLinear, 0, [](I* i) { i->integers[3] = 6; }},
    {"columns with gaps", Opcode::kLinear, 0, [](I* i) { i->views[1].strides[1] = 0; }},
    {"rows that differ", Opcode::kLinear, 0, [](I* i) { i->views[1].sizes[0] = 3; }},
    {"codes of another format", Opcode::kLinear, 1, [](I* i) { i->integers[3] = 1; }},
    {"scales that are none", Opcode::kLinear, 1, [](I* i) { i->integers[4] = -1; }},
    {"unused scales that are none", Opcode::kLinear, 1, [](I* i) { i->integers[5] = 1 << 20; }},
    {"filter of another size", Opcode::kConvolve, 0, [](I* i) { i->integers[0] = 0; }},
    {"shift of another size", Opcode::kConvolve, 0, [](I* i) { i->integers[1] = 0; }},
    {"convolution whose function is none", Opcode::kConvolve, 0, [](I* i) { i->integers[2] = -1; }},
    {"convolution of other rows", Opcode::kConvolve, 0, [](I* i) { i->views[0].sizes[2] = 4; }},
    {"convolution of columns with gaps", Opcode::kConvolve, 0,
     [](I* i) { i->views[1].strides[4] = 2, i->views[1].strides[3] = 0; }},
    {"convolution into gaps", Opcode::kConvolve, 0, [](I* i) { i->views[0].strides[0] = 0; }},
    {"convolution without its format", Opcode::kConvolve, 0, [](I* i) { i->integers.resize(3); }},
    {"filter of another format", Opcode::kConvolve, 1, [](I* i) { i->integers[3] = 1; }},
    {"filter whose scales are none", Opcode::kConvolve, 1, [](I* i) { i->integers[4] = -1; }},
    {"cell of another size", Opcode::kCfc, 0, [](I* i) { i->integers[0] = 0; }},
    {"cell with a flag that is none", Opcode::kCfc, 0, [](I* i) { i->integers[4] = 2; }},
    {"cell without its times", Opcode::kCfc, 0, [](I* i) { i->views.pop_back(); }},
    {"cell whose state has gaps", Opcode::kCfc, 0, [](I* i) { i->views[2].strides[0] = 0; }},
    {"radar without rings", Opcode::kRadar, 0, [](I* i) { i->numbers.resize(1); }},
    {"radar of too few features", Opcode::kRadar, 0, [](I* i) { i->views[1].sizes[2] = 2; }},
    {"radar by floats", Opcode::kRadar, 0, [](I* i) { i->views[2].type = Type::kF32; }},
};

}  // namespace

TEST(program_reads_back_what_was_written) {
  for (const Program& program : {Pilot(3), Everything()}) {
    const std::vector<int64_t> words = WordsOf(program);
    Program read;
    int64_t instruction;
    CHECK(ReadProgram(words, &read, &instruction).ok());
    CHECK(WordsOf(read) == words);
    CHECK_EQ(read.inputs[0].name, program.inputs[0].name);
  }
}

TEST(program_of_everything_has_every_instruction) {
  std::vector<bool> has(static_cast<size_t>(Opcode::kCount));
  for (const Instruction& it : Everything().instructions)
    has[static_cast<size_t>(it.opcode)] = true;
  for (const bool there : has) CHECK(there);
}

TEST(program_refuses_words_that_are_cut_or_added) {
  const std::vector<int64_t> words = WordsOf(Everything());
  for (size_t length = 0; length < words.size(); ++length) {
    CHECK(!ReadWords({words.begin(), words.begin() + static_cast<long>(length)}).ok());
  }
  std::vector<int64_t> longer = words;
  longer.push_back(0);
  CHECK(!ReadWords(longer).ok());
}

TEST(program_refuses_other_magic_and_other_versions) {
  std::vector<int64_t> words = WordsOf(Pilot(2));
  words[0] ^= 1;
  CHECK_EQ(ReadWords(words).code, Code::kCorrupt);
  words[0] ^= 1;
  words[1] += 1;
  CHECK_EQ(ReadWords(words).code, Code::kVersionMismatch);
}

TEST(program_refuses_faults_before_its_instructions) {
  for (const Fault& fault : kHeadFaults) {
    Program program = Pilot(4);
    CHECK(ReadWords(WordsOf(program)).ok());
    fault.make(&program);
    const Status status = ReadWords(WordsOf(program));
    if (status.ok()) check::Fail(__FILE__, __LINE__, std::string("accepted: ") + fault.name);
    CHECK(status.ok() || (status.where[0] != '\0' && status.what[0] != '\0'));
  }
}

TEST(program_refuses_faults_of_instructions_and_says_which) {
  for (const InstructionFault& fault : kInstructionFaults) {
    Program program = Everything();
    Instruction& it = Find(&program, fault.opcode, fault.n);
    CHECK_EQ(it.opcode, fault.opcode);
    const int64_t place = &it - program.instructions.data();
    fault.make(&it);
    int64_t instruction = -1;
    const Status status = ReadWords(WordsOf(program), &instruction);
    if (status.ok()) check::Fail(__FILE__, __LINE__, std::string("accepted: ") + fault.name);
    CHECK(status.ok() || instruction == place);
  }
}

TEST(program_refuses_outputs_with_gaps) {
  // An output is copied out as it lies: one whose rows are the same memory would reach beyond it.
  Program program = Pilot(4);
  program.outputs[0].view.strides[0] = 0;
  CHECK(!ReadWords(WordsOf(program)).ok());
  program = Pilot(4);
  program.states[0].view.strides[0] = 0;
  CHECK(!ReadWords(WordsOf(program)).ok());
}

TEST(program_refuses_quantised_layers_whose_unused_tensors_are_none) {
  for (const int64_t none : {int64_t{-2}, int64_t{1} << 40}) {
    Program program = Everything();
    Find(&program, Opcode::kLinear, 1).integers[5] = none;
    CHECK(!ReadWords(WordsOf(program)).ok());
  }
}

}  // namespace metabonk::nn
