// Click to switch: a click toggles a lamp and, depending on the sign it bears, its four neighbours
// (plus) or its four diagonal ones (cross). All lamps on finishes the level.
#include <algorithm>

#include "games/grid64/canvas.h"
#include "games/grid64/game.h"

namespace metabonk::grid64 {
namespace {

constexpr int kMaxSide = 5;
constexpr int kMaxLamps = kMaxSide * kMaxSide;

enum Sign : uint8_t { kHole, kDot, kPlus, kCross, kSigns };

constexpr Sprite<5> kSignSprites[kSigns] = {
    Paint<5>("........................."),
    Paint<5>("......222..222..222......"),
    Paint<5>("..2....2..22222..2....2.."),
    Paint<5>("2...2.2.2...2...2.2.2...2"),
};

struct ClickSwitch {
  uint32_t lit;  // a bit per lamp
  uint8_t signs[kMaxLamps];
  uint8_t side;
  uint8_t pad[2];

  bool Generate(Draws& draws, int difficulty) {
    constexpr uint8_t kSides[] = {3, 3, 4, 4, 5};
    constexpr int kPlusPercent[] = {0, 50, 60, 50, 50};
    constexpr int kCrossPercent[] = {0, 0, 0, 25, 25};
    side = kSides[difficulty];
    const int lamps = side * side;
    for (int i = 0; i < lamps; ++i) {
      const int kind = draws.Below(100);
      signs[i] = kind < kPlusPercent[difficulty]                               ? kPlus
                 : kind < kPlusPercent[difficulty] + kCrossPercent[difficulty] ? kCross
                                                                               : kDot;
      if (draws.Chance(15)) signs[i] = kHole;
    }
    // Clicks from the finished state, so that clicks lead back to it.
    lit = All();
    int clicks = 0;
    for (int i = 0; i < lamps; ++i) {
      if (signs[i] == kHole || draws.Chance(50)) continue;
      lit ^= Toggles(i);
      ++clicks;
    }
    return clicks >= 2 + difficulty && __builtin_popcount(All() & ~lit) >= 2;
  }

  uint32_t All() const {
    uint32_t all = 0;
    for (int i = 0; i < std::min(side * side, kMaxLamps); ++i) {  // GCC 12 wants to see the limit
      all |= uint32_t{signs[i] != kHole} << i;
    }
    return all;
  }

  uint32_t Toggles(int lamp) const {
    uint32_t toggled = 0;
    const int x = lamp % side;
    const int y = lamp / side;
    const int reach = signs[lamp] == kDot ? 0 : 1;
    for (int dy = -reach; dy <= reach; ++dy) {
      for (int dx = -reach; dx <= reach; ++dx) {
        const bool diagonal = dx != 0 && dy != 0;
        const bool straight = (dx == 0) != (dy == 0);
        if ((diagonal && signs[lamp] != kCross) || (straight && signs[lamp] != kPlus)) continue;
        if (x + dx < 0 || x + dx >= side || y + dy < 0 || y + dy >= side) continue;
        toggled |= 1u << ((y + dy) * side + x + dx);
      }
    }
    return toggled & All();
  }

  uint64_t Layout() const { return HashBytes(side, signs, kMaxLamps); }

  bool Sound() const {
    for (const uint8_t sign : signs) {
      if (sign >= kSigns) return false;
    }
    return side >= 3 && side <= kMaxSide && !(lit & ~All());
  }

  ActionSet Available(uint32_t) const { return Allow(kClick); }

  int Pitch() const { return side == 3 ? 18 : side == 4 ? 14 : 11; }  // cells from lamp to lamp
  int Left() const { return (kSide - side * Pitch()) / 2; }
  int Top() const { return kStatusRows + (kSide - kStatusRows - side * Pitch()) / 2; }

