#include "play/route.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace metabonk::play {

namespace {

// Costs in tenths of a metre.
constexpr int32_t kAcross = 10, kDiagonal = 14;
constexpr int32_t kJump = 25;     // a rise that takes a jump
constexpr int32_t kTight = 4;     // a cell beside a closed one: bodies are wider than a point
constexpr int kReach = 8;         // cells in which an open one is looked for at a closed end
constexpr int kAhead = 12;        // cells of a path that are tried for a straight line
constexpr float kLost = 3.0f;     // metres from the path at which it is given up
constexpr float kMiddle = 0.15f;  // metres from the middle of a cell that count as being there

constexpr int kSteps[8][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 1}, {-1, 1}, {-1, -1}, {1, -1}};

bool Inside(int x, int y) { return x >= 0 && y >= 0 && x < kWalkSide && y < kWalkSide; }

bool IsTight(const WalkGrid& grid, int x, int y) {
  for (int i = 0; i < 4; ++i) {
    const int at_x = x + kSteps[i][0], at_y = y + kSteps[i][1];
    if (!Inside(at_x, at_y) || !grid.open[at_y * kWalkSide + at_x]) return true;
  }
  return false;
}

float SquareTo(int cell, float x, float y) {
  const float dx = MiddleX(cell) - x, dy = MiddleY(cell) - y;
  return dx * dx + dy * dy;
}

}  // namespace

int32_t StepCost(const WalkGrid& grid, int from, int to) {
  const int x = to % kWalkSide, y = to / kWalkSide;
  const int dx = x - from % kWalkSide, dy = y - from / kWalkSide;
  if (!grid.open[to]) return -1;
  const bool across = dx == 0 || dy == 0;
  // A diagonal past a closed corner would scrape along it.
  if (!across && !(grid.open[y * kWalkSide + x - dx] && grid.open[(y - dy) * kWalkSide + x])) {
    return -1;
  }
  const int rise = grid.height[to] - grid.height[from];
  if (rise > kTooHigh) return -1;
  int32_t cost = across ? kAcross : kDiagonal;
  if (rise > kClimb) cost += kJump;
  return IsTight(grid, x, y) ? cost + kTight : cost;
}

void Route::Clear() {
  search_ = Search::kIdle;
  goal_ = -1;
  open_ = length_ = at_ = 0;
}

void Route::Begin(const WalkGrid& grid, int from, int to) {
  goal_ = to;
  start_ = grid.open[from] ? from : NearestOpen(grid, from, kReach);
  end_ = grid.open[to] ? to : NearestOpen(grid, to, kReach);
  open_ = 0;
  if (start_ < 0 || end_ < 0) {
    search_ = Search::kNone;
    length_ = at_ = 0;
    return;
  }
  search_ = Search::kGoing;
  if (++generation_ == 0) {  // once in four billion searches the marks begin anew
    std::fill_n(seen_, kWalkCells, 0u);
    generation_ = 1;
  }
  Reach(start_, start_, 0);
}

Route::Search Route::Advance(const WalkGrid& grid, int most) {
  for (int i = 0; i < most && search_ == Search::kGoing; ++i) {
    if (open_ == 0) {
      search_ = Search::kNone;
      length_ = at_ = 0;
      break;
    }
    const int cell = Pop();
    if (cell == end_) {
      KeepPath(cell);
      search_ = Search::kFound;
      break;
    }
    Expand(grid, cell);
  }
  return search_;
}

