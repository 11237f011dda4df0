// Conveyor: belts carry the player one tile after each step. Walking against a belt gets nowhere;
// a click on a belt reverses all belts of its colour.
#include "games/grid64/canvas.h"
#include "games/grid64/game.h"
#include "games/grid64/search.h"

namespace metabonk::grid64 {
namespace {

constexpr int kWidth = 12;
constexpr int kHeight = 12;
constexpr int kTiles = kWidth * kHeight;
constexpr int kMargin = 2;
constexpr int kSets = 3;  // colours of belts

enum Tile : uint8_t { kFloor, kWall, kGoal, kBelt, kKinds = kBelt + 4 * kSets };

constexpr uint8_t kColors[kSets] = {kBlue, kOrange, kPurple};

struct Sprites {
  Sprite<5> of[kKinds];
};

constexpr Sprite<5> Turned(const Sprite<5>& up, int direction) {  // 0 up, 1 down, 2 left, 3 right
  Sprite<5> out{};
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 5; ++x) {
      const uint8_t cell = up.cells[y][x];
      if (direction == 0) out.cells[y][x] = cell;
      if (direction == 1) out.cells[4 - y][x] = cell;
      if (direction == 2) out.cells[x][y] = cell;
      if (direction == 3) out.cells[x][4 - y] = cell;
    }
  }
  return out;
}

constexpr Sprites MakeSprites() {
  Sprites sprites{};
  sprites.of[kFloor] = Paint<5>("4444444444444444444444444");
  sprites.of[kWall] = Paint<5>("2222223333233332333323333");
  sprites.of[kGoal] = Paint<5>("eeeeee000ee0e0ee000eeeeee");
  for (int i = 0; i < 4 * kSets; ++i) {
    sprites.of[kBelt + i] =
        Recolor(Turned(Paint<5>("9999999099900099999999999"), i % 4), kBlue, kColors[i / 4]);
  }
  return sprites;
}

constexpr Sprites kSprites = MakeSprites();

struct Conveyor {
  uint8_t tiles[kTiles];  // belts as they run now
  uint8_t player;

  bool Generate(Draws& draws, int difficulty) {
    ScatterWalls<kWidth, kHeight>(tiles, kFloor, kWall, 10, draws);
    const int colors = difficulty == 0 ? 1 : difficulty < 3 ? 2 : 3;
    for (int i = 0; i < 3 + difficulty; ++i)
      LayRun(draws, draws.Below(colors), draws.Between(3, 6));
    // Belts across the whole board, each running to one side: gates that let pass one way only.
    const bool upright = draws.Chance(50);
    for (int i = 0; i < colors; ++i) {
      const int line =
          colors == 1 ? draws.Between(4, 7) : 3 + i * (colors == 2 ? 4 : 3) + draws.Below(2);
      LayGate(upright, line, i, draws.Below(2));
    }
    const int start = Place(draws, upright, draws.Between(1, 2));
    const int goal = Place(draws, upright, kWidth - 2);
    if (start < 0 || goal < 0) return false;
    if (draws.Chance(50)) {
      tiles[start] = kGoal;
      player = static_cast<uint8_t>(goal);
    } else {
      tiles[goal] = kGoal;
      player = static_cast<uint8_t>(start);
    }
    return Shortest(true) >= 7 + difficulty && (difficulty == 0 || Shortest(false) < 0);
  }

  void LayRun(Draws& draws, int color, int length) {
    const int direction = draws.Below(4);
    const int offset = Offset<kWidth>(static_cast<uint8_t>(kUp + direction));
    int at = draws.Between(1, kHeight - 2) * kWidth + draws.Between(1, kWidth - 2);
    for (; length > 0 && tiles[at] == kFloor; --length, at += offset) {
      tiles[at] = static_cast<uint8_t>(kBelt + 4 * color + direction);
    }
  }

  void LayGate(bool upright, int line, int color, int side) {
    const int direction = (upright ? 2 : 0) + side;
    for (int i = 1; i < kWidth - 1; ++i) {
      const int at = upright ? i * kWidth + line : line * kWidth + i;
      if (tiles[at] != kWall) tiles[at] = static_cast<uint8_t>(kBelt + 4 * color + direction);
    }
  }

  int Place(Draws& draws, bool upright, int line) const {
    const int i = draws.Between(1, kWidth - 2);
    const int at = upright ? i * kWidth + line : line * kWidth + i;
    return tiles[at] == kFloor ? at : -1;
  }

  static bool Solid(uint8_t tile) { return tile == kWall; }

  // The direction 0..3 of a belt tile when the colours in `flips` run the other way.
  static int Direction(uint8_t tile, int flips) {
    const int belt = tile - kBelt;
    return (belt % 4) ^ (flips >> (belt / 4) & 1);
  }

