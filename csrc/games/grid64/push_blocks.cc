// Push blocks: every crate on a mark. Crates are pushed, never pulled, so a level can be spoilt;
// RESET starts it anew. Levels are made by pulling crates away from the marks and so can be
// finished.
#include <algorithm>
#include <bit>
#include <queue>
#include <unordered_map>

#include "games/grid64/canvas.h"
#include "games/grid64/game.h"
#include "games/grid64/search.h"

namespace metabonk::grid64 {
namespace {

constexpr int kWidth = 10;
constexpr int kHeight = 10;
constexpr int kTiles = kWidth * kHeight;
constexpr int kMaxCrates = 3;
constexpr int kMargin = 2;  // cells from the left edge to the board
constexpr uint8_t kFar = 255;

enum Tile : uint8_t { kFloor, kWall, kMark, kKinds };

constexpr Sprite<6> kSprites[kKinds] = {
    Paint<6>("444444444444444444444444444444444444"),
    Paint<6>("222223222223222223333333322222333333"),
    Paint<6>("4444444e44e444ee4444ee444e44e4444444"),
};
constexpr Sprite<6> kCrate = Paint<6>("dddddddccccddcddcddcddcddccccddddddd");
constexpr Sprite<6> kCrateOnMark = Paint<6>("eeeeeeecccceeceeceeceeceecccceeeeeee");
constexpr Sprite<6> kPlayer6 = Paint<6>("..66...6666.605506666666.6666..6..6.");

struct PushBlocks {
  uint8_t tiles[kTiles];
  uint8_t crates[kMaxCrates];  // tile of each
  uint8_t count;
  uint8_t player;
  uint8_t touched;  // something has moved since the start

  bool Generate(Draws& draws, int difficulty) {
    constexpr int kCounts[] = {1, 2, 2, 3, 3};
    constexpr int kDistances[] = {3, 5, 7, 8, 9};  // of all crates from the marks, at least
    count = static_cast<uint8_t>(kCounts[difficulty]);
    ScatterWalls<kWidth, kHeight>(tiles, kFloor, kWall, 10 + 2 * difficulty, draws);
    if (WallOff<kWidth, kTiles>(DrawTile<kTiles>(tiles, kFloor, draws), tiles, kWall) < 38) {
      return false;
    }
    for (int i = 0; i < count; ++i) {
      crates[i] = static_cast<uint8_t>(DrawTile<kTiles>(tiles, kFloor, draws));
      tiles[crates[i]] = kMark;
    }
    player = static_cast<uint8_t>(DrawTile<kTiles>(tiles, kFloor, draws));
    return PullAway(draws, 150 + 100 * difficulty, kDistances[difficulty]);
  }

  // Random moves that pull crates; keeps the moment when they are farthest from the marks.
  bool PullAway(Draws& draws, int moves, int enough) {
    uint8_t marks[kMaxCrates];
    std::copy_n(crates, kMaxCrates, marks);
    PushBlocks best = *this;
    int best_score = -1;
    uint8_t move = kUp;
    for (int i = 0; i < moves; ++i) {
      if (draws.Chance(40)) move = static_cast<uint8_t>(kUp + draws.Below(4));
      const int offset = Offset<kWidth>(move);
      if (tiles[player + offset] == kWall || CrateAt(player + offset) >= 0) {
        move = static_cast<uint8_t>(kUp + draws.Below(4));
        continue;
      }
      const int crate = CrateAt(player - offset);
      if (crate >= 0) crates[crate] = player;
      player = static_cast<uint8_t>(player + offset);
      const int score = Score(marks);
      if (score <= best_score) continue;
      best = *this;
      best_score = score;
    }
    *this = best;
    return best_score >= enough;
  }

  // Sum over the crates of the distance to the nearest mark; -1 if one still stands on a mark.
  int Score(const uint8_t* marks) const {
    int sum = 0;
    for (int i = 0; i < count; ++i) {
      int nearest = kTiles;
      for (int j = 0; j < count; ++j) {
        const int dx = std::abs(marks[j] % kWidth - crates[i] % kWidth);
        const int dy = std::abs(marks[j] / kWidth - crates[i] / kWidth);
        nearest = std::min(nearest, dx + dy);
      }
      if (nearest == 0) return -1;
      sum += nearest;
    }
    return sum;
  }

  int CrateAt(int at) const {
    for (int i = 0; i < count; ++i) {
      if (crates[i] == at) return i;
    }
    return -1;
  }

  bool Solved() const {
    for (int i = 0; i < count; ++i) {
      if (tiles[crates[i]] != kMark) return false;
    }
    return true;
  }

  uint64_t Layout() const { return HashBytes(0, tiles, kTiles); }

  bool Sound() const {
    const auto stands = [this](int at) { return at < kTiles && tiles[at] != kWall; };
    return Enclosed<kWidth, kHeight>(tiles, kKinds, [](uint8_t tile) { return tile == kWall; }) &&
           stands(player) && count >= 1 && count <= kMaxCrates &&
           std::all_of(crates, crates + count, stands);
  }

  ActionSet Available(uint32_t) const { return touched ? kMoves | Allow(kReset) : kMoves; }

  Outcome Step(const Action& action, uint32_t) {
    if (!IsMove(action.id)) return Outcome::kPlaying;
    const int offset = Offset<kWidth>(action.id);
    const int next = player + offset;
    if (tiles[next] == kWall) return Outcome::kPlaying;
    const int crate = CrateAt(next);
    if (crate >= 0) {
      if (tiles[next + offset] == kWall || CrateAt(next + offset) >= 0) return Outcome::kPlaying;
      crates[crate] = static_cast<uint8_t>(next + offset);
    }
    player = static_cast<uint8_t>(next);
    touched = 1;
    return crate >= 0 && Solved() ? Outcome::kSolved : Outcome::kPlaying;
  }

