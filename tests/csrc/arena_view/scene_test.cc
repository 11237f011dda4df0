// What is in the world is seen where it is.
#include "arena_view/scene.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "check.h"
#include "games/arena/shots.h"
#include "games/arena/sprites.h"

namespace metabonk::arena::view_test {
namespace {

struct Change {
  int count = 0;
  float x = 0.0f, y = 0.0f;  // the middle of what changed
};

Change Difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, int width) {
  Change change;
  for (size_t i = 0; i < a.size(); i += 3) {
    if (a[i] == b[i] && a[i + 1] == b[i + 1] && a[i + 2] == b[i + 2]) continue;
    ++change.count;
    change.x += static_cast<float>(static_cast<int>(i / 3) % width);
    change.y += static_cast<float>(static_cast<int>(i / 3) / width);
  }
  if (change.count > 0) change.x /= static_cast<float>(change.count);
  if (change.count > 0) change.y /= static_cast<float>(change.count);
  return change;
}

constexpr int kSizes[][2] = {{84, 84}, {360, 640}};

// Puts one enemy in front of the player and returns what it changes.
Change AddOne(Scene& scene, int height, int width, float ahead, float aside) {
  const std::vector<uint8_t> before = Draw(scene, height, width);
  float sine, cosine;
  SinCos(scene.world.player.yaw, &sine, &cosine);
  Enemies& enemies = scene.world.enemies;
  enemies.x[0] = scene.world.player.x + cosine * ahead + sine * aside;
  enemies.y[0] = scene.world.player.y + sine * ahead - cosine * aside;
  enemies.z[0] = GroundHeight(scene.terrain, enemies.x[0], enemies.y[0]);
  enemies.count = 1;
  return Difference(before, Draw(scene, height, width), width);
}

TEST(ArenaViewShowsAnEnemyWhereItStands) {
  for (const auto& size : kSizes) {
    const int height = size[0], width = size[1];
    const float places[][2] = {{4.0f, 0.0f}, {6.0f, 3.0f}, {9.0f, -3.0f}};
    for (const auto& place : places) {
      auto scene = MakeScene(1, false);
      std::fill_n(scene->terrain.obstacle, kGridCells * kGridCells, static_cast<uint8_t>(0));
      std::fill_n(scene->terrain.height, kGridVertices * kGridVertices, 0.5f);
      const Change change = AddOne(*scene, height, width, place[0], place[1]);
      float x, y;
      const Enemies& enemies = scene->world.enemies;
      CHECK(ProjectToFrame(scene->world, scene->level, height, width, enemies.x[0], enemies.y[0],
                           enemies.z[0], &x, &y));
      CHECK(change.count >= (height < 100 ? 8 : 200));
      const float reach = 0.06f * static_cast<float>(height);
      CHECK_NEAR(change.x, x, reach);
      CHECK(change.y < y + 2.0f);  // its foot is the lowest point
      CHECK(change.y > y - 0.15f * static_cast<float>(height));
    }
  }
}

TEST(ArenaViewShowsNothingBehindTheEye) {
  auto scene = MakeScene(1, false);
  CHECK_EQ(AddOne(*scene, 84, 84, -30.0f, 0.0f).count, 0);
}

TEST(ArenaViewTurnsWithThePlayer) {
  // What is ahead to the right lies to the left of the middle once the player turned right past it.
  auto scene = MakeScene(1, false);
  AddOne(*scene, 84, 84, 8.0f, 2.0f);
  const Enemies& enemies = scene->world.enemies;
  float before, after, y;
  CHECK(ProjectToFrame(scene->world, scene->level, 84, 84, enemies.x[0], enemies.y[0], 0.0f,
                       &before, &y));
  scene->world.player.yaw -= 0.6f;
  CHECK(ProjectToFrame(scene->world, scene->level, 84, 84, enemies.x[0], enemies.y[0], 0.0f, &after,
                       &y));
  CHECK(before > 42.0f);
  CHECK(after < before - 4.0f);
}

// Each thing alone in the frame changes pixels, in both kinds of frames.
template <typename Put>
void CheckSeen(const char* what, int least_small, const Put& put) {
  for (const auto& size : kSizes) {
    auto scene = MakeScene(2, false);
    const std::vector<uint8_t> before = Draw(*scene, size[0], size[1]);
    put(scene->world, scene->world.player.x + 4.0f, scene->world.player.y + 3.0f,
        GroundHeight(scene->terrain, scene->world.player.x + 4.0f, scene->world.player.y + 3.0f));
    const Change change = Difference(before, Draw(*scene, size[0], size[1]), size[1]);
    if (change.count < least_small)
      std::fprintf(stderr, "  %s at %d: %d pixels\n", what, size[0], change.count);
    CHECK(change.count >= least_small);
  }
}

TEST(ArenaViewShowsEveryKindOfEnemy) {
  for (int kind = 0; kind < kEnemyCount; ++kind) {
    CheckSeen(kEnemyDefs[kind].name, 9, [&](World& world, float x, float y, float z) {
      world.enemies.count = 1;
      world.enemies.kind[0] = static_cast<uint8_t>(kind);
      world.enemies.x[0] = x, world.enemies.y[0] = y, world.enemies.z[0] = z;
      world.enemies.health[0] = world.enemies.max_health[0] = 1.0f;
    });
  }
}

TEST(ArenaViewShowsEveryShotBoltPickupAndStructure) {
  for (int weapon = 0; weapon < kWeaponCount; ++weapon) {
    for (const int state : {static_cast<int>(kShotFlying), static_cast<int>(kShotMark)}) {
      CheckSeen(kWeaponDefs[weapon].name, 1, [&](World& world, float x, float y, float z) {
        world.shots.count = 1;
        world.shots.weapon[0] = static_cast<uint8_t>(weapon);
        world.shots.state[0] = static_cast<uint8_t>(state);
        world.shots.x[0] = x, world.shots.y[0] = y, world.shots.z[0] = z + 0.5f;
        world.shots.radius[0] = 1.0f, world.shots.life[0] = 0.1f, world.shots.vx[0] = 8.0f;
      });
    }
  }
  for (int kind = 0; kind < kEnemyCount; ++kind) {
    CheckSeen("bolt", 4, [&](World& world, float x, float y, float z) {
      world.bolts.count = 1;
      world.bolts.kind[0] = static_cast<uint8_t>(kind);
      world.bolts.x[0] = x, world.bolts.y[0] = y, world.bolts.z[0] = z + 0.8f;
      world.bolts.radius[0] = 0.3f, world.bolts.vx[0] = -9.0f;
    });
  }
  for (int kind = 0; kind < 4; ++kind) {
    CheckSeen("pickup", 3, [&](World& world, float x, float y, float z) {
      world.pickups.count = 1;
      world.pickups.kind[0] = static_cast<uint8_t>(kind);
      world.pickups.x[0] = x, world.pickups.y[0] = y, world.pickups.z[0] = z;
    });
  }
  for (int kind = 1; kind <= 3; ++kind) {
    CheckSeen("structure", 12, [&](World& world, float x, float y, float z) {
      world.structures.count = 1;
      world.structures.kind[0] = static_cast<uint8_t>(kind);
      world.structures.x[0] = x, world.structures.y[0] = y, world.structures.z[0] = z;
    });
  }
}

// States of an enemy that a player must see: hurt, elite, about to strike, wounded boss.
TEST(ArenaViewShowsStates) {
  for (const auto& size : kSizes) {
    const auto with = [&](uint8_t kind, uint8_t flags, uint8_t flash, uint8_t phase, float health) {
      auto scene = MakeScene(1, false);
      scene->world.tick = 4;  // where alarms are lit
      Enemies& enemies = scene->world.enemies;
      AddOne(*scene, size[0], size[1], 6.0f, 0.0f);
      enemies.kind[0] = kind;
      enemies.flags[0] = flags;
      enemies.flash[0] = flash;
      enemies.phase[0] = phase;
      enemies.health[0] = health, enemies.max_health[0] = 10.0f;
      return Draw(*scene, size[0], size[1]);
    };
    const std::vector<uint8_t> calm = with(kEnemyBomber, 0, 0, 0, 10.0f);
    CHECK(with(kEnemyBomber, 0, 8, 0, 10.0f) != calm);
    CHECK(with(kEnemyBomber, 0, 0, 1, 10.0f) != calm);
    CHECK(with(kEnemyBomber, 0, 0, 0, 5.0f) == calm);  // no bar over common enemies
    const std::vector<uint8_t> elite = with(kEnemyBomber, kEntityElite, 0, 0, 10.0f);
    CHECK(elite != calm);
    CHECK(with(kEnemyBomber, kEntityElite, 0, 0, 5.0f) != elite);
    CHECK(with(kEnemyGolem, kEntityBoss, 0, 0, 5.0f) != with(kEnemyGolem, kEntityBoss, 0, 0, 9.0f));
  }
}

// Kinds can be told apart, and none is left with the art of a kind that has none.
TEST(ArenaViewHasItsOwnArtForEverything) {
  const auto differ = [](int a, int b) {
    return std::memcmp(SpriteBitmap(a).pixels, SpriteBitmap(b).pixels, sizeof(Bitmap)) != 0;
  };
  for (int sprite = 0; sprite < kSpriteCount; ++sprite) {
    int opaque = 0;
    for (const uint32_t pixel : SpriteBitmap(sprite).pixels) opaque += pixel >> 24 > 128;
    CHECK(opaque > kSpriteSide * kSpriteSide / 10);
  }
  for (int a = 0; a < kEnemyCount; ++a) {
    CHECK(differ(kSpriteEnemy + a, kSpriteEnemy + kEnemyKindsMax - 1) ||
          kEnemyCount == kEnemyKindsMax);
    for (int b = 0; b < a; ++b) CHECK(differ(kSpriteEnemy + a, kSpriteEnemy + b));
  }
  for (int a = 0; a < kCharacterCount; ++a) {
    for (int b = 0; b < a; ++b) CHECK(differ(CharacterSprite(a), CharacterSprite(b)));
  }
  for (int a = 0; a < kWeaponCount; ++a) {
    for (int b = 0; b < a; ++b) CHECK(differ(kSpriteWeapon + a, kSpriteWeapon + b));
  }
}

}  // namespace
}  // namespace metabonk::arena::view_test
