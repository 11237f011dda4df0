// Nothing that can be offered is without consequence: taking it changes what happens.
#include "arena_menus/run.h"
#include "check.h"
#include "games/arena/numbers.h"
#include "support/math.h"
#include "support/random.h"

namespace metabonk::arena {
namespace {

constexpr int kSeconds = 40;

LevelSpec Busy() {
  LevelSpec spec = DefaultSpec();
  spec.menus = 0;
  spec.start_enemies = 40;
  spec.enemy_damage = 0.6f;
  spec.enemy_health = 2.0f;
  spec.spawn_rate = 2.0f;
  spec.boss_at = -1.0f;
  spec.start_weapons[0] = kWeaponBow + 1;
  spec.start_weapons[1] = kWeaponFireStaff + 1;
  spec.start_weapons[2] = kWeaponMines + 1;
  spec.start_weapons[3] = kWeaponSword + 1;
  spec.start_weapon_level = 3;
  return spec;
}

uint64_t Mixed(uint64_t hash, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001B3ull;
  return hash;
}

// What happens, without what is carried: where the player is and how it fares, enemies' health.
template <typename Grant>
uint64_t Trajectory(Grant grant) {
  Run run(Busy(), 21);
  World& world = run.world;
  grant(world);
  uint64_t hash = 0;
  for (int i = 0; i < kSeconds * kTickHz && !world.done; ++i) {
    Action action = Idle();
    SinCos(static_cast<float>(i) * 0.015f, &action.move[0], &action.move[1]);
    action.jump = i % 90 < 5;
    action.interact = 1.0f;
    run.Step(action);
    const float fares[] = {world.player.x,      world.player.y,      world.player.z,
                           world.player.health, world.player.shield, world.player.xp,
                           world.player.gold};
    hash = Mixed(hash, fares, sizeof fares);
    hash =
        Mixed(hash, world.enemies.health, sizeof(float) * static_cast<size_t>(world.enemies.count));
  }
  return hash;
}

TEST(arena_trajectory_is_the_same_twice) {
  CHECK_EQ(Trajectory([](World&) {}), Trajectory([](World&) {}));
}

TEST(arena_trajectory_every_tome_changes_it) {
  const uint64_t plain = Trajectory([](World&) {});
  for (int kind = 0; kind < kTomeCount; ++kind) {
    const bool changes = Trajectory([&](World& world) { GrantTome(world, kind, 2.0f); }) != plain;
    if (!changes) check::Fail(__FILE__, __LINE__, kTomeDefs[kind].id);
  }
}

TEST(arena_trajectory_every_item_changes_it) {
  const uint64_t plain = Trajectory([](World&) {});
  for (int kind = 0; kind < kItemCount; ++kind) {
    const bool changes = Trajectory([&](World& world) {
                           GrantItem(world, kind);
                           GrantItem(world, kind);
                         }) != plain;
    if (!changes) check::Fail(__FILE__, __LINE__, kItemDefs[kind].id);
  }
}

TEST(arena_trajectory_every_weapon_level_changes_it) {
  for (int kind = 0; kind < kWeaponCount; ++kind) {
    uint64_t last = Trajectory([](World&) {});
    for (int level = 1; level <= 3; ++level) {
      const uint64_t now = Trajectory([&](World& world) {
        for (int i = 0; i < level; ++i) GrantWeapon(world, kind);
      });
      if (now == last) check::Fail(__FILE__, __LINE__, kWeaponDefs[kind].id);
      last = now;
    }
  }
}

TEST(arena_trajectory_every_character_plays_differently) {
  uint64_t seen[kCharacterCount];
  for (int character = 0; character < kCharacterCount; ++character) {
    seen[character] = Trajectory([&](World& world) { ApplyCharacter(world, character); });
    for (int other = 0; other < character; ++other) CHECK(seen[character] != seen[other]);
  }
}

TEST(arena_trajectory_every_reward_is_felt) {
  for (int kind = 0; kind < kRewardCount; ++kind) {
    Run run(Busy(), 21);
    run.world.player.health = 20.0f;
    run.world.menus.rolls[0] = {static_cast<uint8_t>(OfferKind::kReward), 0,
                                static_cast<uint8_t>(kind), 1, 1.0f};
    TakeOffer(run.world, run.level, 0);
    CHECK(run.world.player.health > 20.0f || run.world.player.gold > 0.0f);
  }
}

}  // namespace
}  // namespace metabonk::arena
