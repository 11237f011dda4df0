// Safetensors: the tensors that a safetensors file holds, found in memory and checked. Knows the
// container; not what the tensors mean.
//
//   u64  bytes of the header, little-endian
//   header  JSON: {"__metadata__": {name: text}, name: {"dtype", "shape", "data_offsets"}, ...},
//           blanks at its end so that the data begins at a multiple of eight bytes
//   data    the tensors, each from data_offsets[0] to data_offsets[1], without gaps or overlaps
//
// Nothing is repaired: what breaks a rule is refused, so that no two readers can see different
// tensors in one file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metabonk/status.h"

namespace metabonk::play {

struct Tensor {
  std::string name, dtype;  // dtype as the file writes it: F32, I64, ...
  std::vector<int64_t> sizes;
  const void* data;  // aligned to its dtype if the file's bytes are to eight
  size_t bytes;

  int64_t count() const;
};

class Safetensors {
 public:
  static constexpr uint64_t kHeaderMax = uint64_t{16} << 20;

  // bytes: all of a file, begins at a multiple of eight and outlives this.
  Status Read(std::span<const uint8_t> bytes);

  // In the order of their data.
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Tensor* Find(std::string_view name) const;

 private:
  std::vector<Tensor> tensors_;
};

}  // namespace metabonk::play
