// Each letter is its rows of dots, top first, as one number: 8 rows of 5 bits or 5 rows of 3.
#include "games/arena/font.h"

namespace metabonk::arena {

namespace {

constexpr int kFirst = ' ';
constexpr int kLast = '~';

// clang-format off
constexpr uint64_t kLarge[] = {
    0x0000000000, 0x2108420080, 0x5294000000, 0x52beafa940, 0x23e8e2f880, 0xce44444e60,  //   to %
    0x64a88ac9a0, 0x2110000000, 0x1110841040, 0x4104211100, 0x012aea9000, 0x0109f21000,  // & to +
    0x0000001888, 0x0001f00000, 0x0000003180, 0x0844444200, 0x74675cc5c0, 0x23084211c0,  // , to 1
    0x74426443e0, 0x744260c5c0, 0x11952f8840, 0xfc3c10c5c0, 0x3221e8c5c0, 0xf844442100,  // 2 to 7
    0x7462e8c5c0, 0x7462f08980, 0x0318063000, 0x0318063088, 0x1111041040, 0x003e0f8000,  // 8 to =
    0x4104111100, 0x7442620080, 0x746f5bc1c0, 0x7463f8c620, 0xf463e8c7c0, 0x74610845c0,  // > to C
    0xf46318c7c0, 0xfc21e843e0, 0xfc21e84200, 0x746178c5c0, 0x8c63f8c620, 0x71084211c0,  // D to I
    0x3884214980, 0x8ca98a4a20, 0x84210843e0, 0x8eeb58c620, 0x8e7359ce20, 0x746318c5c0,  // J to O
    0xf463e84200, 0x74631ac9a0, 0xf463ea4a20, 0x7c20e087c0, 0xf908421080, 0x8c6318c5c0,  // P to U
    0x8c63152880, 0x8c635aee20, 0x8c54454620, 0x8c54421080, 0xf8444443e0, 0x72108421c0,  // V to [
    0x8410410420, 0x70842109c0, 0x22a2000000, 0x00000003e0, 0x4100000000, 0x001c17c5e0,  // \ to a
    0x843d18c7c0, 0x001d0845c0, 0x085f18c5e0, 0x001d1fc1c0, 0x323c842100, 0x001f18bc2e,  // b to g
    0x843d18c620, 0x20184211c0, 0x100c210a4c, 0x4212a62920, 0x61084211c0, 0x00355ad620,  // h to m
    0x003d18c620, 0x001d18c5c0, 0x003d18fa10, 0x001f18bc21, 0x002d884200, 0x001f0707c0,  // n to s
    0x423c8424c0, 0x002318c5e0, 0x002318a880, 0x00231ad540, 0x0022a22a20, 0x002318bc2e,  // t to y
    0x003e2223e0, 0x1908821060, 0x2108421080, 0xc108221300, 0x001b600000,  // z to ~
};

// Lower case letters are the upper case ones.
constexpr uint16_t kSmall[] = {
    0x0000, 0x2482, 0x5a00, 0x5f7d, 0x3c9e, 0x52a5, 0x2aab, 0x2400,  //   to '
    0x1491, 0x4494, 0x0aa8, 0x05d0, 0x0014, 0x01c0, 0x0002, 0x12a4,  // ( to /
    0x7b6f, 0x2c97, 0x73e7, 0x72cf, 0x5bc9, 0x79cf, 0x79ef, 0x7292,  // 0 to 7
    0x7bef, 0x7bcf, 0x0410, 0x0414, 0x1511, 0x0e38, 0x4454, 0x7282,  // 8 to ?
    0x7b67, 0x2bed, 0x6bae, 0x3923, 0x6b6e, 0x79a7, 0x79a4, 0x396b,  // @ to G
    0x5bed, 0x7497, 0x126a, 0x5bad, 0x4927, 0x5fed, 0x6b6d, 0x2b6a,  // H to O
    0x6ba4, 0x2b59, 0x6bad, 0x388e, 0x7492, 0x5b6f, 0x5b52, 0x5bfd,  // P to W
    0x5aad, 0x5a92, 0x72a7, 0x3493, 0x4889, 0x6496, 0x2a00, 0x0007,  // X to _
    0x4400, 0x2bed, 0x6bae, 0x3923, 0x6b6e, 0x79a7, 0x79a4, 0x396b,  // ` to g
    0x5bed, 0x7497, 0x126a, 0x5bad, 0x4927, 0x5fed, 0x6b6d, 0x2b6a,  // h to o
    0x6ba4, 0x2b59, 0x6bad, 0x388e, 0x7492, 0x5b6f, 0x5b52, 0x5bfd,  // p to w
    0x5aad, 0x5a92, 0x72a7, 0x3513, 0x2492, 0x6456, 0x0780,  // x to ~
};
// clang-format on

static_assert(sizeof(kLarge) / sizeof(kLarge[0]) == kLast - kFirst + 1);
static_assert(sizeof(kSmall) / sizeof(kSmall[0]) == kLast - kFirst + 1);

constexpr LetterSpan SpanOf(int letter) {
  if (letter == ' ') return {0, 3};
  if (letter >= '0' && letter <= '9') return {0, kLargeWide};
  uint32_t used = 0;
  for (int row = 0; row < kLargeTall; ++row)
    used |= static_cast<uint32_t>(kLarge[letter - kFirst] >> (kLargeWide * row)) & 0x1F;
  int first = 0;
  while (first < kLargeWide - 1 && !(used >> (kLargeWide - 1 - first) & 1)) ++first;
  int last = kLargeWide - 1;
  while (last > first && !(used >> (kLargeWide - 1 - last) & 1)) --last;
  return {first, last - first + 1};
}

struct Spans {
  LetterSpan of[kLast - kFirst + 1] = {};
};

constexpr Spans kSpans = [] {
  Spans spans;
  for (int letter = kFirst; letter <= kLast; ++letter) spans.of[letter - kFirst] = SpanOf(letter);
  return spans;
}();

bool Printable(char letter) { return letter >= kFirst && letter <= kLast; }

}  // namespace

uint32_t LargeRow(char letter, int row) {
  if (!Printable(letter)) return 0x1F;
  const uint64_t rows = kLarge[letter - kFirst];
  return static_cast<uint32_t>(rows >> (kLargeWide * (kLargeTall - 1 - row))) & 0x1F;
}

uint32_t SmallRow(char letter, int row) {
  if (!Printable(letter)) return 0x7;
  return static_cast<uint32_t>(kSmall[letter - kFirst] >> (kSmallWide * (kSmallTall - 1 - row))) &
         0x7;
}

LetterSpan LargeSpan(char letter) {
  return Printable(letter) ? kSpans.of[letter - kFirst] : LetterSpan{0, kLargeWide};
}

}  // namespace metabonk::arena
