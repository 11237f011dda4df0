// The ground of a run: a function of seed and settings, and what it promises to those who walk.
#include "games/arena/terrain.h"

#include <cstring>
#include <memory>
#include <vector>

#include "arena/scene.h"
#include "check.h"

namespace metabonk::arena {
namespace {

std::unique_ptr<Terrain> Ground1(const LevelSpec& spec, uint64_t seed) {
  auto terrain = std::make_unique<Terrain>();
  std::memset(static_cast<void*>(terrain.get()), 0, sizeof(Terrain));
  GenerateTerrain(spec, seed, terrain.get());
  return terrain;
}

bool Same(const Terrain& a, const Terrain& b) {
  return std::memcmp(a.height, b.height, sizeof(a.height)) == 0 &&
         std::memcmp(a.walkable, b.walkable, sizeof(a.walkable)) == 0 &&
         std::memcmp(a.obstacle, b.obstacle, sizeof(a.obstacle)) == 0;
}

TEST(arena_terrain_follows_from_its_seed) {
  LevelSpec spec = DefaultSpec();
  CHECK(Same(*Ground1(spec, 3), *Ground1(spec, 3)));
  CHECK(!Same(*Ground1(spec, 3), *Ground1(spec, 4)));
  spec.terrain_seed = 9;  // then the run's seed does not matter
  CHECK(Same(*Ground1(spec, 3), *Ground1(spec, 4)));
}

TEST(arena_terrain_settings_shape_it) {
  LevelSpec spec = DefaultSpec();
  spec.relief = 0.0f;
  spec.obstacles = 0.0f;
  const auto flat = Ground1(spec, 5);
  float highest = 0.0f;
  int obstacles = 0;
  for (const float h : flat->height) highest = std::max(highest, std::fabs(h));
  for (const uint8_t o : flat->obstacle) obstacles += o;
  CHECK_EQ(highest, 0.0f);
  CHECK_EQ(obstacles, 0);

  spec.relief = 8.0f;
  spec.obstacles = 0.2f;
  const auto hilly = Ground1(spec, 5);
  float low = 0.0f;
  float high = 0.0f;
  for (const float h : hilly->height) {
    low = std::min(low, h);
    high = std::max(high, h);
  }
  for (const uint8_t o : hilly->obstacle) obstacles += o > 0;
  CHECK(high - low > 4.0f);
  CHECK(obstacles > 500);

  // Ledges: more of the ground is level, and what rises rises steeply.
  const auto level_cells = [](const Terrain& terrain) {
    int level = 0;
    for (int y = 0; y < 96; ++y) {
      for (int x = 0; x < 96; ++x) {
        float dx;
        float dy;
        GroundSlope(terrain, static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f, &dx, &dy);
        level += std::hypot(dx, dy) < 0.05f;
      }
    }
    return level;
  };
  spec.ledges = 0.0f;
  const int smooth = level_cells(*Ground1(spec, 5));
  spec.ledges = 1.0f;
  CHECK(level_cells(*Ground1(spec, 5)) > smooth + 500);
}

TEST(arena_terrain_everything_walkable_can_be_reached) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    LevelSpec spec = DefaultSpec();
    spec.obstacles = 0.25f;
    const auto terrain = Ground1(spec, seed);
    const int center = static_cast<int>(spec.size * 0.5f);
    std::vector<uint8_t> seen(kGridCells * kGridCells, 0);
    std::vector<int> stack = {center * kGridCells + center};
    seen[static_cast<size_t>(stack[0])] = 1;
    CHECK(terrain->walkable[stack[0]]);
    int reached = 0;
    while (!stack.empty()) {
      const int cell = stack.back();
      stack.pop_back();
      ++reached;
      for (const int next : {cell - 1, cell + 1, cell - kGridCells, cell + kGridCells}) {
        if (next < 0 || next >= kGridCells * kGridCells || seen[static_cast<size_t>(next)])
          continue;
        if (!terrain->walkable[next]) continue;
        seen[static_cast<size_t>(next)] = 1;
        stack.push_back(next);
      }
    }
    int walkable = 0;
    for (const uint8_t cell : terrain->walkable) walkable += cell;
    CHECK_EQ(reached, walkable);
    CHECK(walkable > 3000);
  }
}

TEST(arena_terrain_nothing_is_walkable_at_the_edge) {
  const auto terrain = Ground1(DefaultSpec(), 2);
  for (int i = 0; i < kGridCells; ++i) {
    CHECK(!terrain->walkable[i]);
    CHECK(!terrain->walkable[i * kGridCells]);
    CHECK(!terrain->walkable[96 * kGridCells + i]);
  }
  CHECK(Blocked(*terrain, -1.0f, 40.0f, 0.4f));
  CHECK(Blocked(*terrain, 40.0f, 1e9f, 0.4f));
  CHECK(!Blocked(*terrain, 48.0f, 48.0f, 0.4f));
}

TEST(arena_terrain_heights_are_continuous) {
  const auto terrain = Ground1(DefaultSpec(), 7);
  for (int i = 0; i < 2000; ++i) {
    const float x = 2.0f + 90.0f * UnitFloat(HashDraw(1, static_cast<uint64_t>(i)));
    const float y = 2.0f + 90.0f * UnitFloat(HashDraw(2, static_cast<uint64_t>(i)));
    CHECK_NEAR(GroundHeight(*terrain, x, y), GroundHeight(*terrain, x + 0.001f, y), 0.02);
    float dx;
    float dy;
    GroundSlope(*terrain, x, y, &dx, &dy);
    const float inside = x - std::floor(x);
    if (inside > 0.1f && inside < 0.9f) {
      const float rise =
          GroundHeight(*terrain, x + 0.05f, y) - GroundHeight(*terrain, x - 0.05f, y);
      CHECK_NEAR(dx, rise / 0.1f, 0.02);
    }
  }
}

}  // namespace
}  // namespace metabonk::arena
