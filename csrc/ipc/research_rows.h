// Rows of frames in either order. Knows bytes only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace metabonk::ipc {

// `from` holds `height` rows; `flip`: the first is written last.
inline void CopyResearchRows(std::span<const uint8_t> from, int height, bool flip, uint8_t* to) {
  if (!flip) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  const size_t row = from.size() / static_cast<size_t>(height);
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    std::memcpy(to + y * row, from.data() + (static_cast<size_t>(height) - 1 - y) * row, row);
  }
}

}  // namespace metabonk::ipc
