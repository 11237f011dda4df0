// The letters: printable ASCII as rows of dots, in two sizes.
#pragma once

#include <cstdint>

namespace metabonk::arena {

inline constexpr int kLargeWide = 5, kLargeTall = 8;  // the last row hangs below the line
inline constexpr int kSmallWide = 3, kSmallTall = 5;

// Row r of a letter, its leftmost dot in the highest of the face's `wide` bits. Characters outside
// of printable ASCII are a box.
uint32_t LargeRow(char letter, int row);
uint32_t SmallRow(char letter, int row);

// The columns that a large letter uses, so that text is spaced evenly; digits use all.
struct LetterSpan {
  int first, wide;
};
LetterSpan LargeSpan(char letter);

}  // namespace metabonk::arena
