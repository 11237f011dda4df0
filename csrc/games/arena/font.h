// The letters: printable ASCII as rows of dots, in two sizes.
#pragma once

#include <cstdint>

namespace metabonk::arena {

inline constexpr int kLargeWide = 5, kLargeTall = 7;
inline constexpr int kSmallWide = 3, kSmallTall = 5;

// Row r of a letter, its leftmost dot in the highest of the face's `wide` bits. Characters outside
// of printable ASCII are a box.
uint32_t LargeRow(char letter, int row);
uint32_t SmallRow(char letter, int row);

}  // namespace metabonk::arena
