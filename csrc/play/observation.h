// Observation: the arrays that a compiled policy reads, filled from one moment. Knows which names
// stand for which part of an observation (metabonk/observe.h) and for the frame; which of them a
// policy wants, its program says.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metabonk/observe.h"
#include "metabonk/status.h"
#include "nn/program.h"
#include "play/digest.h"
#include "play/source.h"
#include "support/buffer.h"

namespace metabonk::play {

// Height and width of the frames that a program reads as `pixels`; 0 if it reads none.
struct FrameSize {
  int32_t height = 0, width = 0;
};

class Observation {
 public:
  // Arrays for every input of a program that is not the policy's own. Fails at an input that no
  // game over these records can fill.
  static Status Check(const nn::Program& program);
  // Of a program that Check accepted.
  explicit Observation(const nn::Program& program);

  // Fails where the frame is not of the size that the program wants.
  Status Fill(const Moment& moment);
  // Addresses in the program's order, null for what the policy fills itself.
  std::span<const void* const> inputs() const { return inputs_; }
  // Of what was filled, in the program's order.
  Digest digest() const;
  FrameSize frame() const { return frame_; }
  // What was filled, part after part without gaps: bytes() of them.
  size_t bytes() const;
  void Copy(uint8_t* to) const;

 private:
  struct Part {
    const void* at;
    size_t bytes;
  };

  std::vector<Buffer<uint64_t>> memory_;
  std::vector<const void*> inputs_;
  std::vector<Part> parts_;
  ObservationView view_;
  uint8_t* pixels_ = nullptr;
  FrameSize frame_;
};

}  // namespace metabonk::play
