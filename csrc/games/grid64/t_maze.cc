// T-maze with a cue: the colour of the one good chest is shown only while the player stands on the
// cue's pad. Any other chest ends the game, so that looking first and remembering is all there is.
#include "games/grid64/canvas.h"
#include "games/grid64/game.h"
#include "games/grid64/search.h"

namespace metabonk::grid64 {
namespace {

constexpr int kWidth = 16;
constexpr int kHeight = 15;
constexpr int kTiles = kWidth * kHeight;
constexpr int kColors = 6;

enum Tile : uint8_t {
  kRock,
  kWall,
  kFloor,
  kPad,
  kChest,
  kLit = kChest + kColors,
  kKinds = kLit + kColors
};

constexpr uint8_t kPalette[kColors] = {kYellow, kBlue, kRed, kPurple, kOrange, kSky};

struct Sprites {
  Sprite<4> of[kKinds];
};

constexpr Sprites MakeSprites() {
  Sprites sprites{};
  sprites.of[kRock] = Paint<4>("5555555555555555");
  sprites.of[kWall] = kWall4;
  sprites.of[kFloor] = kFloor4;
  sprites.of[kPad] = Paint<4>("1221211221121221");
  for (int i = 0; i < kColors; ++i) {
    sprites.of[kChest + i] = Recolor(Paint<4>("bbbbb00bbbbbb55b"), kYellow, kPalette[i]);
    sprites.of[kLit + i] = Recolor(Paint<4>("bbbbbbbbbbbbbbbb"), kYellow, kPalette[i]);
  }
  return sprites;
}

constexpr Sprites kSprites = MakeSprites();

struct TMaze {
  uint8_t tiles[kTiles];
  uint8_t player;
  uint8_t pad;
  uint8_t good;  // index of the chest's colour that ends the level well
  uint8_t seen;  // the cue has been shown

  bool Generate(Draws& draws, int difficulty) {
    const int arms = difficulty < 3 ? 2 : 4;
    const bool flipped = draws.Chance(50);
    const auto at = [&](int x, int y) { return (flipped ? kHeight - 1 - y : y) * kWidth + x; };
    const auto carve = [&](int x, int y, uint8_t tile) {
      tiles[static_cast<uint8_t>(at(x, y))] = tile;
    };
    uint8_t colors[kColors] = {0, 1, 2, 3, 4, 5};
    draws.Shuffle(colors, kColors);
    // The stem goes down from the junction, then sideways to the pad.
    const int stem = draws.Between(5, 10);
    const int junction = arms == 2 ? draws.Between(1, 5) : draws.Between(3, 5);
    const int bottom = junction + draws.Between(4 + difficulty, 8);
    const int pad_x = draws.Chance(50) ? draws.Between(1, stem - 2) : draws.Between(stem + 2, 14);
    const int left = draws.Between(1, stem - 2);
    const int right = draws.Between(stem + 2, kWidth - 2);
    for (int x = left; x <= right; ++x) carve(x, junction, kFloor);
    for (int y = junction; y <= bottom; ++y) carve(stem, y, kFloor);
    for (int x = stem < pad_x ? stem : pad_x; x <= (stem < pad_x ? pad_x : stem); ++x) {
      carve(x, bottom, kFloor);
    }
    carve(pad_x, bottom, kPad);
    int chest = 0;
    for (const int x : {left, right}) {
      if (arms == 2) {
        carve(x, junction, static_cast<uint8_t>(kChest + colors[chest++]));
        continue;
      }
      const int top = junction - draws.Between(1, 2);
      const int low = junction + draws.Between(1, 2);
      for (int y = top; y <= low; ++y) carve(x, y, kFloor);
      carve(x, top, static_cast<uint8_t>(kChest + colors[chest++]));
      carve(x, low, static_cast<uint8_t>(kChest + colors[chest++]));
    }
    WallIn();
    good = colors[draws.Below(arms)];
    const int start = draws.Between(junction + 1, bottom - 2);
    player = static_cast<uint8_t>(at(stem, start));
    pad = static_cast<uint8_t>(at(pad_x, bottom));
    return true;
  }

  void WallIn() {  // rock that touches what can be walked on becomes wall
    for (int i = 0; i < kTiles; ++i) {
      if (tiles[i] <= kWall) continue;
      for (const int dy : {-kWidth, 0, kWidth}) {
        for (int at = i + dy - 1; at <= i + dy + 1; ++at) {
          if (tiles[at] == kRock) tiles[at] = kWall;
        }
      }
    }
  }

  uint64_t Layout() const {  // all tiles: walls, pad and the colours of the chests stay
    return HashBytes(0, tiles, kTiles);
  }

  bool Sound() const {
    const auto blocks = [](uint8_t tile) { return tile <= kWall; };
    return Enclosed<kWidth, kHeight>(tiles, kLit, blocks) && player < kTiles && pad < kTiles &&
           !blocks(tiles[player]) && !blocks(tiles[pad]) && good < kColors;
  }

  ActionSet Available(uint32_t) const { return kMoves; }

  Outcome Step(const Action& action, uint32_t) {
    if (!IsMove(action.id)) return Outcome::kPlaying;
    const int next = player + Offset<kWidth>(action.id);
    if (tiles[next] <= kWall) return Outcome::kPlaying;
    player = static_cast<uint8_t>(next);
    seen |= player == pad;
    if (tiles[next] < kChest) return Outcome::kPlaying;
    return tiles[next] == kChest + good ? Outcome::kSolved : Outcome::kLost;
  }

  void Render(uint32_t, uint8_t* cells) const {
    ClearStatus(cells);
    DrawTiles<4, kWidth, kHeight>(cells, 0, kStatusRows, tiles, kSprites.of);
    if (player == pad) {  // the cue lights up the pad and the walls around it
      for (const int dy : {-kWidth, 0, kWidth}) {
        for (int at = pad + dy - 1; at <= pad + dy + 1; ++at) {
          if (tiles[at] == kFloor) continue;
          Draw(cells, at % kWidth * 4, kStatusRows + at / kWidth * 4, kSprites.of[kLit + good]);
        }
      }
    }
    Draw(cells, player % kWidth * 4, kStatusRows + player / kWidth * 4, kPlayer4);
  }

  // To the pad unless the cue has been seen, then to the chest of its colour.
  bool Solve(uint32_t, std::vector<Action>* plan) const {
    const auto walk = [&](int start, auto arrived) {
      return ShortestPlan(
          kTiles, start,
          [&](int at, auto emit) {
            for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
              const int next = at + Offset<kWidth>(move);
              if (tiles[next] > kWall && (tiles[next] < kChest || arrived(next)))
                emit(next, {move});
            }
          },
          arrived, plan);
    };
    if (!seen && !walk(player, [&](int at) { return at == pad; })) return false;
    return walk(seen ? player : pad, [&](int at) { return tiles[at] == kChest + good; });
  }
};

}  // namespace

const Game kTMaze = Define<TMaze>(
    "t_maze", "Step on the pad, remember the colour it shows, open the chest of that colour.", 5,
    60);

}  // namespace metabonk::grid64
