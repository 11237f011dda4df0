// Memory match: cards lie face down in scattered places. Two of them can be up at a time; equal
// ones stay up, others turn back with the next click.
#include "games/grid64/canvas.h"
#include "games/grid64/game.h"

namespace metabonk::grid64 {
namespace {

constexpr int kColumns = 5;
constexpr int kSlots = kColumns * kColumns;
constexpr int kPitch = 12;
constexpr int kMargin = 2;
constexpr int kMaxPairs = 8;
constexpr uint8_t kNone = 255;

constexpr Sprite<6> kFaces[1 + kMaxPairs] = {
    Paint<6>("...................................."),
    Paint<6>(".8888.888888888888888888888888.8888."),
    Paint<6>("999999999999999999999999999999999999"),
    Paint<6>("..ee....ee..eeeeeeeeeeee..ee....ee.."),
    Paint<6>("..bb...bbbb.bbbbbbbbbbbb.bbbb...bb.."),
    Paint<6>("ff..ffff..ff..ff....ff..ff..ffff..ff"),
    Paint<6>("cccccccccccccc..cccc..cccccccccccccc"),
    Paint<6>("aa....aaa....aaa....aaa....aaa....aa"),
    Paint<6>(".6..6.666666666666.6666...66........"),
};

struct MemoryMatch {
  uint32_t matched;       // a bit per slot
  uint32_t seen;          // a bit per slot whose face has been shown
  uint8_t faces[kSlots];  // 1..pairs, 0 for a slot without a card
  uint8_t up[2];          // slots of the cards that are up and not matched, kNone
  uint8_t pad[1];

  bool Generate(Draws& draws, int difficulty) {
    constexpr int kPairs[] = {2, 3, 4, 6, 8};
    uint8_t slots[kSlots];
    for (int i = 0; i < kSlots; ++i) slots[i] = static_cast<uint8_t>(i);
    draws.Shuffle(slots, kSlots);
    uint8_t kinds[kMaxPairs];
    for (int i = 0; i < kMaxPairs; ++i) kinds[i] = static_cast<uint8_t>(1 + i);
    draws.Shuffle(kinds, kMaxPairs);
    for (int i = 0; i < 2 * kPairs[difficulty]; ++i) faces[slots[i]] = kinds[i / 2];
    up[0] = up[1] = kNone;
    return true;
  }

  uint64_t Layout() const {  // where cards lie; their faces are hidden
    uint32_t taken = 0;
    for (int i = 0; i < kSlots; ++i) taken |= uint32_t{faces[i] != 0} << i;
    return Mix64(taken + 0x9E3779B97F4A7C15ull);
  }

  bool Sound() const {
    for (const uint8_t face : faces) {
      if (face > kMaxPairs) return false;
    }
    return (up[0] < kSlots || up[0] == kNone) && (up[1] < kSlots || up[1] == kNone);
  }

  ActionSet Available(uint32_t) const { return Allow(kClick); }

  Outcome Step(const Action& action, uint32_t) {
    if (action.id != kClick) return Outcome::kPlaying;
    if (up[1] != kNone) up[0] = up[1] = kNone;
    const int slot = SlotAt(action.x, action.y);
    if (slot < 0 || faces[slot] == 0 || matched >> slot & 1 || slot == up[0])
      return Outcome::kPlaying;
    Turn(slot);
    for (int i = 0; i < kSlots; ++i) {
      if (faces[i] != 0 && !(matched >> i & 1)) return Outcome::kPlaying;
    }
    return Outcome::kSolved;
  }

  static int SlotAt(int x, int y) {
    x -= kMargin;
    y -= kStatusRows;
    if (x < 0 || y < 0 || x >= kColumns * kPitch) return -1;
    if (x % kPitch == 0 || x % kPitch == kPitch - 1) return -1;  // the gap between two cards
    if (y % kPitch == 0 || y % kPitch == kPitch - 1) return -1;
    return y / kPitch * kColumns + x / kPitch;
  }

  void Turn(int slot) {
    seen |= 1u << slot;
    if (up[0] == kNone) {
      up[0] = static_cast<uint8_t>(slot);
    } else if (faces[up[0]] == faces[slot]) {
      matched |= 1u << slot | 1u << up[0];
      up[0] = kNone;
    } else {
      up[1] = static_cast<uint8_t>(slot);
    }
  }

  void Render(uint32_t, uint8_t* cells) const {
    std::memset(cells, kCharcoal, kCells);
    ClearStatus(cells);
    for (int i = 0; i < kSlots; ++i) {
      if (faces[i] == 0) continue;
      const int x = kMargin + i % kColumns * kPitch + 1;
      const int y = kStatusRows + i / kColumns * kPitch + 1;
      const bool done = matched >> i & 1;
      if (done || i == up[0] || i == up[1]) {
        Fill(cells, x, y, 10, 10, done ? kGreen : kLightGrey);
        Fill(cells, x + 1, y + 1, 8, 8, kWhite);
        Draw(cells, x + 2, y + 2, kFaces[faces[i]]);
      } else {
        Fill(cells, x, y, 10, 10, kSky);
        Fill(cells, x + 1, y + 1, 8, 8, kBlue);
        Fill(cells, x + 4, y + 2, 2, 6, kSky);
        Fill(cells, x + 2, y + 4, 6, 2, kSky);
      }
    }
  }

  // Plays from memory: a card whose partner has been seen is matched, otherwise a new one is
  // turned.
  bool Solve(uint32_t, std::vector<Action>* plan) const {
    MemoryMatch level = *this;
    for (int turn = 0; turn < 4 * kSlots; ++turn) {
      const int slot = level.Next();
      const int x = kMargin + slot % kColumns * kPitch + kPitch / 2;
      const int y = kStatusRows + slot / kColumns * kPitch + kPitch / 2;
      plan->push_back({kClick, static_cast<uint8_t>(x), static_cast<uint8_t>(y)});
      if (level.Step(plan->back(), 0) == Outcome::kSolved) return true;
    }
    return false;
  }

  int Next() const {
    const bool second = up[0] != kNone && up[1] == kNone;
    int fresh = -1;
    for (int i = kSlots - 1; i >= 0; --i) {
      if (faces[i] == 0 || matched >> i & 1 || (second && i == up[0])) continue;
      if (!(seen >> i & 1)) {
        fresh = i;
      } else if (second ? faces[i] == faces[up[0]] : PartnerSeen(i)) {
        return i;
      }
    }
    return fresh;
  }

  bool PartnerSeen(int slot) const {
    for (int i = 0; i < kSlots; ++i) {
      if (i != slot && faces[i] == faces[slot] && seen >> i & 1) return true;
    }
    return false;
  }
};

}  // namespace

const Game kMemoryMatch = Define<MemoryMatch>(
    "memory_match", "Turn cards over two at a time and match the pairs.", 5, 100);

}  // namespace metabonk::grid64
