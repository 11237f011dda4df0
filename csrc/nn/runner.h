// Runner: a program bound to its memory and to kernels, step after step. Knows programs, loops and
// layers; not what a program is for. One thread steps; another may hand it new weights meanwhile.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "nn/program.h"
#include "nn/program_weights.h"

namespace metabonk::nn {

// What an instruction sees while it runs.
struct Frame {
  void* const* bases;  // the arena, the inputs, the tensors
  const ProgramWeights* weights;
  int fault;
};

// One instruction, ready to run.
class Bound {
 public:
  virtual ~Bound() = default;
  virtual void Run(Frame* frame) = 0;
};

class Runner {
 public:
  // Chooses the instruction set of now for good, for layers the one that the weights were packed
  // for, and allocates all there will be.
  Runner(Program program, std::unique_ptr<const ProgramWeights> weights);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // inputs: where each one lies, in the program's order, contiguous. Fails where an index that was
  // computed is none; outputs then hold nothing of use, states what they held before. No
  // allocation.
  Status Step(std::span<const void* const> inputs);

  // Where an output or a state begins, in the arena.
  void* At(const View& view) const;
  const Program& program() const { return program_; }
  const char* tier() const { return tier_; }
  // What weights for Swap have to be made for.
  const CfcKernels& kernels() const { return kernels_; }

  // The next step and those after it use these weights, which were made for the same program. Any
  // thread, at any time; what was in use is freed here, by a later call, never by a step.
  void Swap(std::unique_ptr<const ProgramWeights> weights);
  // Times that a step took up new weights.
  int64_t swaps() const { return swaps_.load(std::memory_order_relaxed); }

 private:
  void TakeWeights();
  void FreeRetired();
  void Rebase();

  Program program_;
  const char* tier_;
  const CfcKernels& kernels_;
  Buffer<uint8_t> arena_;
  std::vector<void*> bases_;
  std::vector<std::unique_ptr<Bound>> bound_;
  std::unique_ptr<const ProgramWeights> weights_;

  std::mutex one_swapper_;
  std::atomic<const ProgramWeights*> pending_{nullptr};
  std::atomic<const ProgramWeights*> retired_{nullptr};  // the latest; those before lie behind it
  std::atomic<int64_t> swaps_{0};
};

// The bound form of instruction `i`.
std::unique_ptr<Bound> Bind(const Program& program, size_t i);

}  // namespace metabonk::nn
