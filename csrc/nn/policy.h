// Policy: a program that acts, with what it needs besides observations: which rows begin anew, and
// random numbers. Knows the names by which a program asks for these; not where observations come
// from.
//
//   is_first  u8 [B]        input: rows that forget their past; the policy's own unless given
//   uniform   f32 [B, n]    input: random numbers in [0, 1), likewise
//   normal    f32 [B, n]    input: standard normal ones, likewise
//   states                  carried from step to step
//
// Random numbers are a function of the seed and of how many steps were taken: the same seed,
// counter and observations give the same actions.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "nn/runner.h"

namespace metabonk::nn {

class Policy {
 public:
  Policy(Program program, std::unique_ptr<const ProgramWeights> weights, uint64_t seed);

  // Rows of `mask` [B] that are not 0 begin anew with the next step; all of them if it is null.
  void Reset(const uint8_t* mask);
  // inputs, outputs: where each one lies, in the program's order. An input that is null is the
  // policy's own, an output that is null is not wanted. No allocation. After a failure nothing has
  // changed but the arena's scratch.
  Status Step(std::span<const void* const> inputs, std::span<void* const> outputs);

  uint64_t seed() const { return seed_; }
  uint64_t counter() const { return counter_; }
  void Seed(uint64_t seed, uint64_t counter) { seed_ = seed, counter_ = counter; }
  Runner& runner() { return runner_; }
  const Program& program() const { return runner_.program(); }

 private:
  struct Own {  // an input that the policy can fill
    size_t input;
    bool normal;
    int64_t count;
    Buffer<float> numbers;
  };
  struct Output {
    const void* from;
    size_t bytes;
  };

  Runner runner_;
  uint64_t seed_, counter_ = 0;
  std::vector<const void*> inputs_;
  std::vector<Own> random_;
  std::vector<Output> outputs_;
  size_t first_input_ = SIZE_MAX;
  std::vector<uint8_t> is_first_;
};

// Place of the input or output of that name, -1 if there is none.
int64_t FindInput(const Program& program, std::string_view name);
int64_t FindOutput(const Program& program, std::string_view name);

}  // namespace metabonk::nn
