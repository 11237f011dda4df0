// Every kind of enemy does what its behaviour says, and every kind matters.
#include <set>

#include "arena/scene.h"
#include "check.h"

namespace metabonk::arena {
namespace {

Run Scene() {
  LevelSpec spec = Flat();
  Run run(spec);
  Disarm(run);
  run.world.player.health = run.world.player.base[0] = StatOf(run.world.player, Stat::kMaxHealth) =
      1e4f;
  StatOf(run.world.player, Stat::kArmor) = 0.0f;
  StatOf(run.world.player, Stat::kThorns) = 0.0f;
  return run;
}

TEST(arena_enemies_chasers_come_at_their_own_speeds) {
  float covered[3];
  const int kinds[3] = {kEnemyRat, kEnemyGoblin, kEnemyBrute};
  for (int k = 0; k < 3; ++k) {
    Run run = Scene();
    const int i = Put(run, kinds[k], 20.0f, 0.0f);
    run.Wait(120);
    covered[k] = 20.0f - AwayFromPlayer(run.world, i);
    CHECK_NEAR(covered[k], kEnemyDefs[kinds[k]].speed * 2.0f, 0.8);
  }
  CHECK(covered[0] > covered[1] && covered[1] > covered[2]);
}

TEST(arena_enemies_touch_hurts_by_their_damage) {
  Run run = Scene();
  Put(run, kEnemyBrute, 0.5f, 0.0f);
  const float before = run.world.player.health;
  run.Step(Idle());
  CHECK_NEAR(before - run.world.player.health, kEnemyDefs[kEnemyBrute].damage, 1e-2);
}

TEST(arena_enemies_a_jump_clears_small_ones) {
  Run run = Scene();
  Put(run, kEnemyRat, 0.3f, 0.0f);
  run.world.player.z = 2.0f;
  run.world.player.grounded = 0;
  run.Step(Idle());
  CHECK_EQ(run.world.totals.hits_taken, 0u);
}

TEST(arena_enemies_bats_weave) {
  Run run = Scene();
  const int i = Put(run, kEnemyBat, 20.0f, 0.0f);
  float left = 0.0f;
  float right = 0.0f;
  for (int t = 0; t < 180; ++t) {
    run.Step(Idle());
    left = std::min(left, run.world.enemies.vy[i]);
    right = std::max(right, run.world.enemies.vy[i]);
    CHECK(run.world.enemies.z[i] >= kEnemyDefs[kEnemyBat].hover - 0.01f);
  }
  CHECK(left < -1.0f && right > 1.0f);
}

TEST(arena_enemies_bats_fly_over_what_stops_others) {
  for (const bool flies : {true, false}) {
    Run run = Scene();
    Terrain& terrain = *run.terrain;
    for (int y = 0; y < kGridCells; ++y) {
      for (int x = 58; x < 62; ++x) terrain.walkable[y * kGridCells + x] = 0;
    }
    const int i = Put(run, flies ? kEnemyBat : kEnemyRat, 20.0f, 0.0f);
    run.Wait(600);
    CHECK_EQ(run.world.enemies.x[i] < 58.0f, flies);
  }
}

TEST(arena_enemies_spiders_leap_in_packs) {
  const auto leaps = [](int count) {
    Run run = Scene();
    for (int i = 0; i < count; ++i) {
      Put(run, kEnemySpider, 6.0f, static_cast<float>(i) - 1.5f);
    }
    int airborne = 0;
    for (int t = 0; t < 240; ++t) {
      run.Step(Idle());
      for (int i = 0; i < count; ++i) airborne += run.world.enemies.z[i] > 0.3f;
    }
    return airborne / count;
  };
  CHECK(leaps(4) > 15);
  CHECK(leaps(4) > 2 * leaps(1));
}

TEST(arena_enemies_archers_keep_their_distance_and_shoot) {
  Run run = Scene();
  const int i = Put(run, kEnemyArcher, 3.0f, 0.0f);
  int most = 0;
  for (int t = 0; t < 600; ++t) {
    run.Step(Idle());
    most = std::max(most, run.world.bolts.count);
  }
  CHECK(most >= 1);
  CHECK(AwayFromPlayer(run.world, i) > 6.0f);
  CHECK(run.world.totals.damage_taken >= kEnemyDefs[kEnemyArcher].power);
}

TEST(arena_enemies_archers_lead_their_target) {
  Run run = Scene();
  run.world.player.yaw = 1.5707963f;
  Put(run, kEnemyArcher, 9.0f, 0.0f);
  Action north = Idle();
  north.move[1] = 1.0f;
  float vy = 0.0f;
  for (int t = 0; t < 300 && run.world.bolts.count == 0; ++t) {
    run.Step(t < 20 ? Idle() : north);
    if (run.world.bolts.count > 0) vy = run.world.bolts.vy[0];
  }
  CHECK(vy > 2.0f);
}

TEST(arena_enemies_mages_cast_orbs_that_follow) {
  Run run = Scene();
  Put(run, kEnemyMage, 8.0f, 0.0f);
  for (int t = 0; t < 300 && run.world.bolts.count == 0; ++t) run.Step(Idle());
  CHECK_EQ(run.world.bolts.count, 1);
  CHECK_EQ(run.world.bolts.homing[0], 1);
  run.world.player.y += 6.0f;  // steps aside
  run.Wait(40);
  CHECK(run.world.bolts.count == 0 || run.world.bolts.vy[0] > 1.0f);
}

TEST(arena_enemies_bombers_burst_and_a_jump_clears_it) {
  for (const bool jumps : {false, true}) {
    Run run = Scene();
    Put(run, kEnemyBomber, 2.5f, 0.0f);
    Put(run, kEnemyGoblin, 5.0f, 0.0f);
    run.world.player.invulnerable = 0.0f;
    float burst = 0.0f;
    for (int t = 0; t < 240 && run.world.totals.kills == 0; ++t) {
      if (jumps) run.world.player.z = 1.2f;
      run.world.player.vz = 0.0f;
      const float before = run.world.totals.damage_taken;
      run.world.player.invulnerable = 0.0f;
      run.Step(Idle());
      burst = std::max(burst, run.world.totals.damage_taken - before);
    }
    CHECK_EQ(run.world.totals.kills, 1u);  // itself
    CHECK_EQ(burst >= kEnemyDefs[kEnemyBomber].power, !jumps);
    CHECK(run.world.totals.damage_dealt > 0.0f);  // the goblin beside it
  }
}

TEST(arena_enemies_chargers_stop_dash_straight_and_tire) {
  Run run = Scene();
  const int i = Put(run, kEnemyCharger, 8.0f, 0.0f);
  float fastest = 0.0f;
  bool braced = false;
  bool tired = false;
  for (int t = 0; t < 240; ++t) {
    run.Step(Idle());
    const Enemies& e = run.world.enemies;
    fastest = std::max(fastest, std::hypot(e.vx[i], e.vy[i]));
    braced |= e.phase[i] == kBrace && std::hypot(e.vx[i], e.vy[i]) < 0.5f;
    tired |= e.phase[i] == kTired;
  }
  CHECK(braced);
  CHECK(tired);
  CHECK(fastest > 2.5f * kEnemyDefs[kEnemyCharger].speed);
}

TEST(arena_enemies_wraiths_fade_and_come_from_behind) {
  Run run = Scene();
  const int i = Put(run, kEnemyWraith, 12.0f, 0.0f);
  bool immune = false;
  bool behind = false;
  for (int t = 0; t < 240; ++t) {
    run.Step(Idle());
    if (run.world.enemies.phase[i] == kFade) {
      const float health = run.world.enemies.health[i];
      HurtEnemy(run.world, run.level, i, 5.0f, 0.0f, 0.0f);
      immune |= run.world.enemies.health[i] == health;
    }
    behind |= run.world.enemies.x[i] < run.world.player.x - 1.0f;
  }
  CHECK(immune);
  CHECK(behind);
}

TEST(arena_enemies_shamans_mend_the_others) {
  Run run = Scene();
  const int brute = Put(run, kEnemyBrute, 14.0f, 0.0f);
  Put(run, kEnemyShaman, 15.0f, 1.0f);
  run.world.enemies.health[brute] = 20.0f;
  run.Wait(120);
  CHECK(run.world.enemies.health[brute] >= 20.0f + kEnemyDefs[kEnemyShaman].power);
}

TEST(arena_enemies_slimes_split_once) {
  Run run = Scene();
  const int i = Put(run, kEnemySlime, 10.0f, 0.0f);
  run.world.enemies.health[i] = 0.0f;
  run.Step(Idle());
  CHECK_EQ(run.world.enemies.count, 2);
  CHECK(run.world.enemies.max_health[0] < kEnemyDefs[kEnemySlime].health);
  run.Wait(30);
  run.world.enemies.health[0] = run.world.enemies.health[1] = 0.0f;
  run.Step(Idle());
  CHECK_EQ(run.world.enemies.count, 0);
}

TEST(arena_enemies_golem_slams_and_charges) {
  Run near = Scene();
  Put(near, kEnemyGolem, 4.0f, 0.0f);
  bool slammed = false;
  for (int t = 0; t < 300; ++t) {
    near.Step(Idle());
    slammed |= near.world.enemies.phase[0] == kSlam;
  }
  CHECK(slammed);
  CHECK(near.world.totals.damage_taken >= kEnemyDefs[kEnemyGolem].power);
  Run far = Scene();
  Put(far, kEnemyGolem, 16.0f, 0.0f);
  float fastest = 0.0f;
  for (int t = 0; t < 300; ++t) {
    far.Step(Idle());
    fastest = std::max(fastest, std::fabs(far.world.enemies.vx[0]));
  }
  CHECK(fastest > 3.0f * kEnemyDefs[kEnemyGolem].speed);
}

TEST(arena_enemies_queen_rings_fans_and_calls_spiders) {
  Run run = Scene();
  Put(run, kEnemyQueen, 9.0f, 0.0f);
  std::set<int> phases;
  int spiders = 0;
  for (int t = 0; t < 3000; ++t) {
    run.Step(Idle());
    phases.insert(run.world.enemies.phase[0]);
    for (int i = 0; i < run.world.enemies.count; ++i) {
      spiders += run.world.enemies.kind[i] == kEnemySpider;
    }
  }
  CHECK_EQ(phases.size(), size_t{4});
  CHECK(spiders > 0);
  CHECK(run.world.totals.hits_taken > 3u);
}

TEST(arena_enemies_lich_blinks_and_casts) {
  Run run = Scene();
  Put(run, kEnemyLich, 12.0f, 0.0f);
  float farthest = 0.0f;
  bool homing = false;
  for (int t = 0; t < 3000; ++t) {
    const float x = run.world.enemies.x[0];
    const float y = run.world.enemies.y[0];
    run.Step(Idle());
    farthest =
        std::max(farthest, std::hypot(run.world.enemies.x[0] - x, run.world.enemies.y[0] - y));
    for (int i = 0; i < run.world.bolts.count; ++i) homing |= run.world.bolts.homing[i] == 1;
  }
  CHECK(farthest > 3.0f);
  CHECK(homing);
}

TEST(arena_enemies_push_each_other_apart) {
  Run run = Scene();
  run.world.player.x = 20.0f;
  for (int i = 0; i < 12; ++i) Put(run, kEnemyGoblin, 10.0f + 0.05f * static_cast<float>(i), 0.02f);
  run.Wait(180);
  double sum = 0.0;
  for (int t = 0; t < 60; ++t) {
    run.Step(Idle());
    const Enemies& e = run.world.enemies;
    for (int i = 0; i < e.count; ++i) {
      float nearest = 100.0f;
      for (int j = 0; j < e.count; ++j) {
        if (j != i) nearest = std::min(nearest, std::hypot(e.x[i] - e.x[j], e.y[i] - e.y[j]));
      }
      sum += static_cast<double>(nearest);
    }
  }
  // They press on the player from all sides and yet keep most of their widths apart.
  CHECK(sum / (60 * 12) > 1.4 * static_cast<double>(kEnemyDefs[kEnemyGoblin].radius));
}

TEST(arena_enemies_knock_back_follows_their_weight) {
  Run run = Scene();
  const int goblin = Put(run, kEnemyGoblin, 10.0f, 0.0f);
  const int brute = Put(run, kEnemyBrute, -10.0f, 0.0f);
  HurtEnemy(run.world, run.level, goblin, 1.0f, 10.0f, 0.0f);
  HurtEnemy(run.world, run.level, brute, 1.0f, 10.0f, 0.0f);
  CHECK_NEAR(run.world.enemies.vx[goblin], 10.0f * kEnemyDefs[kEnemyGoblin].knock, 1e-3);
  CHECK_NEAR(run.world.enemies.vx[brute], 10.0f * kEnemyDefs[kEnemyBrute].knock, 1e-3);
}

TEST(arena_enemies_slowed_ones_are_half_as_fast) {
  float covered[2];
  for (int k = 0; k < 2; ++k) {
    Run run = Scene();
    const int i = Put(run, kEnemyGoblin, 20.0f, 0.0f);
    if (k == 1) run.world.enemies.slow[i] = 10.0f;
    run.Wait(120);
    covered[k] = 20.0f - AwayFromPlayer(run.world, i);
  }
  CHECK_NEAR(covered[1], covered[0] * 0.5f, 0.3);
}

TEST(arena_enemies_far_ones_are_brought_near) {
  Run run = Scene();
  run.world.player.x = run.world.player.y = 6.0f;
  const int i = Put(run, kEnemyGoblin, 80.0f, 80.0f);
  run.Wait(17);
  CHECK(AwayFromPlayer(run.world, i) < kWave.far + 1.0f);
}

TEST(arena_enemies_elites_are_more_of_everything) {
  Run run = Scene();
  run.world.director.wave = 500;  // every enemy is elite by then
  const int i =
      SpawnEnemy(run.world, run.level, kEnemyGoblin, run.world.player.x + 9.0f, run.world.player.y);
  CHECK(run.world.enemies.flags[i] & kEntityElite);
  run.world.enemies.flags[i] = 0;
  const float plain = DamageOf(run.world, run.level, i, 10.0f);
  run.world.enemies.flags[i] = kEntityElite;
  CHECK_NEAR(DamageOf(run.world, run.level, i, 10.0f), plain * kWave.elite_damage, 1e-2);
}

// What the player and the crowd went through, without random streams.
uint64_t Trajectory(const LevelSpec& spec) {
  Run run(spec, 11);
  uint64_t hash = 0;
  const auto mix = [&hash](float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    hash = Mix64(hash ^ bits);
  };
  for (int t = 0; t < 150 * kTickHz; ++t) {
    run.Step(Script(3, t));
    if (t % 20 != 0) continue;
    mix(run.world.player.x);
    mix(run.world.player.y);
    mix(run.world.player.health);
    for (int i = 0; i < run.world.enemies.count; ++i) mix(run.world.enemies.x[i]);
  }
  return hash;
}

LevelSpec Crowded() {
  LevelSpec spec = DefaultSpec();
  spec.tier = 3;
  spec.menus = 0;
  spec.spawn_rate = 3.0f;
  spec.enemy_damage = 0.02f;
  spec.boss_at = 60.0f;
  return spec;
}

TEST(arena_enemies_removing_any_kind_changes_the_trajectory) {
  const uint64_t all = Trajectory(Crowded());
  CHECK_EQ(Trajectory(Crowded()), all);
  for (int kind = 0; kind < kEnemyCount; ++kind) {
    LevelSpec spec = Crowded();
    for (int tier = 0; tier < kTierCount; ++tier) {
      if (kTierDefs[tier].enemy == kind) spec.tier = static_cast<uint8_t>(tier + 1);
    }
    const uint64_t with = spec.tier == 3 ? all : Trajectory(spec);
    spec.enemy_mix[kind] = 0.0f;
    if (Trajectory(spec) == with) {
      check::Fail(__FILE__, __LINE__, std::string("inert: ") + kEnemyDefs[kind].id);
    }
  }
}

// Not only the draws differ: a crowd of one kind alone lives a life of its own.
TEST(arena_enemies_every_kind_alone_is_unlike_the_others) {
  std::set<uint64_t> seen;
  for (int kind = 0; kind < kEnemyCount; ++kind) {
    Run run = Scene();
    for (int i = 0; i < 6; ++i) Put(run, kind, 9.0f, 2.0f * static_cast<float>(i) - 5.0f);
    uint64_t hash = 0;
    for (int t = 0; t < 300; ++t) {
      run.Step(Idle());
      const float values[2] = {run.world.enemies.x[0], run.world.player.health};
      uint64_t bits;
      std::memcpy(&bits, values, sizeof(bits));
      hash = Mix64(hash ^ bits);
    }
    seen.insert(hash);
  }
  CHECK_EQ(seen.size(), static_cast<size_t>(kEnemyCount));
}

}  // namespace
}  // namespace metabonk::arena
