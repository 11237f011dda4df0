// Visible clock with a stall: gems are to be collected while a dial and a bar show the time. Every
// now and then the power fails: for that long nothing can progress and only the clock runs on.
#include "games/grid64/canvas.h"
#include "games/grid64/game.h"
#include "games/grid64/search.h"

namespace metabonk::grid64 {
namespace {

constexpr int kWidth = 12;
constexpr int kHeight = 15;
constexpr int kTiles = kWidth * kHeight;
constexpr int kMaxGems = 6;
constexpr uint16_t kStepLimit = 250;
constexpr int kPanel = kWidth * 4;  // first column of the panel with the clock

enum Tile : uint8_t { kFloor, kWall, kExit, kGem, kKinds = kGem + kMaxGems };

struct Sprites {
  Sprite<4> of[kKinds];
};

constexpr Sprites MakeSprites() {
  Sprites sprites{};
  sprites.of[kFloor] = kFloor4;
  sprites.of[kWall] = kWall4;
  sprites.of[kExit] = Paint<4>("eeeee44ee44eeeee");
  for (int i = 0; i < kMaxGems; ++i) sprites.of[kGem + i] = Paint<4>("4aa4a00aa0aa4aa4");
  return sprites;
}

constexpr Sprites kSprites = MakeSprites();
constexpr Sprite<4> kStalledPlayer = Paint<4>(".11.15511111.11.");

struct StallClock {
  uint8_t tiles[kTiles];
  uint8_t player;
  uint8_t gems;       // how many there were
  uint8_t collected;  // a bit per gem
  uint8_t period;     // steps from one power failure to the next
  uint8_t stall;      // how many of them it lasts
  uint8_t phase;

  bool Generate(Draws& draws, int difficulty) {
    gems = static_cast<uint8_t>(2 + difficulty);
    period = static_cast<uint8_t>(draws.Between(24, 40));
    stall = static_cast<uint8_t>(draws.Between(8, 12 + difficulty));
    phase = static_cast<uint8_t>(draws.Between(stall, period - 4));
    ScatterWalls<kWidth, kHeight>(tiles, kFloor, kWall, 18 + 2 * difficulty, draws);
    player = static_cast<uint8_t>(DrawTile<kTiles>(tiles, kFloor, draws));
    if (WallOff<kWidth, kTiles>(player, tiles, kWall) < 80) return false;
    for (int i = 0; i <= gems; ++i) {
      const int at = DrawTile<kTiles>(tiles, kFloor, draws);
      if (at == player) return false;
      tiles[at] = i < gems ? static_cast<uint8_t>(kGem + i) : uint8_t{kExit};
    }
    return true;
  }

  uint64_t Layout() const { return HashWalls(tiles, kTiles, kWall); }

  bool Sound() const {
    if (gems < 1 || gems > kMaxGems || collected >> gems || stall >= period) return false;
    return Enclosed<kWidth, kHeight>(tiles, kGem + gems,
                                     [](uint8_t tile) { return tile == kWall; }) &&
           player < kTiles && tiles[player] != kWall;
  }

  bool Stalled(uint32_t tick) const { return (tick + phase) % period < stall; }

  bool Done() const { return collected == (1u << gems) - 1; }

  // Waiting is always possible, and during a power failure the only thing that is.
  ActionSet Available(uint32_t tick) const {
    return Stalled(tick) ? Allow(kInteract) : kMoves | Allow(kInteract);
  }

  Outcome Step(const Action& action, uint32_t tick) {
    if (!IsMove(action.id) || Stalled(tick)) return Outcome::kPlaying;
    const int next = player + Offset<kWidth>(action.id);
    if (tiles[next] == kWall) return Outcome::kPlaying;
    player = static_cast<uint8_t>(next);
    if (tiles[next] >= kGem) {
      collected = static_cast<uint8_t>(collected | 1u << (tiles[next] - kGem));
      tiles[next] = kFloor;
    }
    return tiles[next] == kExit && Done() ? Outcome::kSolved : Outcome::kPlaying;
  }

