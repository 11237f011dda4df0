// Who comes when: growing waves, tiers, the stage boss, the portal, the end of a run.
#include "arena/scene.h"
#include "check.h"

namespace metabonk::arena {
namespace {

// Points of the director's budget that came within each of `waves` waves, killed as they come.
std::vector<float> CostByWave(LevelSpec spec, int waves) {
  spec.boss_at = -1.0f;
  spec.duration = 7200.0f;
  Run run(spec, 5);
  Disarm(run);
  std::vector<float> cost(static_cast<size_t>(waves), 0.0f);
  uint32_t seen = 0;
  const int ticks = static_cast<int>(kWave.seconds * kTickHz);
  for (int t = 0; t < waves * ticks; ++t) {
    run.Step(Idle());
    for (int i = 0; i < run.world.enemies.count; ++i) {
      if (run.world.enemies.id[i] <= seen) continue;
      cost[static_cast<size_t>(t / ticks)] += kEnemyDefs[run.world.enemies.kind[i]].cost;
    }
    seen = run.world.enemies.next_id;
    run.world.enemies.count = 0;
    run.world.bolts.count = 0;
  }
  return cost;
}

TEST(arena_director_waves_grow) {
  const std::vector<float> cost = CostByWave(DefaultSpec(), 6);
  CHECK(cost[0] > 10.0f);
  CHECK(cost[2] > cost[0] * 1.3f);
  CHECK(cost[5] > cost[2] * 1.3f);
  for (int wave = 1; wave < 6; ++wave) {
    const float budget =
        kWave.seconds * (kWave.budget + kWave.budget_growth * static_cast<float>(wave)) +
        kWave.rush * static_cast<float>(wave);
    CHECK_NEAR(cost[static_cast<size_t>(wave)], budget, 0.25f * budget);
  }
}

TEST(arena_director_rates_and_tiers_scale_it) {
  LevelSpec spec = DefaultSpec();
  const float base = CostByWave(spec, 1)[0];
  spec.spawn_rate = 2.0f;
  CHECK_NEAR(CostByWave(spec, 1)[0], 2.0f * base, 0.5f * base);
  spec.spawn_rate = 1.0f;
  spec.tier = 3;
  CHECK(CostByWave(spec, 1)[0] > 1.3f * base);
  spec.spawn_rate = 0.0f;
  CHECK_EQ(CostByWave(spec, 1)[0], 0.0f);
}

TEST(arena_director_kinds_come_when_their_wave_and_tier_have_come) {
  LevelSpec spec = DefaultSpec();
  spec.spawn_rate = 10.0f;
  Run run(spec, 9);
  Disarm(run);
  for (int t = 0; t < 150 * kTickHz; ++t) {
    run.Step(Idle());
    for (int i = 0; i < run.world.enemies.count; ++i) {
      const EnemyDef& def = kEnemyDefs[run.world.enemies.kind[i]];
      CHECK(def.from_tier <= 1);
      CHECK(def.from_wave <= run.world.director.wave);
    }
    run.world.enemies.count = std::min(run.world.enemies.count, 0);
    run.world.bolts.count = 0;
  }
}

TEST(arena_director_mix_decides_who_comes) {
  LevelSpec spec = DefaultSpec();
  std::fill(std::begin(spec.enemy_mix), std::end(spec.enemy_mix), 0.0f);
  spec.enemy_mix[kEnemyBat] = 1.0f;
  spec.start_enemies = 20;
  Run run(spec, 3);
  Disarm(run);
  CHECK_EQ(run.world.enemies.count, 0);  // bats come from the second wave on
  for (int t = 0; t < 45 * kTickHz; ++t) {
    run.world.player.health = 100.0f;
    run.Step(Idle());
  }
  CHECK(run.world.enemies.count > 5);
  for (int i = 0; i < run.world.enemies.count; ++i) {
    CHECK_EQ(run.world.enemies.kind[i], kEnemyBat);
  }
}

TEST(arena_director_enemies_appear_at_a_distance_and_within_the_limit) {
  LevelSpec spec = DefaultSpec();
  spec.max_enemies = 17;
  spec.spawn_rate = 10.0f;
  Run run(spec, 4);
  Disarm(run);
  uint32_t seen = 0;
  for (int t = 0; t < 20 * kTickHz; ++t) {
    run.world.player.health = 100.0f;
    run.Step(Idle());
    CHECK(run.world.enemies.count <= 17);
    for (int i = 0; i < run.world.enemies.count; ++i) {
      if (run.world.enemies.id[i] > seen) CHECK(AwayFromPlayer(run.world, i) > kWave.near - 4.0f);
    }
    seen = run.world.enemies.next_id;
  }
  CHECK(run.world.enemies.count >= 14);  // bombers go by themselves
}

TEST(arena_director_each_tier_has_its_boss_on_time_and_victory_after_the_portal) {
  for (int tier = 1; tier <= kTierCount; ++tier) {
    LevelSpec spec = Flat();
    spec.tier = static_cast<uint8_t>(tier);
    spec.boss_at = 5.0f;
    spec.menus = 0;
    Run run(spec);
    Disarm(run);
    run.Wait(5 * kTickHz - 2);
    CHECK_EQ(run.world.enemies.count, 0);
    run.Wait(4);
    CHECK_EQ(run.world.enemies.count, 1);
    CHECK_EQ(run.world.enemies.kind[0], kTierDefs[tier - 1].enemy);
    CHECK(run.world.enemies.flags[0] & kEntityBoss);
    run.world.enemies.health[0] = 0.0f;
    run.Step(Idle());
    CHECK_EQ(run.world.totals.boss_kills, 1u);
    CHECK_EQ(run.world.structures.count, 1);
    CHECK_EQ(run.world.structures.kind[0], static_cast<uint8_t>(StructureKind::kPortal));
    CHECK_EQ(run.world.done, 0);
    run.world.player.x = run.world.structures.x[0];
    run.world.player.y = run.world.structures.y[0];
    run.Wait(static_cast<int>(kWave.portal_seconds * kTickHz) + 2);
    CHECK_EQ(run.world.done, static_cast<uint8_t>(EpisodeEnd::kWon));
    CHECK(run.world.menus.screen == Screen::kVictory);
  }
}

TEST(arena_director_a_victory_that_does_not_end_the_run_brings_the_next_boss) {
  LevelSpec spec = Flat();
  spec.boss_at = 2.0f;
  spec.terminate_on_victory = 0;
  spec.menus = 0;
  Run run(spec);
  Disarm(run);
  run.Wait(2 * kTickHz + 2);
  run.world.enemies.health[0] = 0.0f;
  run.Step(Idle());
  run.world.player.x = run.world.structures.x[0];
  run.world.player.y = run.world.structures.y[0];
  run.Wait(static_cast<int>(kWave.portal_seconds * kTickHz) + 2);
  CHECK_EQ(run.world.totals.victories, 1u);
  CHECK_EQ(run.world.done, 0);
  run.Step(Choose(1));  // continues
  CHECK(run.world.menus.screen == Screen::kPlaying);
  run.Wait(2 * kTickHz + 3);
  CHECK_EQ(run.world.enemies.count, 1);
}

TEST(arena_director_death_and_the_end_of_time) {
  LevelSpec spec = Flat();
  spec.duration = 3.0f;
  Run timed(spec);
  timed.Wait(3 * kTickHz - 1);
  CHECK_EQ(timed.world.done, 0);
  timed.Wait(1);
  CHECK_EQ(timed.world.done, static_cast<uint8_t>(EpisodeEnd::kTimeUp));
  Run killed(Flat());
  HurtPlayer(killed.world, killed.level, 1e6f, 0.0f, 0.0f);
  killed.Step(Idle());
  CHECK_EQ(killed.world.done, static_cast<uint8_t>(EpisodeEnd::kDied));
  CHECK(killed.world.menus.screen == Screen::kDeath);
}

TEST(arena_director_sustain_holds_the_crowd_and_the_player) {
  LevelSpec spec = DefaultSpec();
  spec.sustain = 1;
  spec.tier = 2;
  spec.start_enemies = spec.max_enemies = 200;
  for (int i = 0; i < 4; ++i) spec.start_weapons[i] = static_cast<uint8_t>(i + 1);
  spec.start_weapon_level = 8;
  Run run(spec, 1);
  double sum = 0.0;
  for (int t = 0; t < 3000; ++t) {
    run.Step(Script(1, t));
    sum += run.world.enemies.count;  // those that died in this tick come back in the next
  }
  CHECK(sum / 3000.0 > 195.0);
  CHECK(run.world.totals.kills > 100u);
  CHECK_EQ(run.world.done, 0);
  CHECK_EQ(run.world.player.level, 1);
}

}  // namespace
}  // namespace metabonk::arena
