// Routes: as cheap as any, round corners and not through them, the same however the search is
// spread over ticks.
#include "play/route.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "check.h"
#include "support/random.h"

namespace metabonk::play {

namespace {

std::unique_ptr<WalkGrid> Open() {
  auto grid = std::make_unique<WalkGrid>();
  grid->number = 1;
  grid->size = 128.0f;
  for (int y = 1; y < kWalkSide - 1; ++y) {
    for (int x = 1; x < kWalkSide - 1; ++x) grid->open[y * kWalkSide + x] = 1;
  }
  return grid;
}

int At(int x, int y) { return y * kWalkSide + x; }

std::unique_ptr<WalkGrid> Scattered(uint64_t seed, float closed, int relief) {
  auto grid = Open();
  for (int cell = 0; cell < kWalkCells; ++cell) {
    if (UnitFloat(HashDraw(seed, static_cast<uint64_t>(cell))) < closed) grid->open[cell] = 0;
    grid->height[cell] = static_cast<int16_t>(
        Below(HashDraw(seed + 1, static_cast<uint64_t>(cell)), static_cast<uint32_t>(relief + 1)));
  }
  return grid;
}

// Cheapest costs from a cell, by relaxing until nothing changes: no heap, no heuristic.
std::vector<int32_t> Cheapest(const WalkGrid& grid, int from) {
  std::vector<int32_t> cost(kWalkCells, INT32_MAX);
  cost[static_cast<size_t>(from)] = 0;
  for (bool changed = true; changed;) {
    changed = false;
    for (int cell = 0; cell < kWalkCells; ++cell) {
      const int32_t here = cost[static_cast<size_t>(cell)];
      if (here == INT32_MAX) continue;
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
          const int next = cell + dy * kWalkSide + dx;
          if (next == cell || next < 0 || next >= kWalkCells) continue;
          if (std::abs(next % kWalkSide - cell % kWalkSide) > 1) continue;
          const int32_t step = StepCost(grid, cell, next);
          if (step < 0 || here + step >= cost[static_cast<size_t>(next)]) continue;
          cost[static_cast<size_t>(next)] = here + step;
          changed = true;
        }
      }
    }
  }
  return cost;
}

Route::Search Finish(Route* route, const WalkGrid& grid, int budget = 1 << 30) {
  while (route->Advance(grid, budget) == Route::Search::kGoing) {
  }
  return route->search();
}

// The cost of a path that begins at `from`; -1 if a step of it cannot be taken.
int32_t CostOf(const Route& route, const WalkGrid& grid, int from) {
  if (route.cell(0) != from) return -1;
  int32_t cost = 0;
  for (int i = 1; i < route.left(); ++i) {
    const int32_t step = StepCost(grid, route.cell(i - 1), route.cell(i));
    if (step < 0) return -1;
    cost += step;
  }
  return cost;
}

}  // namespace

TEST(route_costs_no_more_than_the_cheapest_way) {
  const auto route = std::make_unique<Route>();
  int found = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto grid = Scattered(seed, 0.1f * static_cast<float>(seed + 1), 160);
    const int from = NearestOpen(*grid, At(20, 20), 8);
    const std::vector<int32_t> cheapest = Cheapest(*grid, from);
    for (uint64_t i = 0; i < 40; ++i) {
      const int to = static_cast<int>(Below(HashDraw(seed + 9, i), kWalkCells));
      if (!grid->open[to]) continue;
      route->Begin(*grid, from, to);
      const int32_t wanted = cheapest[static_cast<size_t>(to)];
      if (wanted == INT32_MAX) {
        CHECK(Finish(route.get(), *grid) == Route::Search::kNone);
        CHECK(!route->has_path());
        continue;
      }
      ++found;
      CHECK(Finish(route.get(), *grid) == Route::Search::kFound);
      CHECK_EQ(CostOf(*route, *grid, from), wanted);
      CHECK_EQ(route->cell(route->left() - 1), to);
    }
  }
  CHECK(found > 50);
}

TEST(route_is_the_same_however_it_is_spread) {
  const auto grid = Scattered(3, 0.25f, 100);
  const int from = NearestOpen(*grid, At(5, 5), 8), to = NearestOpen(*grid, At(120, 118), 8);
  const auto whole = std::make_unique<Route>(), parts = std::make_unique<Route>();
  whole->Begin(*grid, from, to);
  parts->Begin(*grid, from, to);
  CHECK(Finish(whole.get(), *grid) == Route::Search::kFound);
  int calls = 0;
  while (parts->Advance(*grid, 17) == Route::Search::kGoing) ++calls;
  CHECK(calls > 10);
  CHECK_EQ(whole->left(), parts->left());
  for (int i = 0; i < whole->left(); ++i) CHECK_EQ(whole->cell(i), parts->cell(i));
}

