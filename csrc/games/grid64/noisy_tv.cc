// Noisy television: in one room a screen shows pure noise whatever is done, in the other coloured
// plates switch lamps by rules that can be learned. All lamps on open the gate to the goal. The
// noise is only seen from the screen's room, so that watching it is a choice.
#include "games/grid64/canvas.h"
#include "games/grid64/game.h"
#include "games/grid64/search.h"

namespace metabonk::grid64 {
namespace {

constexpr int kWidth = 16;
constexpr int kHeight = 15;
constexpr int kTiles = kWidth * kHeight;
constexpr int kMaxLamps = 5;
constexpr int kDivider = 8;  // column of the wall between the rooms, before mirroring
constexpr int kGateRow = 11;
constexpr int kScreenBottom = 5;

enum Tile : uint8_t {
  kFloor,
  kWall,
  kGate,
  kOpenGate,
  kGoal,
  kScreen,
  kPlate,
  kKinds = kPlate + kMaxLamps
};

constexpr uint8_t kColors[kMaxLamps] = {kYellow, kBlue, kRed, kPurple, kOrange};

struct NoisyTv {
  uint8_t tiles[kTiles];
  uint8_t toggles[kMaxLamps];  // lamps that plate i switches, a bit each
  uint8_t lamp_at[kMaxLamps];  // tile of the lamp, in the top wall
  uint8_t lamps;               // how many
  uint8_t lit;                 // a bit per lamp
  uint8_t player;
  uint8_t mirrored;
  uint8_t noise[8];  // key of the screen's random numbers

  bool Generate(Draws& draws, int difficulty) {
    constexpr int kLamps[] = {2, 3, 3, 4, 5};
    lamps = static_cast<uint8_t>(kLamps[difficulty]);
    mirrored = draws.Chance(50);
    const uint64_t key = draws.Bits();
    std::memcpy(noise, &key, sizeof(noise));
    BuildRooms(draws, 4 + difficulty);
    for (int i = 0; i < lamps; ++i) {
      toggles[i] = static_cast<uint8_t>(1u << i);
      if (difficulty >= 2) toggles[i] = static_cast<uint8_t>(toggles[i] | 1u << draws.Below(lamps));
      lamp_at[i] = static_cast<uint8_t>(At(kDivider + 2 + i, 0));
      if (!PlacePlate(draws, i)) return false;
    }
    // Presses from the finished state, so that presses lead back to it.
    const uint8_t all = static_cast<uint8_t>((1u << lamps) - 1);
    lit = all;
    const int presses = draws.Between(1, all);
    for (int i = 0; i < lamps; ++i) {
      if (presses >> i & 1) lit ^= toggles[i];
    }
    return lit != all;
  }

  int At(int x, int y) const { return y * kWidth + (mirrored ? kWidth - 1 - x : x); }

  void BuildRooms(Draws& draws, int pillars) {
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        const bool border = OnBorder<kWidth, kHeight>(At(x, y));
        const bool screen = y >= 1 && y <= kScreenBottom && x >= 1 && x < kDivider;
        const bool inner = x == kDivider || (y == kGateRow && x > kDivider);
        tiles[At(x, y)] = border || inner ? kWall : screen ? kScreen : kFloor;
      }
    }
    const int opening = draws.Between(kScreenBottom + 2, kGateRow - 2);
    tiles[At(kDivider, opening)] = kFloor;
    player = static_cast<uint8_t>(At(kDivider, opening));
    ScatterPillars<kWidth, kHeight>(tiles, kFloor, kWall, pillars, draws);
    // Pillars keep their distance from walls, so the tiles on both sides of the gate are free.
    tiles[At(draws.Between(kDivider + 1, kWidth - 2), kGateRow)] = kGate;
    tiles[At(draws.Between(kDivider + 1, kWidth - 2), draws.Between(12, 13))] = kGoal;
  }

  bool PlacePlate(Draws& draws, int plate) {
    for (int tries = 0; tries < 32; ++tries) {
      const int at = At(draws.Between(kDivider + 1, kWidth - 2), draws.Between(1, kGateRow - 1));
      if (tiles[at] != kFloor) continue;
      tiles[at] = static_cast<uint8_t>(kPlate + plate);
      return true;
    }
    return false;
  }

  // Walls and plates; the gate is as good as wall or floor.
  uint64_t Layout() const {
    uint8_t fixed[kTiles];
    for (int i = 0; i < kTiles; ++i) fixed[i] = tiles[i] == kOpenGate ? uint8_t{kGate} : tiles[i];
    return HashBytes(HashBytes(lamps, toggles, sizeof(toggles)), fixed, kTiles);
  }

  bool Sound() const {
    if (lamps < 1 || lamps > kMaxLamps || lit >> lamps || mirrored > 1) return false;
    for (int i = 0; i < kMaxLamps; ++i) {
      if (toggles[i] >> lamps || lamp_at[i] >= kTiles) return false;
    }
    return Enclosed<kWidth, kHeight>(tiles, kKinds, [](uint8_t tile) { return tile == kWall; }) &&
           player < kTiles && tiles[player] != kWall;
  }

  bool OnPlate() const { return tiles[player] >= kPlate; }

  bool Open() const { return lit == (1u << lamps) - 1; }

