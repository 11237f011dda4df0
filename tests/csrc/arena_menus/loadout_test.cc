#include <algorithm>
#include <cmath>

#include "arena_menus/run.h"
#include "check.h"

namespace metabonk::arena {
namespace {

// The rule of content.toml, written again: (base + added) * (1 + multiplied), within bounds.
float Expected(float base, int stat, const StatChange* changes, int count, float scale) {
  float add = 0.0f;
  float multiply = 0.0f;
  for (int i = 0; i < count; ++i) {
    if (changes[i].stat != stat) continue;
    (changes[i].multiply ? multiply : add) += changes[i].amount * scale;
  }
  const float value = (base + add) * (1.0f + multiply);
  return std::min(std::max(value, kStatDefs[stat].low), kStatDefs[stat].high);
}

void CheckStats(const World& world, const StatChange* changes, int count, float scale) {
  for (int stat = 0; stat < kStats; ++stat) {
    CHECK_NEAR(world.player.stat[stat],
               Expected(world.player.base[stat], stat, changes, count, scale), 1e-5);
  }
}

TEST(arena_loadout_characters_have_what_the_content_says) {
  for (int character = 0; character < kCharacterCount; ++character) {
    LevelSpec spec = Quiet();
    spec.character = static_cast<uint8_t>(character);
    Run run(spec);
    const CharacterDef& def = kCharacterDefs[character];
    const Player& player = run.world.player;
    for (int stat = 0; stat < kStats; ++stat) {
      CHECK_NEAR(player.stat[stat],
                 Expected(kStatDefs[stat].base, stat, def.changes, def.change_count, 1.0f), 1e-5);
    }
    CHECK_EQ(player.weapons[0].kind, def.weapon + 1);
    CHECK_EQ(player.weapons[0].level, 1);
    CHECK_EQ(player.weapons[1].kind, 0);
    CHECK_NEAR(player.health, StatOf(player, Stat::kMaxHealth), 1e-6);
    CHECK_EQ(player.character, character);
  }
}

TEST(arena_loadout_characters_differ) {
  for (int a = 0; a < kCharacterCount; ++a) {
    for (int b = 0; b < a; ++b) {
      Run run(Quiet());
      ApplyCharacter(run.world, a);
      float first[kStats];
      std::copy_n(run.world.player.stat, kStats, first);
      ApplyCharacter(run.world, b);
      int different = 0;
      for (int stat = 0; stat < kStats; ++stat) {
        different += first[stat] != run.world.player.stat[stat];
      }
      CHECK(different >= 3);
    }
  }
}

TEST(arena_loadout_tomes_do_what_the_content_says) {
  for (int kind = 0; kind < kTomeCount; ++kind) {
    Run run(Quiet());
    GrantTome(run.world, kind, 1.0f);
    GrantTome(run.world, kind, 2.0f);
    CheckStats(run.world, kTomeDefs[kind].changes, kTomeDefs[kind].change_count, 3.0f);
    CHECK_EQ(run.world.player.tomes[0].kind, kind + 1);
    CHECK_EQ(run.world.player.tomes[0].level, 2);
    CHECK_NEAR(run.world.player.tome_bonus[0], 3.0f, 1e-6);
  }
}

TEST(arena_loadout_tomes_end_at_their_highest_level) {
  Run run(Quiet());
  for (int i = 0; i < 40; ++i) GrantTome(run.world, kTomePower, 1.0f);
  CHECK_EQ(run.world.player.tomes[0].level, kTomeDefs[kTomePower].max_level);
  CHECK_NEAR(run.world.player.tome_bonus[0], kTomeDefs[kTomePower].max_level, 1e-6);
  CHECK_EQ(run.world.player.tomes[1].kind, 0);
}

TEST(arena_loadout_items_do_what_the_content_says) {
  for (int kind = 0; kind < kItemCount; ++kind) {
    Run run(Quiet());
    GrantItem(run.world, kind);
    CheckStats(run.world, kItemDefs[kind].changes, kItemDefs[kind].change_count, 1.0f);
    for (int i = 0; i < 40; ++i) GrantItem(run.world, kind);
    const int most = kItemDefs[kind].max_count;
    CHECK_EQ(run.world.player.items[kind], most);
    CheckStats(run.world, kItemDefs[kind].changes, kItemDefs[kind].change_count,
               static_cast<float>(most));
  }
}

TEST(arena_loadout_more_max_health_fills_and_less_caps) {
  Run run(Quiet());
  run.world.player.health = 50.0f;
  GrantTome(run.world, kTomeVigor, 1.0f);
  CHECK_NEAR(run.world.player.health, 50.0f + kTomeDefs[kTomeVigor].changes[0].amount, 1e-4);
  run.world.player.health = StatOf(run.world.player, Stat::kMaxHealth);
  GrantItem(run.world, kItemGlassCannon);
  CHECK_NEAR(run.world.player.health, StatOf(run.world.player, Stat::kMaxHealth), 1e-4);
}

TEST(arena_loadout_weapons_level_up_to_their_highest) {
  Run run(Quiet());
  for (int i = 0; i < 30; ++i) GrantWeapon(run.world, kWeaponAura);
  CHECK_EQ(run.world.player.weapons[1].kind, kWeaponAura + 1);
  CHECK_EQ(run.world.player.weapons[1].level, kWeaponDefs[kWeaponAura].max_level);
  CHECK_EQ(run.world.player.weapons[2].kind, 0);
}

TEST(arena_loadout_full_slots_take_nothing_new) {
  Run run(Quiet());
  for (int kind = 0; kind < kTomeCount; ++kind) GrantTome(run.world, kind, 1.0f);
  for (int i = 0; i < kLoadoutSlots; ++i) CHECK_EQ(run.world.player.tomes[i].kind, i + 1);
  const float before = StatOf(run.world.player, Stat::kGoldGain);
  GrantTome(run.world, kTomeGreed, 1.0f);
  CHECK_EQ(StatOf(run.world.player, Stat::kGoldGain), before);
}

TEST(arena_loadout_a_level_can_name_the_start_weapons) {
  LevelSpec spec = Quiet();
  spec.start_weapons[0] = kWeaponAura + 1;
  spec.start_weapons[3] = kWeaponBow + 1;
  spec.start_weapon_level = 4;
  Run run(spec);
  const Slot* weapons = run.world.player.weapons;
  CHECK_EQ(weapons[0].kind, kWeaponAura + 1);
  CHECK_EQ(weapons[1].kind, kWeaponBow + 1);
  CHECK_EQ(weapons[0].level, 4);
  CHECK_EQ(weapons[1].level, 4);
  CHECK_EQ(weapons[2].kind, 0);
}

TEST(arena_loadout_gold_is_scaled_and_counted) {
  Run run(Quiet());
  GrantTome(run.world, kTomeGreed, 2.0f);
  const float gain = StatOf(run.world.player, Stat::kGoldGain);
  CHECK(gain > 1.1f);
  GainGold(run.world, 10.0f);
  CHECK_NEAR(run.world.player.gold, 10.0f * gain, 1e-4);
  CHECK_NEAR(run.world.totals.gold_earned, 10.0f * gain, 1e-4);
}

Run WithAbility(int character, const LevelSpec& base) {
  LevelSpec spec = base;
  spec.character = static_cast<uint8_t>(character);
  return Run(spec);
}

Action UseAbility() {
  Action action = Idle();
  action.ability = 1.0f;
  return action;
}

TEST(arena_loadout_abilities_hold_and_end) {
  for (int character = 0; character < kCharacterCount; ++character) {
    Run run = WithAbility(character, Quiet());
    const AbilityDef& def = kAbilityDefs[kCharacterDefs[character].ability];
    run.Wait(2);
    float before[kStats];
    std::copy_n(run.world.player.stat, kStats, before);
    run.Step(UseAbility());
    for (int stat = 0; stat < kStats; ++stat) {
      CHECK_NEAR(run.world.player.stat[stat],
                 Expected(before[stat], stat, def.changes, def.change_count, 1.0f), 1e-4);
    }
    const int ticks = static_cast<int>(def.seconds * kTickHz);
    run.Wait(ticks - 2);
    CHECK(run.world.player.ability_time > 0.0f);
    run.Wait(4);
    for (int stat = 0; stat < kStats; ++stat) CHECK_EQ(run.world.player.stat[stat], before[stat]);
  }
}

TEST(arena_loadout_abilities_wait_for_their_cooldown) {
  for (int character = 0; character < kCharacterCount; ++character) {
    Run run = WithAbility(character, Quiet());
    const AbilityDef& def = kAbilityDefs[kCharacterDefs[character].ability];
    const int cooldown = static_cast<int>(def.cooldown * kTickHz);
    int starts = 0;
    float last = 0.0f;
    for (int i = 0; i < cooldown + 30; ++i) {
      run.Step(UseAbility());
      starts += run.world.player.ability_cooldown > last;
      last = run.world.player.ability_cooldown;
    }
    CHECK_EQ(starts, 2);
  }
}

TEST(arena_loadout_elixir_heals_and_dash_moves) {
  Run healed = WithAbility(kCharacterAlchemist, Quiet());
  healed.world.player.health = 20.0f;
  healed.Step(UseAbility());
  const float most = StatOf(healed.world.player, Stat::kMaxHealth);
  CHECK(healed.world.player.health > 20.0f + 0.25f * most);

  Run dashed = WithAbility(kCharacterRogue, Quiet());
  Run walked = WithAbility(kCharacterRogue, Quiet());
  const float x = dashed.world.player.x;
  const float y = dashed.world.player.y;
  Action dash = UseAbility();
  Action walk = Idle();
  dash.move[1] = walk.move[1] = 1.0f;
  for (int i = 0; i < 12; ++i) {
    dashed.Step(dash);
    walked.Step(walk);
  }
  const auto gone = [&](const World& world) {
    return std::hypot(world.player.x - x, world.player.y - y);
  };
  CHECK(gone(dashed.world) > gone(walked.world) + 0.5);
}

TEST(arena_loadout_rage_hurts_those_who_are_near_only) {
  LevelSpec spec = Quiet();
  spec.max_enemies = 8;
  Run run = WithAbility(kCharacterBerserker, spec);
  run.world.player.weapons[0] = {};
  const Player& player = run.world.player;
  const int near = SpawnEnemy(run.world, run.level, kEnemyBrute, player.x + 2.0f, player.y);
  const int far = SpawnEnemy(run.world, run.level, kEnemyBrute, player.x + 14.0f, player.y);
  CHECK(near >= 0 && far >= 0);
  TickAbility(run.world, run.level, UseAbility());
  CHECK(run.world.enemies.health[near] < run.world.enemies.max_health[near]);
  CHECK_EQ(run.world.enemies.health[far], run.world.enemies.max_health[far]);
}

}  // namespace
}  // namespace metabonk::arena
