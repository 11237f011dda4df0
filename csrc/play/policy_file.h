// PolicyFile: a compiled policy as it lies on disk, read and checked. Knows the artifact's layout
// (metabonk/artifact.py, metabonk/play/compiled.py) and what a policy must have beyond what any
// program has; runs nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nn/program.h"
#include "play/safetensors.h"
#include "support/buffer.h"

namespace metabonk::play {

// Why something could not be done: which file, what is wrong with it and what to do.
struct Failure {
  Code code = Code::kOk;
  std::string text;

  bool ok() const { return code == Code::kOk; }
};

class PolicyFile {
 public:
  // path: the artifact's directory, or the safetensors file in it. Call it once.
  Failure Open(const std::string& path);

  const nn::Program& program() const { return program_; }
  std::span<const int64_t> words() const { return words_; }
  // Where each tensor of the program lies, as long as this does.
  std::span<const void* const> tensors() const { return tensors_; }
  uint64_t seed() const { return seed_; }
  // Place of the output `action` float32 [batch, columns] among the program's.
  size_t action() const { return action_; }
  int64_t batch() const { return program_.outputs[action_].view.sizes[0]; }
  int64_t columns() const { return program_.outputs[action_].view.sizes[1]; }

 private:
  Failure ReadTensors(const std::string& path, const std::string& sha256);
  Failure ReadWords(const std::string& path);
  Failure FindTensors(const std::string& path);
  Failure CheckPolicy(const std::string& path);

  Buffer<uint64_t> memory_;
  Safetensors found_;
  nn::Program program_;
  std::span<const int64_t> words_;
  std::vector<const void*> tensors_;
  uint64_t seed_ = 0;
  size_t action_ = 0;
};

}  // namespace metabonk::play
