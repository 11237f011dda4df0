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
      const int kind = draws.Below(100);
      tiles[i] = OnBorder<kWidth, kHeight>(i) || kind < 12 ? kRock
                 : kind < 14                               ? kSnow
                 : kind < 15 + 2 * difficulty              ? kWater
                                                           : kIce;
    }
    for (int tries = 0; tries < 6; ++tries) {
      do {
        player = static_cast<uint8_t>(draws.Below(kTiles));
      } while (tiles[player] != kIce && tiles[player] != kSnow);
      if (PlaceGoal(draws, kShortest[difficulty])) return true;
    }
    return false;
  }

  // Puts the goal where the player can stop after `slides` slides.
  bool PlaceGoal(Draws& draws, int slides) {
    Stops before;
    Explore(&before);
    if (before.distance[before.at[before.count - 1]] <= slides) return false;
    const int first = draws.Below(before.count);
    for (int i = 0; i < before.count; ++i) {
      const int goal = before.at[(first + i) % before.count];
      if (before.distance[goal] != slides + 1 || tiles[goal] != kIce) continue;
      tiles[goal] = kGoal;
      // A goal also stops whoever slides over it, which may make the way shorter.
      Stops stops;
      Explore(&stops);
      if (stops.distance[goal] >= slides && AllLeadTo(goal, stops)) return true;
      tiles[goal] = kIce;
    }
    return false;
  }

  // Where the player can stop, nearest first.
  struct Stops {
    int count;
    uint8_t at[kTiles];
    uint8_t next[kTiles][4];   // by place in `at`: where each slide ends
    uint8_t distance[kTiles];  // by tile: 1 + slides from the player, 0 for never
  };

  void Explore(Stops* stops) const {
    std::memset(stops->distance, 0, kTiles);
    stops->at[0] = player;
    stops->count = 1;
    stops->distance[player] = 1;
    for (int head = 0; head < stops->count; ++head) {
      const int from = stops->at[head];
      for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
        const int next = Slide(from, move);
        stops->next[head][move - kUp] = static_cast<uint8_t>(next);
        if (stops->distance[next] || tiles[next] == kWater) continue;
        stops->distance[next] = static_cast<uint8_t>(stops->distance[from] + 1);
        stops->at[stops->count++] = static_cast<uint8_t>(next);
      }
    }
  }

  // From everywhere the player can stop there is a way to the goal: no dead ends.
  static bool AllLeadTo(int goal, const Stops& stops) {
    uint8_t leads[kTiles] = {};
    leads[goal] = 1;
    int leading = 1;
    for (int before = 0; leading != before;) {
      before = leading;
      for (int i = stops.count - 1; i >= 0; --i) {
        if (leads[stops.at[i]]) continue;
        for (const uint8_t next : stops.next[i]) leads[stops.at[i]] |= leads[next];
        leading += leads[stops.at[i]];
      }
    }
    return leading == stops.count;
  }

  int Slide(int at, uint8_t move) const {
    const int offset = Offset<kWidth>(move);
    while (tiles[at + offset] != kRock) {
      at += offset;
      if (tiles[at] != kIce) break;
    }
    return at;
  }

  bool Sound() const {
    return Enclosed<kWidth, kHeight>(tiles, kKinds, [](uint8_t tile) { return tile == kRock; }) &&
           player < kTiles && tiles[player] != kRock;
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
