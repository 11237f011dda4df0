// What lies and stands around: experience, gold, hearts, magnets, chests, shrines; and the score.
#include "arena/scene.h"
#include "check.h"

namespace metabonk::arena {
namespace {

Run Scene() {
  Run run(Flat());
  Disarm(run);
  return run;
}

void Drop(Run& run, PickupKind kind, float value, float dx) {
  DropPickup(run.world, kind, value, run.world.player.x + dx, run.world.player.y,
             run.world.player.z);
}

int Stand(Run& run, StructureKind kind, float dx, float price = 0.0f) {
  Structures& structures = run.world.structures;
  const int i = structures.count++;
  structures.x[i] = run.world.player.x + dx;
  structures.y[i] = run.world.player.y;
  structures.price[i] = price;
  structures.kind[i] = static_cast<uint8_t>(kind);
  structures.id[i] = static_cast<uint32_t>(i + 1);
  return i;
}

TEST(arena_pickups_fly_to_the_player_within_reach_only) {
  Run run = Scene();
  const float range = StatOf(run.world.player, Stat::kPickupRange);
  Drop(run, PickupKind::kXp, 1.0f, range - 0.3f);
  Drop(run, PickupKind::kXp, 1.0f, range + 0.3f);
  run.Wait(60);
  CHECK_EQ(run.world.pickups.count, 1);
  CHECK_NEAR(run.world.totals.xp_earned, StatOf(run.world.player, Stat::kXpGain), 1e-4);
}

TEST(arena_pickups_give_what_they_say) {
  Run run = Scene();
  Drop(run, PickupKind::kGold, 5.0f, 0.2f);
  run.world.player.health = 50.0f;
  Drop(run, PickupKind::kHeal, 20.0f, 0.2f);
  run.Wait(2);
  CHECK_NEAR(run.world.player.gold, 5.0f * StatOf(run.world.player, Stat::kGoldGain), 1e-4);
  CHECK_NEAR(run.world.player.health, 70.0, 1e-3);
  Drop(run, PickupKind::kXp, 1.0f, 30.0f);
  run.Wait(30);
  CHECK_EQ(run.world.pickups.count, 1);
  Drop(run, PickupKind::kMagnet, 1.0f, 0.2f);
  run.Wait(240);
  CHECK_EQ(run.world.pickups.count, 0);
}

TEST(arena_pickups_no_experience_is_lost_when_the_ground_is_full) {
  Run run = Scene();
  for (int i = 0; i < 400; ++i) Drop(run, PickupKind::kXp, 1.0f, 20.0f);
  CHECK_EQ(run.world.pickups.count, kMaxPickups);
  float sum = 0.0f;
  for (int i = 0; i < kMaxPickups; ++i) sum += run.world.pickups.value[i];
  CHECK_NEAR(sum, 400.0, 1e-2);
}

TEST(arena_pickups_levels_need_more_and_more) {
  for (int level = 1; level < 60; ++level) {
    CHECK(XpNeeded(level + 1) > XpNeeded(level));
  }
  Run run = Scene();
  StatOf(run.world.player, Stat::kXpGain) = 1.0f;
  GainXp(run.world, run.level, XpNeeded(1) + XpNeeded(2) + 0.5f);
  CHECK_EQ(run.world.player.level, 3);
  CHECK_EQ(run.world.player.pending_levels, 2);
  CHECK_NEAR(run.world.player.xp, 0.5, 1e-3);
  run.Step(Idle());
  CHECK(run.world.menus.screen == Screen::kLevelUp);
}

TEST(arena_pickups_chests_cost_gold_and_the_next_costs_more) {
  Run run = Scene();
  const int first = Stand(run, StructureKind::kChest, 1.0f, 25.0f);
  const int second = Stand(run, StructureKind::kChest, 30.0f, 25.0f);
  Action use = Idle();
  use.interact = 1.0f;
  run.world.player.gold = 24.0f;
  run.Step(use);
  CHECK_EQ(run.world.totals.chests, 0u);
  run.world.player.gold = 26.0f;
  run.Step(Idle());
  CHECK_EQ(run.world.totals.chests, 0u);  // not asked to
  run.Step(use);
  CHECK_EQ(run.world.totals.chests, 1u);
  CHECK_NEAR(run.world.player.gold, 1.0, 1e-4);
  CHECK_EQ(run.world.structures.kind[first], static_cast<uint8_t>(StructureKind::kNone));
  CHECK_NEAR(run.world.structures.price[second], 25.0f * kDrop.chest_growth, 1e-3);
  CHECK(run.world.menus.screen == Screen::kChest);
}

TEST(arena_pickups_shrines_charge_while_one_stands_near) {
  Run run = Scene();
  const int shrine = Stand(run, StructureKind::kShrine, 2.0f);
  run.Wait(60);
  CHECK_NEAR(run.world.structures.charge[shrine], 1.0f / kDrop.shrine_seconds, 0.02);
  run.world.player.x -= 10.0f;
  run.Wait(60);
  CHECK_NEAR(run.world.structures.charge[shrine], 1.0f / kDrop.shrine_seconds, 0.02);
  run.world.player.x += 10.0f;
  run.Wait(static_cast<int>(kDrop.shrine_seconds * kTickHz));
  CHECK_EQ(run.world.totals.shrines, 1u);
  CHECK(run.world.menus.screen == Screen::kChest);
}

TEST(arena_pickups_levels_place_what_their_spec_asks_for) {
  LevelSpec spec = DefaultSpec();
  spec.chests = 7;
  spec.shrines = 5;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    Run run(spec, seed);
    int chests = 0;
    int shrines = 0;
    const Structures& s = run.world.structures;
    for (int i = 0; i < s.count; ++i) {
      chests += s.kind[i] == static_cast<uint8_t>(StructureKind::kChest);
      shrines += s.kind[i] == static_cast<uint8_t>(StructureKind::kShrine);
      CHECK(
          run.terrain->walkable[static_cast<int>(s.y[i]) * kGridCells + static_cast<int>(s.x[i])]);
    }
    CHECK(chests >= 6 && chests <= 7);
    CHECK(shrines >= 4 && shrines <= 5);
  }
}

TEST(arena_pickups_kills_score_and_leave_experience) {
  Run run = Scene();
  const int i = Put(run, kEnemyBrute, 10.0f, 0.0f);
  run.world.enemies.health[i] = 0.0f;
  run.Step(Idle());
  CHECK_EQ(run.world.totals.kills, 1u);
  CHECK_NEAR(run.world.totals.score, kEnemyDefs[kEnemyBrute].score, 1e-3);
  bool xp = false;
  for (int k = 0; k < run.world.pickups.count; ++k) {
    xp |= run.world.pickups.kind[k] == static_cast<uint8_t>(PickupKind::kXp) &&
          run.world.pickups.value[k] == kEnemyDefs[kEnemyBrute].xp;
  }
  CHECK(xp);
}

}  // namespace
}  // namespace metabonk::arena
