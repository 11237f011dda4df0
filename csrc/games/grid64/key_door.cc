// Key and door: rooms behind coloured doors. Keys are taken with interact, a door opens to whoever
// walks into it with the key of its colour, and the key is spent.
#include "games/grid64/canvas.h"
#include "games/grid64/game.h"
#include "games/grid64/search.h"

namespace metabonk::grid64 {
namespace {

constexpr int kWidth = 16;
constexpr int kHeight = 15;
constexpr int kTiles = kWidth * kHeight;
constexpr int kMaxDoors = 5;

enum Tile : uint8_t {
  kFloor,
  kWall,
  kGoal,
  kKey,
  kDoor = kKey + kMaxDoors,
  kKinds = kDoor + kMaxDoors
};

constexpr uint8_t kColors[kMaxDoors] = {kYellow, kBlue, kRed, kPurple, kOrange};

struct Sprites {
  Sprite<4> of[kKinds];
  Sprite<4> carried[kMaxDoors];
};

constexpr Sprites MakeSprites() {
  Sprites sprites{};
  sprites.of[kFloor] = kFloor4;
  sprites.of[kWall] = kWall4;
  sprites.of[kGoal] = kGoal4;
  for (int i = 0; i < kMaxDoors; ++i) {
    const Sprite<4> key = Recolor(Paint<4>("bb..bbbbbb.b...."), kYellow, kColors[i]);
    sprites.of[kKey + i] = Layer(kFloor4, key);
    sprites.of[kDoor + i] = Recolor(Paint<4>("bbbbb55bb55bbbbb"), kYellow, kColors[i]);
    sprites.carried[i] = key;
  }
  return sprites;
}

constexpr Sprites kSprites = MakeSprites();

struct Room {
  int x0, y0, x1, y1;  // interior, both ends included
  int Area() const { return (x1 - x0 + 1) * (y1 - y0 + 1); }
};

struct KeyDoor {
  uint8_t tiles[kTiles];
  uint8_t player;
  uint8_t carried;  // bit per key

  bool Generate(Draws& draws, int difficulty) {
    const int doors = difficulty + 1;
    for (int i = 0; i < kTiles; ++i) {
      const int x = i % kWidth;
      const int y = i / kWidth;
      tiles[i] = x == 0 || y == 0 || x == kWidth - 1 || y == kHeight - 1 ? kWall : kFloor;
    }
    Room rooms[kMaxDoors + 1] = {{1, 1, kWidth - 2, kHeight - 2}};
    uint8_t colors[kMaxDoors] = {0, 1, 2, 3, 4};
    draws.Shuffle(colors, kMaxDoors);
    for (int i = 0; i < doors; ++i) {
      if (!Divide(draws, rooms, i + 1, colors[i])) return false;
    }
    ScatterPillars<kWidth, kHeight>(tiles, kFloor, kWall, 2 + difficulty, draws);
    return PlaceKeys(draws, doors);
  }

  // Splits the largest room by a wall with one door; the new room goes to rooms[count].
  bool Divide(Draws& draws, Room* rooms, int count, uint8_t color) {
    Room* room = rooms;
    for (int i = 1; i < count; ++i) {
      if (rooms[i].Area() > room->Area()) room = rooms + i;
    }
    const int width = room->x1 - room->x0 + 1;
    const int height = room->y1 - room->y0 + 1;
    const bool upright = width > height || (width == height && draws.Chance(50));
    if ((upright ? width : height) < 7) return false;
    for (int tries = 0; tries < 8; ++tries) {
      Room other = *room;
      if (upright) {
        const int x = draws.Between(room->x0 + 3, room->x1 - 3);
        // A wall must not end at a door that is already there.
        if (tiles[(room->y0 - 1) * kWidth + x] != kWall) continue;
        if (tiles[(room->y1 + 1) * kWidth + x] != kWall) continue;
        for (int y = room->y0; y <= room->y1; ++y) tiles[y * kWidth + x] = kWall;
        tiles[draws.Between(room->y0, room->y1) * kWidth + x] = static_cast<uint8_t>(kDoor + color);
        other.x0 = x + 1;
        room->x1 = x - 1;
      } else {
        const int y = draws.Between(room->y0 + 3, room->y1 - 3);
        if (tiles[y * kWidth + room->x0 - 1] != kWall) continue;
        if (tiles[y * kWidth + room->x1 + 1] != kWall) continue;
        for (int x = room->x0; x <= room->x1; ++x) tiles[y * kWidth + x] = kWall;
        tiles[y * kWidth + draws.Between(room->x0, room->x1)] = static_cast<uint8_t>(kDoor + color);
        other.y0 = y + 1;
        room->y1 = y - 1;
      }
      rooms[count] = other;
      return true;
    }
    return false;
  }