  // Where a step from `at` ends: the move, then the belt.
  int Carry(int at, uint8_t move, int flips) const {
    const int next = at + Offset<kWidth>(move);
    if (!Solid(tiles[next])) at = next;
    if (tiles[at] < kBelt) return at;
    const int carried =
        at + Offset<kWidth>(static_cast<uint8_t>(kUp + Direction(tiles[at], flips)));
    return Solid(tiles[carried]) ? at : carried;
  }

  bool Sound() const {
    return Enclosed<kWidth, kHeight>(tiles, kKinds, [](uint8_t tile) { return tile == kWall; }) &&
           player < kTiles && tiles[player] != kWall;
  }

  uint64_t Layout() const {  // belts without their direction, which clicks change
    uint8_t fixed[kTiles];
    for (int i = 0; i < kTiles; ++i) {
      fixed[i] = tiles[i] < kBelt ? tiles[i] : static_cast<uint8_t>(kBelt + (tiles[i] - kBelt) / 2);
    }
    return HashBytes(0, fixed, kTiles);
  }

  ActionSet Available(uint32_t) const { return kMoves | Allow(kClick); }

  Outcome Step(const Action& action, uint32_t) {
    if (action.id == kClick) {
      const int x = (action.x - kMargin) / 5;
      const int y = (action.y - kStatusRows) / 5;
      const bool inside =
          action.x >= kMargin && action.y >= kStatusRows && x < kWidth && y < kHeight;
      if (inside && tiles[y * kWidth + x] >= kBelt) Reverse((tiles[y * kWidth + x] - kBelt) / 4);
    }
    const uint8_t move = IsMove(action.id) ? action.id : uint8_t{kNoAction};
    player = static_cast<uint8_t>(Carry(player, move, 0));
    return tiles[player] == kGoal ? Outcome::kSolved : Outcome::kPlaying;
  }

  void Reverse(int color) {
    for (uint8_t& tile : tiles) {
      if (tile >= kBelt && (tile - kBelt) / 4 == color)
        tile = static_cast<uint8_t>(kBelt + ((tile - kBelt) ^ 1));
    }
  }

  void Render(uint32_t, uint8_t* cells) const {
    ClearStatus(cells);
    for (int side : {0, kSide - kMargin}) {
      Fill(cells, side, kStatusRows, kMargin, kSide - kStatusRows, kBlack);
    }
    DrawTiles<5, kWidth, kHeight>(cells, kMargin, kStatusRows, tiles, kSprites.of);
    Draw(cells, kMargin + player % kWidth * 5, kStatusRows + player / kWidth * 5, kPlayer5);
  }

  // All that a step can do at a code: tile + kTiles * (colours that run the other way).
  template <class Emit>
  void Expand(int code, const Action* reverse, Emit emit) const {
    const int at = code % kTiles;
    const int flips = code / kTiles;
    for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
      emit(flips * kTiles + Carry(at, move, flips), Action{move});
    }
    for (int i = 0; i < kSets && reverse; ++i) {
      if (reverse[i].id == kNoAction) continue;
      const int flipped = flips ^ 1 << i;
      emit(flipped * kTiles + Carry(at, kNoAction, flipped), reverse[i]);
    }
  }

  // A click for each colour that has a belt.
  void FindClicks(Action* reverse) const {
    for (int i = 0; i < kTiles; ++i) {
      if (tiles[i] < kBelt) continue;
      reverse[(tiles[i] - kBelt) / 4] = {kClick, static_cast<uint8_t>(kMargin + i % kWidth * 5 + 2),
                                         static_cast<uint8_t>(kStatusRows + i / kWidth * 5 + 2)};
    }
  }

  // Steps of the shortest plan, -1 for none. Allocates nothing: levels are made while batches step.
  int Shortest(bool clicks) const {
    Action reverse[kSets];
    FindClicks(reverse);
    uint8_t distance[kTiles << kSets] = {};
    uint16_t queue[kTiles << kSets];
    int tail = 0;
    queue[tail++] = player;
    distance[player] = 1;
    for (int head = 0; head < tail; ++head) {
      const int code = queue[head];
      if (tiles[code % kTiles] == kGoal) return distance[code] - 1;
      Expand(code, clicks ? reverse : nullptr, [&](int next, Action) {
        if (distance[next]) return;
        distance[next] = static_cast<uint8_t>(distance[code] + 1);
        queue[tail++] = static_cast<uint16_t>(next);
      });
    }
    return -1;
  }

  // Exact: fewest steps.
  bool Solve(uint32_t, std::vector<Action>* plan) const {
    Action reverse[kSets];
    FindClicks(reverse);
    return ShortestPlan(
        kTiles << kSets, player, [&](int code, auto emit) { Expand(code, reverse, emit); },
        [&](int code) { return tiles[code % kTiles] == kGoal; }, plan);
  }
};

}  // namespace

const Game kConveyor = Define<Conveyor>(
    "conveyor", "Ride the belts to the goal; a click on a belt reverses all belts of its colour.",
    5, 100);

}  // namespace metabonk::grid64
