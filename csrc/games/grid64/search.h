// Search: shortest plans over small numbered state spaces, and steps on bordered boards.
#pragma once

#include <cstdint>
#include <vector>

#include "games/grid64/game.h"

namespace metabonk::grid64 {

// Offset of a move on a board kWidth wide whose outermost tiles block, so that no bounds are
// needed.
template <int kWidth>
constexpr int Offset(uint8_t move) {
  switch (move) {
    case kUp:
      return -kWidth;
    case kDown:
      return kWidth;
    case kLeft:
      return -1;
    case kRight:
      return 1;
    default:
      return 0;
  }
}

constexpr bool IsMove(uint8_t id) { return id >= kUp && id <= kRight; }

// Breadth-first search over codes 0..codes-1. expand(code, emit) calls emit(next, action) for each
// action; found(code) ends the search. Appends the shortest plan; false if there is none.
template <class Expand, class Found>
bool ShortestPlan(int codes, int start, Expand expand, Found found, std::vector<Action>* plan) {
  struct Link {
    int32_t from = -1;
    Action action;
  };
  std::vector<Link> links(static_cast<size_t>(codes));
  std::vector<int32_t> queue{start};
  links[start].from = start;
  for (size_t head = 0; head < queue.size(); ++head) {
    const int code = queue[head];
    if (found(code)) {
      const size_t first = plan->size();
      for (int at = code; at != start; at = links[at].from) plan->push_back(links[at].action);
      for (size_t i = first, j = plan->size(); i + 1 < j; ++i) std::swap((*plan)[i], (*plan)[--j]);
      return true;
    }
    expand(code, [&](int next, Action action) {
      if (links[next].from >= 0) return;
      links[next] = {code, action};
      queue.push_back(next);
    });
  }
  return false;
}

// Marks in `reached` (kTiles bytes) every tile that can be walked to from `start`; returns how
// many.
template <int kWidth, int kTiles, class Open>
int Flood(int start, uint8_t* reached, Open open) {
  uint8_t queue[kTiles];
  int tail = 0;
  for (int i = 0; i < kTiles; ++i) reached[i] = 0;
  queue[tail++] = static_cast<uint8_t>(start);
  reached[start] = 1;
  for (int head = 0; head < tail; ++head) {
    for (const uint8_t move : {kUp, kDown, kLeft, kRight}) {
      const int next = queue[head] + Offset<kWidth>(move);
      if (reached[next] || !open(next)) continue;
      reached[next] = 1;
      queue[tail++] = static_cast<uint8_t>(next);
    }
  }
  return tail;
}

// Makes a `wall` of every tile that cannot be walked to from `start`; returns how many can.
template <int kWidth, int kTiles>
int WallOff(int start, uint8_t* tiles, uint8_t wall) {
  uint8_t reached[kTiles];
  const int count =
      Flood<kWidth, kTiles>(start, reached, [&](int at) { return tiles[at] != wall; });
  for (int i = 0; i < kTiles; ++i) {
    if (!reached[i]) tiles[i] = wall;
  }
  return count;
}

template <int kWidth, int kHeight>
constexpr bool OnBorder(int at) {
  const int x = at % kWidth;
  const int y = at / kWidth;
  return x == 0 || y == 0 || x == kWidth - 1 || y == kHeight - 1;
}

// Whether all tiles are below `kinds` and the outermost ones block.
template <int kWidth, int kHeight, class Blocks>
bool Enclosed(const uint8_t* tiles, int kinds, Blocks blocks) {
  for (int i = 0; i < kWidth * kHeight; ++i) {
    if (tiles[i] >= kinds || (OnBorder<kWidth, kHeight>(i) && !blocks(tiles[i]))) return false;
  }
  return true;
}

// Fills a board with `floor`, and with `wall` on its border and on `percent` of the other tiles.
template <int kWidth, int kHeight>
void ScatterWalls(uint8_t* tiles, uint8_t floor, uint8_t wall, int percent, Draws& draws) {
  for (int i = 0; i < kWidth * kHeight; ++i) {
    tiles[i] = OnBorder<kWidth, kHeight>(i) || draws.Chance(percent) ? wall : floor;
  }
}

// One of the tiles of a kind; there must be one.
template <int kTiles>
int DrawTile(const uint8_t* tiles, uint8_t kind, Draws& draws) {
  int at;
  do {
    at = draws.Below(kTiles);
  } while (tiles[at] != kind);
  return at;
}

// Puts up to `count` single blocks of `wall` where all eight neighbours are `floor`: obstacles that
// cannot cut anything off.
template <int kWidth, int kHeight>
void ScatterPillars(uint8_t* tiles, uint8_t floor, uint8_t wall, int count, Draws& draws) {
  for (int tries = 0; tries < 8 * count && count > 0; ++tries) {
    const int at = draws.Between(1, kHeight - 2) * kWidth + draws.Between(1, kWidth - 2);
    bool free = true;
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) free = free && tiles[at + dy * kWidth + dx] == floor;
    }
    if (!free) continue;
    tiles[at] = wall;
    --count;
  }
}

// The hash of which tiles are `wall`.
inline uint64_t HashWalls(const uint8_t* tiles, int count, uint8_t wall) {
  uint64_t hash = 0;
  uint64_t word = 1;
  for (int i = 0; i < count; ++i) {
    word = word << 1 | (tiles[i] == wall);
    if (i % 63 != 62 && i + 1 != count) continue;
    hash = Mix64((hash ^ word) + 0x9E3779B97F4A7C15ull);
    word = 1;
  }
  return hash;
}

}  // namespace metabonk::grid64