  // Opens the doors in a random order, each key lying where the doors before it lead; the goal is
  // behind the last. So every level can be finished, and most keys lie behind another door.
  bool PlaceKeys(Draws& draws, int doors) {
    uint8_t reached[kTiles];
    uint8_t before[kTiles] = {};
    uint8_t opened = 0;
    player = static_cast<uint8_t>(RandomTile(draws, [&](int at) { return tiles[at] == kFloor; }));
    for (int i = 0;; ++i) {
      Flood<kWidth, kTiles>(player, reached, [&](int at) {
        return tiles[at] != kWall && !(tiles[at] >= kDoor && !(opened >> (tiles[at] - kDoor) & 1));
      });
      const auto fresh = [&](int at) {
        return reached[at] && !before[at] && tiles[at] == kFloor && at != player;
      };
      const auto old = [&](int at) { return reached[at] && tiles[at] == kFloor && at != player; };
      if (i == doors) {
        const int goal = RandomTile(draws, fresh);
        if (goal < 0) return false;
        tiles[goal] = kGoal;
        return true;
      }
      const int door = RandomTile(draws, [&](int at) {
        return tiles[at] >= kDoor && !(opened >> (tiles[at] - kDoor) & 1) && Beside(reached, at);
      });
      int key = draws.Chance(70) ? RandomTile(draws, fresh) : -1;
      if (key < 0) key = RandomTile(draws, old);
      if (door < 0 || key < 0) return false;
      tiles[key] = static_cast<uint8_t>(tiles[door] - kDoor + kKey);
      opened = static_cast<uint8_t>(opened | 1u << (tiles[door] - kDoor));
      std::memcpy(before, reached, kTiles);
    }
  }

  static bool Beside(const uint8_t* reached, int at) {
    return reached[at - 1] || reached[at + 1] || reached[at - kWidth] || reached[at + kWidth];
  }

  template <class Fits>
  static int RandomTile(Draws& draws, Fits fits) {  // one of those that fit, -1 for none
    int candidates[kTiles];
    int count = 0;
    for (int i = 0; i < kTiles; ++i) {
      if (fits(i)) candidates[count++] = i;
    }
    return count == 0 ? -1 : candidates[draws.Below(count)];
  }

  uint64_t Layout() const { return HashWalls(tiles, kTiles, kWall); }

  bool Sound() const {
    return Enclosed<kWidth, kHeight>(tiles, kKinds, [](uint8_t tile) { return tile == kWall; }) &&
           player < kTiles && tiles[player] != kWall && carried < 1 << kMaxDoors;
  }

  bool OnKey() const { return tiles[player] >= kKey && tiles[player] < kDoor; }

  ActionSet Available(uint32_t) const { return OnKey() ? kMoves | Allow(kInteract) : kMoves; }

  Outcome Step(const Action& action, uint32_t) {
    if (action.id == kInteract && OnKey()) {
      carried = static_cast<uint8_t>(carried | 1u << (tiles[player] - kKey));
      tiles[player] = kFloor;
    }
    if (!IsMove(action.id)) return Outcome::kPlaying;
    const int next = player + Offset<kWidth>(action.id);
    if (tiles[next] == kWall) return Outcome::kPlaying;
    if (tiles[next] >= kDoor) {
      const unsigned key = 1u << (tiles[next] - kDoor);
      if (!(carried & key)) return Outcome::kPlaying;
      carried = static_cast<uint8_t>(carried & ~key);
      tiles[next] = kFloor;
    }
    player = static_cast<uint8_t>(next);
    return tiles[next] == kGoal ? Outcome::kSolved : Outcome::kPlaying;
  }

  void Render(uint32_t, uint8_t* cells) const {
    ClearStatus(cells);
    for (int i = 0; i < kMaxDoors; ++i) {
      if (carried >> i & 1) Draw(cells, kSide - 5 * (i + 1), 0, kSprites.carried[i]);
    }
    DrawTiles<4, kWidth, kHeight>(cells, 0, kStatusRows, tiles, kSprites.of);
    Draw(cells, player % kWidth * 4, kStatusRows + player / kWidth * 4, kPlayer4);
  }

  // Exact: shortest over (tile, keys carried, doors opened). A key is on the floor until carried.
  bool Solve(uint32_t, std::vector<Action>* plan) const {
    constexpr int kSets = 1 << kMaxDoors;
    const auto code = [](int at, int keys, int doors) {
      return (doors * kSets + keys) * kTiles + at;
    };
    return ShortestPlan(
        kTiles * kSets * kSets, code(player, carried, 0),
        [&](int from, auto emit) {
          const int at = from % kTiles;
          const int keys = from / kTiles % kSets;
          const int doors = from / kTiles / kSets;
          if (tiles[at] >= kKey && tiles[at] < kDoor) {
            const int key = 1 << (tiles[at] - kKey);
            if (!((keys | doors) & key)) emit(code(at, keys | key, doors), {kInteract});
          }
          for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
            const int next = at + Offset<kWidth>(move);
            if (tiles[next] == kWall) continue;
            const int door = tiles[next] >= kDoor ? 1 << (tiles[next] - kDoor) : 0;
            if (door && !((keys | doors) & door)) continue;
            emit(code(next, keys & ~door, doors | door), {move});
          }
        },
        [&](int at) { return tiles[at % kTiles] == kGoal; }, plan);
  }
};

}  // namespace

const Game kKeyDoor = Define<KeyDoor>(
    "key_door", "Rooms behind coloured doors: take the keys, open the doors, reach the green goal.",
    5, 300);

}  // namespace metabonk::grid64
