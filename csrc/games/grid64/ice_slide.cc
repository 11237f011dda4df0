// Ice slide: the player slides until something stops it. Snow gives a hold, water ends the game.
#include "games/grid64/canvas.h"
#include "games/grid64/game.h"
#include "games/grid64/search.h"

namespace metabonk::grid64 {
namespace {

constexpr int kWidth = 12;
constexpr int kHeight = 12;
constexpr int kTiles = kWidth * kHeight;
constexpr int kMargin = 2;  // cells from the left edge to the board

enum Tile : uint8_t { kIce, kRock, kSnow, kWater, kGoal, kKinds };

constexpr Sprite<5> kSprites[kKinds] = {
    Paint<5>("aaaaaaaaaaaaaaaaaa0aaaaaa"), Paint<5>("22223211332111332113333335"),
    Paint<5>("0000001000000000001000000"), Paint<5>("9999999a99999999999a99999"),
    Paint<5>("eeeeee000ee0e0ee000eeeeee"),
};

struct IceSlide {
  uint8_t tiles[kTiles];
  uint8_t player;

  bool Generate(Draws& draws, int difficulty) {
    constexpr int kShortest[] = {3, 4, 5, 6, 7};
    for (int i = 0; i < kTiles; ++i) {
      const int x = i % kWidth;
      const int y = i / kWidth;
      const int kind = draws.Below(100);
      tiles[i] = x == 0 || y == 0 || x == kWidth - 1 || y == kHeight - 1 ? kRock
                 : kind < 12                                             ? kRock
                 : kind < 14                                             ? kSnow
                 : kind < 15 + 2 * difficulty                            ? kWater
                                                                         : kIce;
    }
    do {
      player = static_cast<uint8_t>(draws.Below(kTiles));
    } while (tiles[player] != kIce && tiles[player] != kSnow);
    // The goal goes where the player can stop, as many slides away as the difficulty asks for.
    uint8_t distance[kTiles];
    const int farthest = Distances(distance);
    if (farthest < kShortest[difficulty]) return false;
    int candidates[kTiles];
    int count = 0;
    for (int i = 0; i < kTiles; ++i) {
      if (distance[i] == 0 || tiles[i] != kIce) continue;
      if (distance[i] - 1 == kShortest[difficulty]) candidates[count++] = i;
    }
    if (count == 0) return false;
    const int goal = candidates[draws.Below(count)];
    tiles[goal] = kGoal;
    // A goal also stops whoever slides over it, which may make the way shorter.
    Distances(distance);
    return distance[goal] - 1 >= kShortest[difficulty] - 1 && NoDeadEnds(distance, goal);
  }

  // From everywhere the player can stop (`distance` > 0) there is a way to the goal.
  bool NoDeadEnds(const uint8_t* distance, int goal) const {
    uint8_t leads[kTiles] = {};
    leads[goal] = 1;
    for (bool changed = true; changed;) {
      changed = false;
      for (int at = 0; at < kTiles; ++at) {
        if (!distance[at] || leads[at]) continue;
        for (const uint8_t move : {kUp, kDown, kLeft, kRight}) leads[at] |= leads[Slide(at, move)];
        changed = changed || leads[at];
      }
    }
    for (int at = 0; at < kTiles; ++at) {
      if (distance[at] && !leads[at]) return false;
    }
    return true;
  }

  // 1 + slides from the player to each tile, 0 where it cannot stop; returns the largest - 1.
  int Distances(uint8_t* distance) const {
    std::memset(distance, 0, kTiles);
    uint8_t queue[kTiles];
    int tail = 0;
    queue[tail++] = player;
    distance[player] = 1;
    int last = player;
    for (int head = 0; head < tail; ++head) {
      last = queue[head];
      for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
        const int next = Slide(last, move);
        if (distance[next] || tiles[next] == kWater) continue;
        distance[next] = static_cast<uint8_t>(distance[last] + 1);
        queue[tail++] = static_cast<uint8_t>(next);
      }
    }
    return distance[last] - 1;
  }

  int Slide(int at, uint8_t move) const {
    const int offset = Offset<kWidth>(move);
    while (tiles[at + offset] != kRock) {
      at += offset;
      if (tiles[at] != kIce) break;
    }
    return at;
  }

  uint64_t Layout() const { return HashBytes(0, tiles, kTiles); }

  ActionSet Available(uint32_t) const { return kMoves; }

  Outcome Step(const Action& action, uint32_t) {
    if (!IsMove(action.id)) return Outcome::kPlaying;
    player = static_cast<uint8_t>(Slide(player, action.id));
    if (tiles[player] == kWater) return Outcome::kLost;
    return tiles[player] == kGoal ? Outcome::kSolved : Outcome::kPlaying;
  }

  void Render(uint32_t, uint8_t* cells) const {
    ClearStatus(cells);
    for (int side : {0, kSide - kMargin})
      Fill(cells, side, kStatusRows, kMargin, kSide - kStatusRows, kBlack);
    DrawTiles<5, kWidth, kHeight>(cells, kMargin, kStatusRows, tiles, kSprites);
    Draw(cells, kMargin + player % kWidth * 5, kStatusRows + player / kWidth * 5, kPlayer5);
  }

  // Exact: fewest slides.
  bool Solve(uint32_t, std::vector<Action>* plan) const {
    return ShortestPlan(
        kTiles, player,
        [&](int at, auto emit) {
          for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
            const int next = Slide(at, move);
            if (tiles[next] != kWater) emit(next, {move});
          }
        },
        [&](int at) { return tiles[at] == kGoal; }, plan);
  }
};

}  // namespace

const Game kIceSlide = Define<IceSlide>(
    "ice_slide", "Slide over ice until something stops you, reach the green goal, avoid water.", 5,
    40);

}  // namespace metabonk::grid64
