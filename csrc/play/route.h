// Route: the cheapest way between two cells of a WalkGrid, by A* (Hart, Nilsson and Raphael 1968)
// over eight neighbours with the octile heuristic. Knows grids; knows no enemies and no directives.
//
// A search is spread over ticks: Advance expands so many cells and returns, and the path that was
// found before is followed until the new one is there. Everything is allocated once. The same calls
// give the same path on every machine: costs are whole numbers, ties go to the lower cell.
#pragma once

#include <cstdint>

#include "play/ground.h"

namespace metabonk::play {

// What one step between neighbouring cells costs, in tenths of a metre; -1 where it cannot be
// taken.
int32_t StepCost(const WalkGrid& grid, int from, int to);

class Route {
 public:
  enum class Search : uint8_t { kIdle, kGoing, kFound, kNone };

  // Forgets path and search.
  void Clear();
  // Begins to look for a way; a closed cell at either end stands for the nearest open one. The path
  // found before is kept until this search has found another.
  void Begin(const WalkGrid& grid, int from, int to);
  // Expands at most `most` cells of the search.
  Search Advance(const WalkGrid& grid, int most);

  // Where to walk now to follow the path from (x, y), in a straight line; climbs: the way there
  // takes a jump. False where there is no path, or it is too far away to follow.
  bool Next(const WalkGrid& grid, float x, float y, float* to_x, float* to_y, bool* climbs);

  Search search() const { return search_; }
  bool has_path() const { return length_ > 0; }
  int goal() const { return goal_; }  // of the search begun last, as it was asked for
  // Cells of the path that are left, and the one at `step` of them.
  int left() const { return length_ - at_; }
  int cell(int step) const { return path_[at_ + step]; }

 private:
  static constexpr uint16_t kNowhere = 0xFFFF;

  void Expand(const WalkGrid& grid, int cell);
  void Reach(int cell, int from, int32_t cost);
  int32_t Left(int cell) const;
  bool Before(uint16_t a, uint16_t b) const;
  void SiftUp(int place);
  void SiftDown(int place);
  uint16_t Pop();
  void KeepPath(int last);

  Search search_ = Search::kIdle;
  int start_ = 0, end_ = 0, goal_ = -1;
  uint32_t generation_ = 0;  // cells of another one have not been reached in this search
  uint32_t seen_[kWalkCells] = {};
  int32_t cost_[kWalkCells] = {};
  uint16_t parent_[kWalkCells] = {};
  uint16_t heap_[kWalkCells] = {};   // open cells, cheapest estimate first
  uint16_t place_[kWalkCells] = {};  // of a cell in the heap; kNowhere once it is expanded
  int open_ = 0;
  uint16_t path_[kWalkCells] = {};
  int length_ = 0, at_ = 0;
};

}  // namespace metabonk::play