  void Render(uint32_t, uint8_t* cells) const {
    ClearStatus(cells);
    for (int side : {0, kSide - kMargin})
      Fill(cells, side, kStatusRows, kMargin, kSide - kStatusRows, kBlack);
    DrawTiles<6, kWidth, kHeight>(cells, kMargin, kStatusRows, tiles, kSprites);
    for (int i = 0; i < count; ++i) {
      DrawAt(cells, crates[i], tiles[crates[i]] == kMark ? kCrateOnMark : kCrate);
    }
    DrawAt(cells, player, kPlayer6);
  }

  static void DrawAt(uint8_t* cells, int at, const Sprite<6>& sprite) {
    Draw(cells, kMargin + at % kWidth * 6, kStatusRows + at / kWidth * 6, sprite);
  }

  bool Solve(uint32_t, std::vector<Action>* plan) const;

  // Fewest pushes from each tile to some mark on an otherwise empty board; kFar where there are
  // none.
  void PushDistances(uint8_t* distance) const {
    std::fill_n(distance, kTiles, kFar);
    uint8_t queue[kTiles];
    int tail = 0;
    for (int at = 0; at < kTiles; ++at) {
      if (tiles[at] != kMark) continue;
      distance[at] = 0;
      queue[tail++] = static_cast<uint8_t>(at);
    }
    for (int head = 0; head < tail; ++head) {
      for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
        const int offset = Offset<kWidth>(move);
        const int from = queue[head] - offset;
        if (tiles[from] == kWall || tiles[from - offset] == kWall || distance[from] != kFar)
          continue;
        distance[from] = static_cast<uint8_t>(distance[queue[head]] + 1);
        queue[tail++] = static_cast<uint8_t>(from);
      }
    }
  }

  // What distinguishes one position from another: where the crates are, in any order, and which
  // part of the board the player can walk in.
  uint64_t Key(const uint8_t* reached) const {
    uint64_t inside = 0;  // a bit per tile within the border
    for (int i = 0; i < count; ++i) {
      inside |= uint64_t{1} << ((crates[i] / kWidth - 1) * 8 + crates[i] % kWidth - 1);
    }
    uint64_t key = static_cast<uint64_t>(std::find(reached, reached + kTiles, 1) - reached);
    for (; inside != 0; inside &= inside - 1) {
      key = key << 8 | static_cast<uint64_t>(std::countr_zero(inside));
    }
    return key;
  }

  void Walkable(uint8_t* reached) const {
    Flood<kWidth, kTiles>(player, reached,
                          [&](int at) { return tiles[at] != kWall && CrateAt(at) < 0; });
  }

  bool WalkTo(int goal, std::vector<Action>* plan) const {
    return ShortestPlan(
        kTiles, player,
        [&](int at, auto emit) {
          for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
            const int next = at + Offset<kWidth>(move);
            if (tiles[next] != kWall && CrateAt(next) < 0) emit(next, {move});
          }
        },
        [&](int at) { return at == goal; }, plan);
  }
};

struct Node {
  PushBlocks level;
  int parent;
  int pushes;
  int stand;     // where the player stood to push
  uint8_t move;  // the push that led here
};

// A* over pushes (Hart, Nilsson, Raphael 1968) with the sum of the crates' push distances, which
// never overestimates: fewest pushes, shortest walks in between.
bool PushBlocks::Solve(uint32_t, std::vector<Action>* plan) const {
  uint8_t distance[kTiles];
  PushDistances(distance);
  const auto estimate = [&](const PushBlocks& level) {
    int sum = 0;
    for (int i = 0; i < level.count; ++i) {
      if (distance[level.crates[i]] == kFar) return -1;
      sum += distance[level.crates[i]];
    }
    return sum;
  };
  std::vector<Node> nodes{{*this, -1, 0, 0, kNoAction}};
  using Entry = std::pair<int, int>;  // negative estimate of the whole, node
  std::priority_queue<Entry> open;
  std::unordered_map<uint64_t, int> fewest;
  open.push({0, 0});
  while (!open.empty()) {
    const int at = open.top().second;
    open.pop();
    const PushBlocks level = nodes[at].level;
    const int pushes = nodes[at].pushes;
    uint8_t reached[kTiles];
    level.Walkable(reached);
    const auto [entry, fresh] = fewest.try_emplace(level.Key(reached), pushes);
    if (!fresh) continue;
    if (level.Solved()) {
      std::vector<int> chain;
      for (int i = at; i > 0; i = nodes[i].parent) chain.push_back(i);
      for (auto i = chain.rbegin(); i != chain.rend(); ++i) {
        if (!nodes[nodes[*i].parent].level.WalkTo(nodes[*i].stand, plan)) return false;
        plan->push_back({nodes[*i].move});
      }
      return true;
    }
    for (int crate = 0; crate < count; ++crate) {
      for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
        const int offset = Offset<kWidth>(move);
        const int stand = level.crates[crate] - offset;
        const int to = level.crates[crate] + offset;
        if (!reached[stand] || tiles[to] == kWall || level.CrateAt(to) >= 0) continue;
        PushBlocks next = level;
        next.player = level.crates[crate];
        next.crates[crate] = static_cast<uint8_t>(to);
        const int rest = estimate(next);
        if (rest < 0) continue;
        open.push({-(pushes + 1 + rest), static_cast<int>(nodes.size())});
        nodes.push_back({next, at, pushes + 1, stand, move});
      }
    }
  }
  return false;
}

}  // namespace

const Game kPushBlocks = Define<PushBlocks>(
    "push_blocks", "Push every crate onto a green mark; reset when one is stuck.", 5, 250);

}  // namespace metabonk::grid64