  Outcome Step(const Action& action, uint32_t) {
    if (action.id != kClick) return Outcome::kPlaying;
    const int x = action.x - Left();
    const int y = action.y - Top();
    if (x < 0 || y < 0 || x >= side * Pitch() || y >= side * Pitch()) return Outcome::kPlaying;
    const int lamp = y / Pitch() * side + x / Pitch();
    if (signs[lamp] == kHole) return Outcome::kPlaying;
    lit ^= Toggles(lamp);
    return lit == All() ? Outcome::kSolved : Outcome::kPlaying;
  }

  void Render(uint32_t, uint8_t* cells) const {
    std::memset(cells, kBlack, kCells);
    const int size = Pitch() - 2;
    for (int i = 0; i < side * side; ++i) {
      const int x = Left() + i % side * Pitch() + 1;
      const int y = Top() + i / side * Pitch() + 1;
      if (signs[i] == kHole) continue;
      const bool on = lit >> i & 1;
      Fill(cells, x, y, size, size, on ? kOrange : kDarkGrey);
      Fill(cells, x + 1, y + 1, size - 2, size - 2, on ? kYellow : kCharcoal);
      const int inset = (size - 5) / 2;
      for (int row = 0; row < 5; ++row) {
        uint8_t* out = cells + (y + inset + row) * kSide + x + inset;
        for (int column = 0; column < 5; ++column) {
          if (kSignSprites[signs[i]].cells[row][column] == kClear) continue;
          out[column] = on ? kMaroon : kLightGrey;
        }
      }
    }
  }

  // Linear over GF(2): which lamps to click, by elimination, then the fewest over the null space.
  bool Solve(uint32_t, std::vector<Action>* plan) const {
    const int lamps = side * side;
    uint64_t rows[kMaxLamps] = {};  // row i: clicks that toggle lamp i; bit 32: must it be toggled?
    for (int click = 0; click < lamps; ++click) {
      if (signs[click] == kHole) continue;
      const uint32_t toggled = Toggles(click);
      for (int i = 0; i < lamps; ++i) rows[i] |= uint64_t{toggled >> i & 1} << click;
    }
    for (int i = 0; i < lamps; ++i) rows[i] |= uint64_t{(All() & ~lit) >> i & 1} << 32;
    int pivots[kMaxLamps];
    uint32_t free = All();
    int rank = 0;
    for (int column = 0; column < lamps; ++column) {
      int row = rank;
      while (row < lamps && !(rows[row] >> column & 1)) ++row;
      if (row == lamps) continue;
      std::swap(rows[row], rows[rank]);
      for (int i = 0; i < lamps; ++i) {
        if (i != rank && rows[i] >> column & 1) rows[i] ^= rows[rank];
      }
      free &= ~(1u << column);
      pivots[rank++] = column;
    }
    for (int i = rank; i < lamps; ++i) {
      if (rows[i] >> 32) return false;
    }
    uint32_t best = 0;
    int fewest = kMaxLamps + 1;
    for (uint32_t chosen = free;;
         chosen = (chosen - 1) & free) {  // every subset of the free clicks
      uint32_t clicks = chosen;
      for (int i = 0; i < rank; ++i) {
        const uint32_t forced = __builtin_parity(static_cast<uint32_t>(rows[i]) & chosen);
        clicks |= (forced ^ static_cast<uint32_t>(rows[i] >> 32)) << pivots[i];
      }
      if (__builtin_popcount(clicks) < fewest) {
        fewest = __builtin_popcount(clicks);
        best = clicks;
      }
      if (chosen == 0) break;
    }
    for (int i = 0; i < lamps; ++i) {
      if (!(best >> i & 1)) continue;
      plan->push_back({kClick, static_cast<uint8_t>(Left() + i % side * Pitch() + Pitch() / 2),
                       static_cast<uint8_t>(Top() + i / side * Pitch() + Pitch() / 2)});
    }
    return true;
  }
};

}  // namespace

const Game kClickSwitch = Define<ClickSwitch>(
    "click_switch", "Click lamps until all are on; the sign on a lamp says what else it switches.",
    5, 60);

}  // namespace metabonk::grid64
