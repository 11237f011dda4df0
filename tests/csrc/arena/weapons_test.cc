// Every weapon attacks in its own way, grows with its level and matters.
#include <set>

#include "arena/scene.h"
#include "check.h"
#include "games/arena/arsenal.h"
#include "games/arena/shots.h"

namespace metabonk::arena {
namespace {

// A flat arena with one weapon, whose hits are never critical.
Run Armed(int weapon, int level = 1) {
  Run run(Flat());
  Disarm(run);
  Player& player = run.world.player;
  player.weapons[0] = {static_cast<uint8_t>(weapon + 1), static_cast<uint8_t>(level)};
  player.weapon_cooldown[0] = 0.0f;
  StatOf(player, Stat::kCritChance) = 0.0f;
  StatOf(player, Stat::kDamage) = 1.0f;
  StatOf(player, Stat::kThorns) = 0.0f;
  StatOf(player, Stat::kMaxHealth) = player.health = 1e4f;
  return run;
}

// A target that does not come nearer.
int Target(Run& run, float dx, float dy) {
  const int i = Put(run, kEnemyBrute, dx, dy);
  run.world.enemies.health[i] = run.world.enemies.max_health[i] = 1e5f;
  return i;
}

float Dealt(const Run& run, int enemy) {
  return run.world.enemies.max_health[enemy] - run.world.enemies.health[enemy];
}

TEST(arena_weapons_each_deals_its_damage_to_who_is_near) {
  for (int weapon = 0; weapon < kWeaponCount; ++weapon) {
    Run run = Armed(weapon);
    const int i = Target(run, 2.0f, 0.0f);
    run.Wait(10 * kTickHz);
    const float hit = NumbersOf(kWeaponDefs[weapon], 1).damage;
    const float hits = Dealt(run, i) / hit;
    if (hits < 2.0f) check::Fail(__FILE__, __LINE__, kWeaponDefs[weapon].id);
    CHECK_NEAR(hits, std::round(hits), 1e-2);  // whole hits: nothing else takes health
    CHECK_NEAR(run.world.totals.damage_dealt, Dealt(run, i), 1.0);
  }
}

TEST(arena_weapons_grow_with_their_level) {
  for (int weapon = 0; weapon < kWeaponCount; ++weapon) {
    float dealt[2];
    for (int k = 0; k < 2; ++k) {
      Run run = Armed(weapon, k == 0 ? 1 : kWeaponDefs[weapon].max_level);
      const int i = Target(run, 2.0f, 0.0f);
      run.Wait(10 * kTickHz);
      dealt[k] = Dealt(run, i);
    }
    if (dealt[1] < 1.5f * dealt[0]) check::Fail(__FILE__, __LINE__, kWeaponDefs[weapon].id);
  }
}

TEST(arena_weapons_have_their_own_trajectories) {
  std::set<uint64_t> seen;
  for (int weapon = -1; weapon < kWeaponCount; ++weapon) {
    Run run = Armed(weapon < 0 ? 0 : weapon, 3);
    if (weapon < 0) Disarm(run);
    for (int i = 0; i < 8; ++i) Put(run, kEnemyGoblin, 7.0f, 1.5f * static_cast<float>(i) - 5.0f);
    uint64_t hash = 0;
    for (int t = 0; t < 300; ++t) {
      run.Step(Idle());
      const float values[2] = {run.world.player.health, static_cast<float>(run.world.totals.kills)};
      uint64_t bits;
      std::memcpy(&bits, values, sizeof(bits));
      hash = Mix64(hash ^ bits);
    }
    seen.insert(hash);
  }
  CHECK_EQ(seen.size(), static_cast<size_t>(kWeaponCount + 1));
}

TEST(arena_weapons_sword_strikes_in_front_only) {
  Run run = Armed(kWeaponSword);
  const int front = Target(run, 1.8f, 0.0f);
  const int behind = Target(run, -2.2f, 0.0f);
  run.Wait(5);
  CHECK(Dealt(run, front) > 0.0f);
  CHECK_EQ(Dealt(run, behind), 0.0f);
}

TEST(arena_weapons_arrows_pierce_as_many_as_they_say) {
  for (const int level : {1, 4}) {
    Run run = Armed(kWeaponBow, level);
    run.world.player.weapon_cooldown[0] = 0.0f;
    int targets[4];
    for (int i = 0; i < 4; ++i) targets[i] = Target(run, 4.0f + 2.5f * static_cast<float>(i), 0.0f);
    run.Step(Idle());
    run.world.player.weapon_cooldown[0] = 100.0f;
    // Only the first arrow counts.
    run.world.shots.count = 1;
    run.Wait(60);
    int struck = 0;
    for (const int target : targets) struck += Dealt(run, target) > 0.0f;
    CHECK_EQ(struck, NumbersOf(kWeaponDefs[kWeaponBow], level).pierce);
  }
}

TEST(arena_weapons_fireballs_and_mines_burst_around) {
  for (const int weapon : {kWeaponFireStaff, kWeaponMines}) {
    Run run = Armed(weapon);
    const int near = Target(run, 2.4f, 0.0f);
    const int beside = Target(run, 2.4f, 1.9f);
    const float hit = NumbersOf(kWeaponDefs[weapon], 1).damage;
    for (int t = 0; t < 1200 && Dealt(run, near) == 0.0f; ++t) run.Step(Idle());
    CHECK_NEAR(Dealt(run, near), hit, 1e-1);
    CHECK_NEAR(Dealt(run, beside), hit, 1e-1);
  }
}

TEST(arena_weapons_mines_wait) {
  Run run = Armed(kWeaponMines);
  run.Wait(2);
  CHECK_EQ(run.world.shots.count, 1);
  run.world.player.weapon_cooldown[0] = 100.0f;
  run.Wait(120);
  CHECK_EQ(run.world.shots.count, 1);
  const int i = Put(run, kEnemyGoblin, run.world.shots.x[0] - run.world.player.x,
                    run.world.shots.y[0] - run.world.player.y);
  run.Step(Idle());
  run.Step(Idle());
  CHECK(run.world.enemies.count == 0 || Dealt(run, i) > 0.0f);
}

TEST(arena_weapons_lightning_jumps_on) {
  Run run = Armed(kWeaponLightning);
  int targets[5];
  for (int i = 0; i < 5; ++i) targets[i] = Target(run, 5.0f, 3.0f * static_cast<float>(i));
  run.Step(Idle());
  int struck = 0;
  for (const int target : targets) struck += Dealt(run, target) > 0.0f;
  CHECK_EQ(struck, NumbersOf(kWeaponDefs[kWeaponLightning], 1).count);
}

TEST(arena_weapons_frost_slows) {
  Run run = Armed(kWeaponFrost);
  const int i = Target(run, 3.0f, 0.0f);
  run.Step(Idle());
  CHECK(run.world.enemies.slow[i] > 1.0f);
}

TEST(arena_weapons_boomerang_comes_back) {
  Run run = Armed(kWeaponBoomerang);
  Target(run, 11.0f, 0.0f);
  run.Step(Idle());
  CHECK_EQ(run.world.shots.count, 1);
  run.world.player.weapon_cooldown[0] = 100.0f;
  float farthest = 0.0f;
  int ticks = 0;
  float last = 0.0f;
  while (run.world.shots.count > 0 && ticks < 200) {
    last = run.world.shots.x[0] - run.world.player.x;
    farthest = std::max(farthest, last);
    run.Step(Idle());
    ++ticks;
  }
  CHECK(farthest > 2.5f);
  CHECK(std::fabs(last) < 2.0f);
  CHECK(ticks > 30);
}

TEST(arena_weapons_blades_stay_at_their_distance) {
  Run run = Armed(kWeaponBlades);
  run.Wait(10);
  CHECK_EQ(run.world.shots.count, NumbersOf(kWeaponDefs[kWeaponBlades], 1).count);
  for (int i = 0; i < run.world.shots.count; ++i) {
    const float away = std::hypot(run.world.shots.x[i] - run.world.player.x,
                                  run.world.shots.y[i] - run.world.player.y);
    CHECK_NEAR(away, NumbersOf(kWeaponDefs[kWeaponBlades], 1).reach, 0.4);
  }
}

TEST(arena_weapons_wait_for_someone_to_fire_at) {
  Run run = Armed(kWeaponBow);
  run.Wait(120);
  CHECK_EQ(run.world.shots.count, 0);
  Target(run, 5.0f, 0.0f);
  run.Step(Idle());
  CHECK_EQ(run.world.shots.count, 1);
}

TEST(arena_weapons_fire_button_aims_where_the_camera_looks) {
  Run run = Armed(kWeaponBow);
  run.world.player.yaw = 1.5707963f;  // north
  Target(run, 5.0f, 0.0f);            // east
  Action fire = Idle();
  fire.fire = 1.0f;
  run.Step(fire);
  CHECK_EQ(run.world.shots.count, 1);
  CHECK(run.world.shots.vy[0] > 5.0f && std::fabs(run.world.shots.vx[0]) < 0.01f);
}

TEST(arena_weapons_stats_do_what_they_say) {
  const auto dealt = [](Stat stat, float value, int weapon, float distance) {
    Run run = Armed(weapon, 3);
    StatOf(run.world.player, Stat::kKnockback) = 0.0f;
    StatOf(run.world.player, stat) = value;
    const int i = Target(run, distance, 0.0f);
    run.Wait(6 * kTickHz);
    return Dealt(run, i);
  };
  const float base = dealt(Stat::kDamage, 1.0f, kWeaponAura, 2.0f);
  CHECK_NEAR(dealt(Stat::kDamage, 2.0f, kWeaponAura, 2.0f), 2.0f * base, 0.1);
  CHECK(dealt(Stat::kAttackSpeed, 2.0f, kWeaponAura, 2.0f) > 1.8f * base);
  CHECK(dealt(Stat::kCritChance, 1.0f, kWeaponAura, 2.0f) > 1.5f * base);
  CHECK(dealt(Stat::kProjectiles, 4.0f, kWeaponShotgun, 2.0f) >
        dealt(Stat::kProjectiles, 0.0f, kWeaponShotgun, 2.0f));

  Run wide = Armed(kWeaponAura);
  const int outside = Target(wide, 4.6f, 0.0f);
  wide.Step(Idle());
  CHECK_EQ(Dealt(wide, outside), 0.0f);
  StatOf(wide.world.player, Stat::kArea) = 2.0f;
  wide.world.player.weapon_cooldown[0] = 0.0f;
  wide.Step(Idle());
  CHECK(Dealt(wide, outside) > 0.0f);

  for (const auto& [stat, weapon] :
       {std::pair{Stat::kProjectileSpeed, kWeaponBow}, std::pair{Stat::kDuration, kWeaponBow}}) {
    float reached[2];
    for (int k = 0; k < 2; ++k) {
      Run run = Armed(weapon);
      StatOf(run.world.player, stat) = k == 0 ? 1.0f : 1.5f;
      run.world.player.yaw = 0.0f;
      Action fire = Idle();
      fire.fire = 1.0f;
      run.Step(fire);
      run.world.player.weapon_cooldown[0] = 100.0f;
      reached[k] = 0.0f;
      while (run.world.shots.count > 0) {
        reached[k] = run.world.shots.x[0] - run.world.player.x;
        run.Step(Idle());
      }
    }
    CHECK(reached[1] > 1.3f * reached[0]);
  }
}

TEST(arena_weapons_knock_back_lifesteal_and_thorns) {
  Run pushed = Armed(kWeaponSword);
  StatOf(pushed.world.player, Stat::kKnockback) = 3.0f;
  const int i = Target(pushed, 2.0f, 0.0f);
  pushed.Step(Idle());
  CHECK(pushed.world.enemies.vx[i] > 2.0f);

  Run drained = Armed(kWeaponSword);
  StatOf(drained.world.player, Stat::kLifesteal) = 0.5f;
  drained.world.player.health = 100.0f;
  Target(drained, 2.3f, 0.0f);
  drained.Step(Idle());
  CHECK_NEAR(drained.world.totals.healed, 0.5 * drained.world.totals.damage_dealt, 1e-3);
  CHECK(drained.world.totals.healed > 0.0f);

  Run thorny = Armed(kWeaponBow);
  Disarm(thorny);
  StatOf(thorny.world.player, Stat::kThorns) = 7.0f;
  const int touching = Target(thorny, 0.5f, 0.0f);
  thorny.Step(Idle());
  CHECK_NEAR(Dealt(thorny, touching), 7.0, 1e-2);
}

TEST(arena_weapons_shots_stop_at_obstacles) {
  Run run = Armed(kWeaponBow);
  const int x = static_cast<int>(run.world.player.x) + 3;
  const int y = static_cast<int>(run.world.player.y);
  for (int row = y - 4; row <= y + 4; ++row) run.terrain->obstacle[row * kGridCells + x] = 12;
  const int i = Target(run, 8.0f, 0.0f);
  for (int t = 0; t < 60; ++t) {
    run.world.enemies.x[i] = run.world.player.x + 8.0f;
    run.Step(Idle());
  }
  CHECK_EQ(Dealt(run, i), 0.0f);
}

}  // namespace
}  // namespace metabonk::arena