  bool Watching() const {
    const int x = player % kWidth;
    return (mirrored ? kWidth - 1 - x : x) < kDivider;
  }

  ActionSet Available(uint32_t) const { return OnPlate() ? kMoves | Allow(kInteract) : kMoves; }

  Outcome Step(const Action& action, uint32_t) {
    if (action.id == kInteract && OnPlate()) {
      lit ^= toggles[tiles[player] - kPlate];
      for (uint8_t& tile : tiles) {
        if (tile == kGate || tile == kOpenGate) tile = Open() ? kOpenGate : kGate;
      }
    }
    if (!IsMove(action.id)) return Outcome::kPlaying;
    const int next = player + Offset<kWidth>(action.id);
    if (tiles[next] == kWall || tiles[next] == kGate || tiles[next] == kScreen) {
      return Outcome::kPlaying;
    }
    player = static_cast<uint8_t>(next);
    return tiles[next] == kGoal ? Outcome::kSolved : Outcome::kPlaying;
  }

  void Render(uint32_t tick, uint8_t* cells) const;

  // Exact: shortest over (tile, lamps).
  bool Solve(uint32_t, std::vector<Action>* plan) const {
    const int all = (1 << lamps) - 1;
    return ShortestPlan(
        kTiles * (all + 1), lit * kTiles + player,
        [&](int code, auto emit) {
          const int at = code % kTiles;
          const int on = code / kTiles;
          if (tiles[at] >= kPlate)
            emit((on ^ toggles[tiles[at] - kPlate]) * kTiles + at, {kInteract});
          for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
            const int next = at + Offset<kWidth>(move);
            if (tiles[next] == kWall || tiles[next] == kScreen) continue;
            if ((tiles[next] == kGate || tiles[next] == kOpenGate) && on != all) continue;
            emit(on * kTiles + next, {move});
          }
        },
        [&](int code) { return tiles[code % kTiles] == kGoal; }, plan);
  }
};

struct Sprites {
  Sprite<4> of[kKinds];
  Sprite<4> lamp[kMaxLamps][2];  // off, on
};

constexpr Sprites MakeSprites() {
  Sprites sprites{};
  sprites.of[kFloor] = kFloor4;
  sprites.of[kWall] = kWall4;
  sprites.of[kGate] = Paint<4>("2e2e2e2e2e2e2e2e");
  sprites.of[kOpenGate] = Paint<4>("e44ee44ee44ee44e");
  sprites.of[kGoal] = kGoal4;
  sprites.of[kScreen] = Paint<4>("5555555555555555");
  for (int i = 0; i < kMaxLamps; ++i) {
    sprites.of[kPlate + i] = Paint<4>("1111155115511111");
    sprites.lamp[i][0] = Recolor(Paint<4>("3bb3b55bb55b3bb3"), kYellow, kColors[i]);
    sprites.lamp[i][1] = Recolor(Paint<4>("3bb3b00bbb0b3bb3"), kYellow, kColors[i]);
  }
  return sprites;
}

constexpr Sprites kSprites = MakeSprites();

void NoisyTv::Render(uint32_t tick, uint8_t* cells) const {
  ClearStatus(cells);
  DrawTiles<4, kWidth, kHeight>(cells, 0, kStatusRows, tiles, kSprites.of);
  for (int i = 0; i < kTiles; ++i) {  // a plate shows the colours of the lamps that it switches
    if (tiles[i] < kPlate) continue;
    const int plate = tiles[i] - kPlate;
    uint8_t* out = cells + (kStatusRows + i / kWidth * 4 + 1) * kSide + i % kWidth * 4;
    const unsigned other = toggles[plate] & ~(1u << plate);
    out[1] = out[kSide + 1] = kColors[plate];
    out[2] = out[kSide + 2] = other ? kColors[__builtin_ctz(other)] : kColors[plate];
  }
  for (int i = 0; i < lamps; ++i) {
    Draw(cells, lamp_at[i] % kWidth * 4, kStatusRows, kSprites.lamp[i][lit >> i & 1]);
  }
  const int left = (mirrored ? kDivider : 1) * 4;
  const int width = (kDivider - 1) * 4;
  const int height = kScreenBottom * 4;
  Fill(cells, left, kStatusRows + 4, width, height, kGrey);
  Fill(cells, left + 2, kStatusRows + 6, width - 4, height - 4, kBlack);
  if (Watching()) {
    uint64_t key;
    std::memcpy(&key, noise, sizeof(key));
    uint64_t bits = 0;
    int drawn = 0;
    for (int y = 0; y < height - 4; y += 2) {  // dots of 2x2 cells
      uint8_t* row = cells + (kStatusRows + 6 + y) * kSide + left + 2;
      for (int x = 0; x < width - 4; x += 2, bits >>= 4, ++drawn) {
        if (drawn % 16 == 0) bits = HashDraw(key, tick * uint64_t{16} + drawn / 16);
        row[x] = row[x + 1] = row[x + kSide] = row[x + kSide + 1] = bits & 15;
      }
    }
  }
  Draw(cells, player % kWidth * 4, kStatusRows + player / kWidth * 4, kPlayer4);
}

}  // namespace

const Game kNoisyTv = Define<NoisyTv>(
    "noisy_tv", "Ignore the flickering screen: plates switch lamps, all lamps open the gate.", 5,
    250);

}  // namespace metabonk::grid64