bool Route::Next(const WalkGrid& grid, float x, float y, float* to_x, float* to_y, bool* climbs) {
  if (length_ == 0) return false;
  // The place on the path nearest to the body, never further back than before.
  int nearest = at_;
  const int last = std::min(at_ + kAhead, length_ - 1);
  for (int i = at_; i <= last; ++i) {
    if (SquareTo(path_[i], x, y) <= SquareTo(path_[nearest], x, y)) nearest = i;
  }
  if (!(SquareTo(path_[nearest], x, y) < kLost * kLost)) return false;
  at_ = nearest;
  // As far along it as a straight line leads; where none does, by the middle of the cell at hand,
  // from which the next one can be walked or jumped to.
  int chosen = std::min(at_ + kAhead, length_ - 1);
  while (chosen > at_ && !Straight(grid, x, y, MiddleX(path_[chosen]), MiddleY(path_[chosen]))) {
    --chosen;
  }
  if (chosen == at_ && SquareTo(path_[at_], x, y) < kMiddle * kMiddle) {
    chosen = std::min(at_ + 1, length_ - 1);
  }
  *climbs = false;
  for (int i = at_ + 1; i <= std::min(at_ + 2, length_ - 1); ++i) {
    *climbs |= grid.height[path_[i]] - grid.height[path_[i - 1]] > kClimb;
  }
  *to_x = MiddleX(path_[chosen]);
  *to_y = MiddleY(path_[chosen]);
  return true;
}

void Route::Expand(const WalkGrid& grid, int cell) {
  const int x = cell % kWalkSide, y = cell / kWalkSide;
  for (int i = 0; i < 8; ++i) {
    const int dx = kSteps[i][0], dy = kSteps[i][1];
    if (!Inside(x + dx, y + dy)) continue;
    const int next = (y + dy) * kWalkSide + x + dx;
    const int32_t cost = StepCost(grid, cell, next);
    if (cost >= 0) Reach(next, cell, cost_[cell] + cost);
  }
}

void Route::Reach(int cell, int from, int32_t cost) {
  if (seen_[cell] == generation_) {
    // The heuristic is consistent: what was expanded cannot be reached more cheaply.
    if (place_[cell] == kNowhere || cost >= cost_[cell]) return;
  } else {
    seen_[cell] = generation_;
    heap_[open_] = static_cast<uint16_t>(cell);
    place_[cell] = static_cast<uint16_t>(open_);
    ++open_;
  }
  cost_[cell] = cost;
  parent_[cell] = static_cast<uint16_t>(from);
  SiftUp(place_[cell]);
}

int32_t Route::Left(int cell) const {
  const int dx = std::abs(cell % kWalkSide - end_ % kWalkSide);
  const int dy = std::abs(cell / kWalkSide - end_ / kWalkSide);
  return kAcross * (dx + dy) - (2 * kAcross - kDiagonal) * std::min(dx, dy);
}

bool Route::Before(uint16_t a, uint16_t b) const {
  const int32_t left_a = Left(a), left_b = Left(b);
  const int32_t whole_a = cost_[a] + left_a, whole_b = cost_[b] + left_b;
  if (whole_a != whole_b) return whole_a < whole_b;
  if (left_a != left_b) return left_a < left_b;
  return a < b;
}

void Route::SiftUp(int place) {
  const uint16_t cell = heap_[place];
  while (place > 0) {
    const int above = (place - 1) / 2;
    if (!Before(cell, heap_[above])) break;
    heap_[place] = heap_[above];
    place_[heap_[place]] = static_cast<uint16_t>(place);
    place = above;
  }
  heap_[place] = cell;
  place_[cell] = static_cast<uint16_t>(place);
}

void Route::SiftDown(int place) {
  const uint16_t cell = heap_[place];
  for (;;) {
    int below = 2 * place + 1;
    if (below >= open_) break;
    if (below + 1 < open_ && Before(heap_[below + 1], heap_[below])) ++below;
    if (!Before(heap_[below], cell)) break;
    heap_[place] = heap_[below];
    place_[heap_[place]] = static_cast<uint16_t>(place);
    place = below;
  }
  heap_[place] = cell;
  place_[cell] = static_cast<uint16_t>(place);
}

uint16_t Route::Pop() {
  const uint16_t best = heap_[0];
  place_[best] = kNowhere;
  if (--open_ > 0) {
    heap_[0] = heap_[open_];
    SiftDown(0);
  }
  return best;
}

void Route::KeepPath(int last) {
  length_ = at_ = 0;
  for (int cell = last;; cell = parent_[cell]) {
    path_[length_++] = static_cast<uint16_t>(cell);
    if (cell == start_) break;
  }
  std::reverse(path_, path_ + length_);
}

}  // namespace metabonk::play