  void Render(uint32_t tick, uint8_t* cells) const {
    ClearStatus(cells);
    DrawTiles<4, kWidth, kHeight>(cells, 0, kStatusRows, tiles, kSprites.of);
    for (int i = 0; i < kTiles && Done(); ++i) {
      if (tiles[i] == kExit) Draw(cells, i % kWidth * 4, kStatusRows + i / kWidth * 4, kGoal4);
    }
    const bool stalled = Stalled(tick);
    Draw(cells, player % kWidth * 4, kStatusRows + player / kWidth * 4,
         stalled ? kStalledPlayer : kPlayer4);
    for (int i = 0; i < gems; ++i) {
      Fill(cells, kSide - 3 * (i + 1), 1, 2, 2,
           i < __builtin_popcount(collected) ? kSky : kDarkGrey);
    }
    DrawClock(cells, tick);
    Fill(cells, kPanel + 2, 25, 12, 4, stalled ? kRed : kGreen);
    Fill(cells, kPanel + 3, 26, 10, 2, stalled ? kMaroon : kWhite);
  }

  static void DrawClock(uint8_t* cells, uint32_t tick) {
    constexpr int8_t kHands[16][2] = {{0, -4}, {2, -4},  {3, -3},  {4, -2}, {4, 0},  {4, 2},
                                      {3, 3},  {2, 4},   {0, 4},   {-2, 4}, {-3, 3}, {-4, 2},
                                      {-4, 0}, {-4, -2}, {-3, -3}, {-2, -4}};
    constexpr uint8_t kInset[13] = {4, 2, 1, 1, 0, 0, 0, 0, 0, 1, 1, 2, 4};
    Fill(cells, kPanel, kStatusRows, kSide - kPanel, kSide - kStatusRows, kBlack);
    const int x = kPanel + 8;
    const int y = kStatusRows + 9;
    for (int row = 0; row < 13; ++row) {
      Fill(cells, x - 6 + kInset[row], y - 6 + row, 13 - 2 * kInset[row], 1, kLightGrey);
    }
    for (int row = 1; row < 12; ++row) {
      const int inset = kInset[row] < 1 ? 1 : kInset[row] + 1;
      Fill(cells, x - 6 + inset, y - 6 + row, 13 - 2 * inset, 1, kWhite);
    }
    const int8_t* hand = kHands[tick % 16];
    for (int i = 0; i <= 4; ++i) {
      cells[(y + hand[1] * i / 4) * kSide + x + hand[0] * i / 4] = i == 4 ? kRed : kBlack;
    }
    // The bar fills from below over the level's step limit.
    constexpr int kBarTop = 32;
    constexpr int kBarHeight = kSide - kBarTop - 2;
    const int filled =
        static_cast<int>(tick < kStepLimit ? tick : kStepLimit) * kBarHeight / kStepLimit;
    Fill(cells, kPanel + 5, kBarTop, 6, kBarHeight, kDarkGrey);
    Fill(cells, kPanel + 5, kBarTop + kBarHeight - filled, 6, filled, kOrange);
  }

  // Exact in moves: shortest over (tile, gems); waits through each power failure.
  bool Solve(uint32_t tick, std::vector<Action>* plan) const {
    const int all = (1 << gems) - 1;
    std::vector<Action> moves;
    const bool found = ShortestPlan(
        kTiles * (all + 1), collected * kTiles + player,
        [&](int code, auto emit) {
          const int held = code / kTiles;
          for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
            const int next = code % kTiles + Offset<kWidth>(move);
            if (tiles[next] == kWall) continue;
            const int gem = tiles[next] >= kGem ? 1 << (tiles[next] - kGem) : 0;
            emit((held | gem) * kTiles + next, {move});
          }
        },
        [&](int code) { return code / kTiles == all && tiles[code % kTiles] == kExit; }, &moves);
    for (const Action& move : moves) {
      for (; Stalled(tick); ++tick) plan->push_back({kInteract});
      plan->push_back(move);
      ++tick;
    }
    return found;
  }
};

}  // namespace

const Game kStallClock = Define<StallClock>(
    "stall_clock", "Collect the gems and leave; the clock runs on even while the power is out.", 5,
    kStepLimit);

}  // namespace metabonk::grid64
