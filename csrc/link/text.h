// Texts of the records: kTextBytes of UTF-8, zero-padded and zero-terminated.
#pragma once

#include <cstring>
#include <string_view>

#include "metabonk/records.h"

namespace metabonk::link {

using Text = char[kTextBytes];

inline std::string_view ViewText(const Text& text) { return {text, strnlen(text, kTextBytes)}; }

// Ends at the first zero and never in the middle of a character.
inline void CopyText(std::string_view from, Text& to) {
  size_t size = strnlen(from.data() == nullptr ? "" : from.data(), from.size());
  if (size > kTextBytes - 1) {
    size = kTextBytes - 1;
    const auto inside = [&] { return (static_cast<unsigned char>(from[size]) & 0xC0) == 0x80; };
    while (size > 0 && inside()) --size;
  }
  if (size > 0) std::memcpy(to, from.data(), size);
  std::memset(to + size, 0, kTextBytes - size);
}

}  // namespace metabonk::link