TEST(route_goes_round_a_wall_and_is_walked_in_straight_lines) {
  auto grid = Open();
  for (int y = 1; y < 100; ++y) grid->open[At(64, y)] = 0;
  const auto route = std::make_unique<Route>();
  route->Begin(*grid, At(60, 10), At(68, 10));
  CHECK(Finish(route.get(), *grid) == Route::Search::kFound);
  float x = 60.5f, y = 10.5f;
  int ticks = 0;
  while ((x - 68.5f) * (x - 68.5f) + (y - 10.5f) * (y - 10.5f) > 0.25f && ++ticks < 3000) {
    float to_x = 0.0f, to_y = 0.0f;
    bool climbs = true;
    if (!route->Next(*grid, x, y, &to_x, &to_y, &climbs)) break;
    CHECK(!climbs);
    const float dx = to_x - x, dy = to_y - y, length = std::sqrt(dx * dx + dy * dy);
    if (length < 1e-3f) break;
    x += 0.1f * dx / length;
    y += 0.1f * dy / length;
    CHECK(grid->open[CellOf(x, y)]);
  }
  CHECK_NEAR(x, 68.5f, 0.6f);
  CHECK_NEAR(y, 10.5f, 0.6f);
  CHECK(ticks > 1500);  // 90 metres up and 90 down at 0.1 a tick
}

TEST(route_takes_open_cells_for_closed_ends) {
  auto grid = Open();
  grid->open[At(30, 30)] = grid->open[At(50, 50)] = 0;
  const auto route = std::make_unique<Route>();
  route->Begin(*grid, At(30, 30), At(50, 50));
  CHECK(Finish(route.get(), *grid) == Route::Search::kFound);
  CHECK_EQ(route->goal(), At(50, 50));
  CHECK(grid->open[route->cell(0)] && grid->open[route->cell(route->left() - 1)]);
  std::fill_n(grid->open, kWalkCells, uint8_t{0});
  route->Begin(*grid, At(30, 30), At(50, 50));
  CHECK(Finish(route.get(), *grid) == Route::Search::kNone);
}

TEST(route_says_where_a_jump_is_due) {
  auto grid = Open();
  for (int cell = 0; cell < kWalkCells; ++cell) {
    if (cell % kWalkSide >= 40) grid->height[cell] = 120;  // a ledge across the whole ground
  }
  const auto route = std::make_unique<Route>();
  route->Begin(*grid, At(30, 30), At(50, 30));
  CHECK(Finish(route.get(), *grid) == Route::Search::kFound);
  float to_x, to_y;
  bool climbs = false;
  CHECK(route->Next(*grid, 33.5f, 30.5f, &to_x, &to_y, &climbs));
  CHECK(!climbs);
  CHECK(route->Next(*grid, 39.5f, 30.5f, &to_x, &to_y, &climbs));
  CHECK(climbs);
  for (int cell = 0; cell < kWalkCells; ++cell) {
    if (cell % kWalkSide >= 40) grid->height[cell] = 200;  // too high for a jump
  }
  route->Begin(*grid, At(30, 30), At(50, 30));
  CHECK(Finish(route.get(), *grid) == Route::Search::kNone);
}

TEST(route_is_given_up_where_the_body_is_elsewhere) {
  const auto grid = Open();
  const auto route = std::make_unique<Route>();
  route->Begin(*grid, At(10, 10), At(30, 10));
  CHECK(Finish(route.get(), *grid) == Route::Search::kFound);
  float to_x, to_y;
  bool climbs;
  CHECK(route->Next(*grid, 12.0f, 11.0f, &to_x, &to_y, &climbs));
  CHECK(!route->Next(*grid, 12.0f, 40.0f, &to_x, &to_y, &climbs));
  CHECK(!route->Next(*grid, NAN, 11.0f, &to_x, &to_y, &climbs));
}

TEST(ground_knows_how_far_one_can_go) {
  auto grid = Open();
  for (int y = 0; y < kWalkSide; ++y) grid->open[At(70, y)] = 0;
  CHECK_NEAR(Room(*grid, 60.5f, 60.5f, 1.0f, 0.0f, 14.0f), 9.1f, 0.31f);
  CHECK_EQ(Room(*grid, 60.5f, 60.5f, -1.0f, 0.0f, 14.0f), 14.0f);
  CHECK(Straight(*grid, 20.5f, 20.5f, 60.5f, 60.5f));
  CHECK(!Straight(*grid, 60.5f, 60.5f, 80.5f, 60.5f));
  CHECK(!Straight(*grid, 60.5f, 60.5f, NAN, 60.5f));
  CHECK(!Stands(*grid, 0.5f, 60.0f) && !Stands(*grid, NAN, 60.0f) && Stands(*grid, 60.0f, 60.0f));
  CHECK_EQ(CellOf(-5.0f, 1e9f), At(0, kWalkSide - 1));
  CHECK_EQ(CellOf(NAN, 3.5f), At(0, 3));
}

}  // namespace metabonk::play
