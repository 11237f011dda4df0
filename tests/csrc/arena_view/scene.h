// A world put together by hand, for the tests of the view: independent of the rules, so that a
// frame changes only when the view, the content or this file does.
#pragma once

#include <memory>

#include "games/arena/content.h"
#include "games/arena/view.h"
#include "support/math.h"
#include "support/random.h"

namespace metabonk::arena::view_test {

struct Scene {
  World world = {};
  Terrain terrain = {};
  Level level = {};
  RenderScratch scratch;

  Scene() { level = {DefaultSpec(), &terrain}; }
  Scene(const Scene&) = delete;
};

inline float SceneNoise(uint64_t key, uint64_t n) { return UnitFloat(HashDraw(key, n)); }

inline void FillTerrain(Terrain* terrain) {
  terrain->seed = 11;
  terrain->size = 96.0f;
  for (int y = 0; y < kGridVertices; ++y) {
    for (int x = 0; x < kGridVertices; ++x) {
      float a, b, unused;
      SinCos(0.11f * static_cast<float>(x), &a, &unused);
      SinCos(0.07f * static_cast<float>(y), &unused, &b);
      const float ledge = x > 60 ? 1.2f : 0.0f;
      terrain->height[y * kGridVertices + x] = 1.5f * a * b + ledge;
    }
  }
  for (int i = 0; i < kGridCells * kGridCells; ++i) {
    const float draw = SceneNoise(5, static_cast<uint64_t>(i));
    terrain->ground[i] = static_cast<uint8_t>((i / 9 + i / (kGridCells * 9)) % 5);
    terrain->obstacle[i] = static_cast<uint8_t>(draw < 0.04f ? 3 + i % 14 : 0);
    terrain->walkable[i] = terrain->obstacle[i] == 0;
  }
}

inline void FillPlayer(const Terrain& terrain, World* world) {
  Player& player = world->player;
  player.x = player.y = 48.0f;
  player.z = GroundHeight(terrain, player.x, player.y);
  player.yaw = 0.7f;
  player.grounded = 1;
  player.level = 7;
  player.gold = 123.0f;
  for (int i = 0; i < kStats; ++i) player.base[i] = player.stat[i] = 1.0f;  // not the content's
  StatOf(player, Stat::kMaxHealth) = 100.0f;
  StatOf(player, Stat::kMaxShield) = 0.0f;
  player.health = 70.0f;
  player.weapons[0] = {1, 3};
  player.weapons[1] = {2, 1};
  player.tomes[0] = {1, 2};
}

// Enemies of every kind, pick-ups, shots, bolts and structures around the player.
inline void FillThings(const Terrain& terrain, World* world) {
  const Player& player = world->player;
  uint64_t n = 0;
  const auto place = [&](float reach, float* x, float* y, float* z) {
    *x = player.x + reach * (SceneNoise(9, n) - 0.5f);
    *y = player.y + reach * (SceneNoise(9, n + 1) - 0.5f);
    *z = GroundHeight(terrain, *x, *y);
    n += 2;
  };
  Enemies& enemies = world->enemies;
  for (enemies.count = 0; enemies.count < 90; ++enemies.count) {
    const int i = enemies.count;
    place(44.0f, &enemies.x[i], &enemies.y[i], &enemies.z[i]);
    enemies.kind[i] = static_cast<uint8_t>(i % 7 == 0 ? i % kEnemyCount : i % 12);
    enemies.id[i] = static_cast<uint32_t>(i + 1);
    enemies.health[i] = 6.0f;
    enemies.max_health[i] = 10.0f;
    enemies.vx[i] = SceneNoise(3, n) - 0.5f;
    enemies.flash[i] = i % 11 == 0 ? 7 : 0;
    enemies.phase[i] = i % 13 == 0 ? 1 : 0;
    enemies.flags[i] = i % 17 == 0 ? kEntityElite : 0;
  }
  enemies.flags[3] = kEntityBoss;
  for (int i = 0; i < 40; ++i, ++world->pickups.count) {
    Pickups& pickups = world->pickups;
    place(30.0f, &pickups.x[i], &pickups.y[i], &pickups.z[i]);
    pickups.kind[i] = static_cast<uint8_t>(i % 4);
    pickups.value[i] = static_cast<float>(i % 5);
    pickups.id[i] = static_cast<uint32_t>(i);
  }
  for (int i = 0; i < 6; ++i, ++world->structures.count) {
    Structures& structures = world->structures;
    place(24.0f, &structures.x[i], &structures.y[i], &structures.z[i]);
    structures.kind[i] = static_cast<uint8_t>(1 + i % 3);
    structures.price[i] = 25.0f;
    structures.charge[i] = 0.4f;
  }
  for (int i = 0; i < 30; ++i, ++world->shots.count) {
    Shots& shots = world->shots;
    place(16.0f, &shots.x[i], &shots.y[i], &shots.z[i]);
    shots.weapon[i] = static_cast<uint8_t>(i % kWeaponCount);
    shots.state[i] = static_cast<uint8_t>(i % 6);
    shots.radius[i] = 0.4f;
    shots.life[i] = 0.1f;
    shots.vx[i] = 14.0f;
  }
  for (int i = 0; i < 12; ++i, ++world->bolts.count) {
    Bolts& bolts = world->bolts;
    place(18.0f, &bolts.x[i], &bolts.y[i], &bolts.z[i]);
    bolts.kind[i] = static_cast<uint8_t>(i % kEnemyCount);
    bolts.radius[i] = 0.3f;
    bolts.vy[i] = -9.0f;
  }
}

inline std::unique_ptr<Scene> MakeScene(int tier, bool things = true) {
  auto scene = std::make_unique<Scene>();
  FillTerrain(&scene->terrain);
  scene->world.tier = static_cast<uint8_t>(tier);
  scene->world.tick = 500;
  scene->world.menus.armed = 1;
  FillPlayer(scene->terrain, &scene->world);
  if (things) FillThings(scene->terrain, &scene->world);
  return scene;
}

inline std::vector<uint8_t> Draw(Scene& scene, int height, int width) {
  std::vector<uint8_t> rgb(static_cast<size_t>(height * width * 3));
  Render(scene.world, scene.level, height, width, rgb.data(), scene.scratch);
  return rgb;
}

}  // namespace metabonk::arena::view_test
