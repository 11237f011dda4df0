// A run of the arena: how it starts and what one tick of it does, in which order. Knows the stages,
// not what is in them.
#include <cstring>

#include "games/arena/content.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"
#include "support/random.h"

namespace metabonk::arena {

namespace {

Random StreamOf(uint64_t run_seed, uint64_t stream) { return {HashDraw(run_seed, stream), 0}; }

void StandInTheMiddle(Player& player, const Terrain& terrain) {
  player.x = player.y = terrain.size * 0.5f;
  player.z = FloorHeight(terrain, player.x, player.y);
  player.yaw = 0.5f * kPi;  // north
  player.grounded = 1;
  player.air_jumps = kBody.air_jumps;
  player.level = 1;
}

void CheckEnd(World& world, const Level& level) {
  if (world.done != static_cast<uint8_t>(EpisodeEnd::kNo)) return;
  if (world.player.health <= 0.0f) {
    world.player.health = 0.0f;
    world.done = static_cast<uint8_t>(EpisodeEnd::kDied);
    OpenMenu(world, level, Screen::kDeath);
    return;
  }
  if (GameTime(world) >= static_cast<double>(level.spec.duration) && !level.spec.sustain) {
    world.done = static_cast<uint8_t>(EpisodeEnd::kTimeUp);
    OpenMenu(world, level, Screen::kDeath);
  }
}

}  // namespace

void StartRun(World& world, const Level& level, uint64_t run_seed) {
  std::memset(static_cast<void*>(&world), 0, sizeof(world));  // padding too: it is hashed
  world.run_seed = run_seed;
  world.world_random = StreamOf(run_seed, 1);
  world.combat_random = StreamOf(run_seed, 2);
  world.offer_random = StreamOf(run_seed, 3);
  world.step_random = StreamOf(run_seed, 4);
  world.tier = level.spec.tier;
  world.menus.armed = 1;
  StandInTheMiddle(world.player, *level.terrain);
  StartLoadout(world, level, level.spec.character);
  PlaceStructures(world, level);
  StartDirector(world, level);
  const Screen first = static_cast<Screen>(level.spec.start_screen);
  if (first != Screen::kPlaying) OpenMenu(world, level, first);
}

void Tick(World& world, const Level& level, const Action& action, Scratch& scratch) {
  ++world.total_ticks;
  if (TickMenus(world, level, action)) return;
  ++world.tick;
  DirectSpawns(world, level);
  MovePlayer(world, level, action);
  TickAbility(world, level, action);
  MoveEnemies(world, level, scratch);
  FireWeapons(world, level, action, scratch);
  MoveShots(world, level, scratch);
  MoveBolts(world, level);
  RemoveDead(world, level);
  CollectPickups(world, level);
  UseStructures(world, level, action);
  CheckEnd(world, level);
}

// Eight bytes at a time into four chains, so that the multiplications overlap.
uint64_t HashWorld(const World& world) {
  static_assert(sizeof(World) % 32 == 0);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&world);
  uint64_t chain[4] = {1, 2, 3, 4};
  for (size_t at = 0; at < sizeof(World); at += 32) {
    for (size_t i = 0; i < 4; ++i) {
      uint64_t word;
      std::memcpy(&word, bytes + at + 8 * i, sizeof(word));
      chain[i] = (chain[i] ^ word) * 0x9E3779B97F4A7C15ull;
      chain[i] ^= chain[i] >> 32;
    }
  }
  return Mix64(Mix64(Mix64(Mix64(chain[0]) ^ chain[1]) ^ chain[2]) ^ chain[3]);
}

}  // namespace metabonk::arena
