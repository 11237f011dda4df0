#include <algorithm>
#include <cmath>
#include <cstring>

#include "arena_menus/run.h"
#include "check.h"
#include "games/arena/arsenal.h"

namespace metabonk::arena {
namespace {

constexpr bool kChest = true;
constexpr bool kLevelUp = false;

bool IsKind(const Roll& roll, OfferKind kind) { return roll.kind == static_cast<uint8_t>(kind); }

// How often each thing of a kind comes up in `times` rolls.
struct Counts {
  int of[kTomeKindsMax] = {};
  int total = 0;
};

Counts CountRolls(Run& run, bool chest, OfferKind kind, int times) {
  Counts counts;
  for (int i = 0; i < times; ++i) {
    RollOffers(run.world, run.level, chest);
    for (int k = 0; k < run.world.menus.roll_count; ++k) {
      const Roll& roll = run.world.menus.rolls[k];
      if (!IsKind(roll, kind)) continue;
      ++counts.of[roll.item];
      ++counts.total;
    }
  }
  return counts;
}

void SetRoll(World& world, OfferKind kind, int item, int level, int rarity) {
  const float scale = kind == OfferKind::kItem ? 1.0f : kRarityDefs[rarity].scale;
  world.menus.rolls[0] = {static_cast<uint8_t>(kind), static_cast<uint8_t>(rarity),
                          static_cast<uint8_t>(item), static_cast<uint8_t>(level), scale};
  world.menus.roll_count = 1;
}

TEST(arena_offers_follow_from_the_seed) {
  int different = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Run a(Quiet(), seed);
    Run b(Quiet(), seed);
    Run c(Quiet(), seed + 100);
    for (Run* run : {&a, &b, &c}) RollOffers(run->world, run->level, kLevelUp);
    CHECK_EQ(std::memcmp(a.world.menus.rolls, b.world.menus.rolls, sizeof a.world.menus.rolls), 0);
    different +=
        std::memcmp(a.world.menus.rolls, c.world.menus.rolls, sizeof a.world.menus.rolls) != 0;
  }
  CHECK(different >= 7);
}

TEST(arena_offers_are_distinct_and_as_many_as_the_level_shows) {
  for (int shown = 1; shown <= kMaxRolls; ++shown) {
    LevelSpec spec = Quiet();
    spec.offers_shown = static_cast<uint8_t>(shown);
    Run run(spec);
    for (int i = 0; i < 300; ++i) {
      RollOffers(run.world, run.level, i % 2 == 1);
      const Menus& menus = run.world.menus;
      CHECK_EQ(menus.roll_count, shown);
      for (int a = 0; a < shown; ++a) {
        for (int b = 0; b < a; ++b) {
          CHECK(menus.rolls[a].kind != menus.rolls[b].kind ||
                menus.rolls[a].item != menus.rolls[b].item);
        }
      }
    }
  }
}

TEST(arena_offers_reach_every_kind) {
  Run run(Quiet());
  const Counts weapons = CountRolls(run, kLevelUp, OfferKind::kWeapon, 2000);
  const Counts tomes = CountRolls(run, kLevelUp, OfferKind::kTome, 2000);
  const Counts items = CountRolls(run, kChest, OfferKind::kItem, 6000);
  for (int i = 0; i < kWeaponCount; ++i) CHECK(weapons.of[i] > 0);
  for (int i = 0; i < kTomeCount; ++i) CHECK(tomes.of[i] > 0);
  for (int i = 0; i < kItemCount; ++i) CHECK(items.of[i] > 0);
}

TEST(arena_offers_respect_slots) {
  LevelSpec spec = Quiet();
  spec.weapon_slots = 1;
  spec.tome_slots = 2;
  Run run(spec);
  GrantTome(run.world, kTomeIron, 1.0f);
  GrantTome(run.world, kTomeLearning, 1.0f);
  const int own = run.world.player.weapons[0].kind - 1;
  const Counts weapons = CountRolls(run, kLevelUp, OfferKind::kWeapon, 300);
  const Counts tomes = CountRolls(run, kLevelUp, OfferKind::kTome, 300);
  CHECK(weapons.total > 0 && weapons.total == weapons.of[own]);
  CHECK(tomes.total > 0 && tomes.total == tomes.of[kTomeIron] + tomes.of[kTomeLearning]);
}

TEST(arena_offers_stop_at_the_highest_level) {
  Run run(Quiet());
  const int own = run.world.player.weapons[0].kind - 1;
  run.world.player.weapons[0].level = kWeaponDefs[own].max_level;
  for (int i = 0; i < 40; ++i) GrantTome(run.world, kTomePower, 1.0f);
  for (int i = 0; i < 40; ++i) GrantItem(run.world, kItemBread);
  CHECK_EQ(CountRolls(run, kLevelUp, OfferKind::kWeapon, 500).of[own], 0);
  CHECK_EQ(CountRolls(run, kLevelUp, OfferKind::kTome, 500).of[kTomePower], 0);
  CHECK_EQ(CountRolls(run, kChest, OfferKind::kItem, 500).of[kItemBread], 0);
}

TEST(arena_offers_follow_the_levels_mix) {
  LevelSpec spec = Quiet();
  spec.offer_mix_tome[kTomeHaste] = 0.0f;
  spec.offer_mix_weapon[kWeaponBow] = 0.0f;
  spec.offer_mix_item[kItemBread] = 0.0f;
  spec.offer_mix_tome[kTomeIron] = 20.0f;
  Run run(spec);
  Run plain(Quiet());
  const Counts tomes = CountRolls(run, kLevelUp, OfferKind::kTome, 1000);
  CHECK_EQ(tomes.of[kTomeHaste], 0);
  CHECK(tomes.of[kTomeIron] >
        3 * CountRolls(plain, kLevelUp, OfferKind::kTome, 1000).of[kTomeIron]);
  CHECK_EQ(CountRolls(run, kLevelUp, OfferKind::kWeapon, 1000).of[kWeaponBow], 0);
  CHECK_EQ(CountRolls(run, kChest, OfferKind::kItem, 1000).of[kItemBread], 0);
}

TEST(arena_offers_favour_what_is_owned) {
  Run plain(Quiet());
  Run owner(Quiet());
  GrantTome(owner.world, kTomeIron, 1.0f);
  const int without = CountRolls(plain, kLevelUp, OfferKind::kTome, 4000).of[kTomeIron];
  const int with = CountRolls(owner, kLevelUp, OfferKind::kTome, 4000).of[kTomeIron];
  CHECK(static_cast<float>(with) > 1.25f * static_cast<float>(without));
}

TEST(arena_offers_draw_rarities_by_weight_and_luck) {
  float mean[2];
  for (int lucky = 0; lucky < 2; ++lucky) {
    Run run(Quiet());
    run.world.player.stat[static_cast<int>(Stat::kLuck)] = lucky ? 2.0f : 0.0f;
    int counts[kRarityCount] = {};
    int total = 0;
    for (int i = 0; i < 5000; ++i) {
      RollOffers(run.world, run.level, kLevelUp);
      for (int k = 0; k < run.world.menus.roll_count; ++k) {
        ++counts[run.world.menus.rolls[k].rarity];
        ++total;
      }
    }
    float weight[kRarityCount];
    float sum = 0.0f;
    for (int i = 0; i < kRarityCount; ++i) {
      weight[i] = kRarityDefs[i].weight * (1.0f + kRarityDefs[i].luck * (lucky ? 2.0f : 0.0f));
      sum += weight[i];
    }
    mean[lucky] = 0.0f;
    for (int i = 0; i < kRarityCount; ++i) {
      const float share = static_cast<float>(counts[i]) / static_cast<float>(total);
      CHECK_NEAR(share, weight[i] / sum, 0.012);
      mean[lucky] += share * static_cast<float>(i);
    }
  }
  CHECK(mean[1] > mean[0] + 0.3f);
}

TEST(arena_offers_ban_for_the_run) {
  Run run(Quiet());
  RollOffers(run.world, run.level, kLevelUp);
  run.world.menus.screen = Screen::kLevelUp;
  const Roll banned = run.world.menus.rolls[1];
  const Roll kept = run.world.menus.rolls[0];
  BanOffer(run.world, run.level, 1);
  const Roll& after = run.world.menus.rolls[1];
  CHECK(after.kind != banned.kind || after.item != banned.item);
  CHECK_EQ(std::memcmp(&run.world.menus.rolls[0], &kept, sizeof kept), 0);
  const Counts counts = CountRolls(run, kLevelUp, static_cast<OfferKind>(banned.kind), 1000);
  CHECK_EQ(counts.of[banned.item], 0);
}

TEST(arena_offers_are_rewards_where_nothing_is_left) {
  LevelSpec spec = Quiet();
  std::fill_n(spec.offer_mix_weapon, kWeaponKindsMax, 0.0f);
  std::fill_n(spec.offer_mix_tome, kTomeKindsMax, 0.0f);
  Run run(spec);
  RollOffers(run.world, run.level, kLevelUp);
  run.world.player.health = 10.0f;
  for (int i = 0; i < run.world.menus.roll_count; ++i) {
    CHECK(IsKind(run.world.menus.rolls[i], OfferKind::kReward));
    TakeOffer(run.world, run.level, i);
  }
  const float heal = kRewardDefs[kRewardFeast].heal * StatOf(run.world.player, Stat::kMaxHealth);
  CHECK(run.world.player.health >= 10.0f + heal - 1e-3f);
  CHECK(run.world.player.gold >= kRewardDefs[kRewardPurse].gold);
}

// Applies what DescribeOffer says to the stats before and compares with the stats after.
void CheckDescription(Run& run, OfferKind kind, int item, int rarity) {
  World& world = run.world;
  SetRoll(world, kind, item, 1, rarity);
  Offer offer;
  DescribeOffer(world, world.menus.rolls[0], &offer);
  CHECK_EQ(offer.kind, static_cast<uint8_t>(kind));
  CHECK_EQ(offer.item, item);
  CHECK(offer.text[0] != '\0' && offer.text[kTextBytes - 1] == '\0');
  CHECK(offer.change_count > 0);
  float before[kStats];
  std::copy_n(world.player.base, kStats, before);
  TakeOffer(world, run.level, 0);
  int changed = 0;
  for (int stat = 0; stat < kStats; ++stat) {
    float add = 0.0f;
    float multiply = 0.0f;
    for (int i = 0; i < offer.change_count; ++i) {
      if (offer.changes[i].stat != stat) continue;
      (offer.changes[i].multiply ? multiply : add) += offer.changes[i].amount;
    }
    const float want = (before[stat] + add) * (1.0f + multiply);
    CHECK_NEAR(world.player.stat[stat], std::clamp(want, kStatDefs[stat].low, kStatDefs[stat].high),
               1e-4);
    changed += world.player.stat[stat] != before[stat];
  }
  CHECK(changed > 0);
}

TEST(arena_offers_say_what_tomes_and_items_do) {
  for (int rarity = 0; rarity < kRarityCount; ++rarity) {
    for (int tome = 0; tome < kTomeCount; ++tome) {
      Run run(Quiet());
      CheckDescription(run, OfferKind::kTome, tome, rarity);
    }
  }
  for (int item = 0; item < kItemCount; ++item) {
    Run run(Quiet());
    CheckDescription(run, OfferKind::kItem, item, kItemDefs[item].rarity);
  }
}

TEST(arena_offers_say_what_weapon_levels_do) {
  for (int kind = 0; kind < kWeaponCount; ++kind) {
    for (int from = 0; from < kWeaponDefs[kind].max_level; ++from) {
      Run run(Quiet());
      World& world = run.world;
      std::fill_n(world.player.weapons, kLoadoutSlots, Slot{});
      for (int i = 0; i < from; ++i) GrantWeapon(world, kind);
      SetRoll(world, OfferKind::kWeapon, kind, from + 1, 0);
      Offer offer;
      DescribeOffer(world, world.menus.rolls[0], &offer);
      CHECK(offer.change_count > 0);
      for (int i = 0; i < offer.change_count; ++i) CHECK(std::isfinite(offer.changes[i].amount));
      const float damage = NumbersOf(kWeaponDefs[kind], from + 1).damage;
      CHECK_EQ(offer.changes[0].stat, static_cast<uint8_t>(Stat::kDamage));
      const float want =
          from == 0 ? damage : damage / NumbersOf(kWeaponDefs[kind], from).damage - 1.0f;
      CHECK_NEAR(offer.changes[0].amount, want, 1e-5);
      TakeOffer(world, run.level, 0);
      CHECK_EQ(world.player.weapons[0].level, from + 1);
    }
  }
}

TEST(arena_offers_give_rare_weapons_more_levels) {
  Run run(Quiet());
  const int own = run.world.player.weapons[0].kind - 1;
  SetRoll(run.world, OfferKind::kWeapon, own, 3, 4);
  TakeOffer(run.world, run.level, 0);
  CHECK_EQ(run.world.player.weapons[0].level, 3);
  int jumps = 0;
  for (int i = 0; i < 3000; ++i) {
    RollOffers(run.world, run.level, kLevelUp);
    for (int k = 0; k < run.world.menus.roll_count; ++k) {
      const Roll& roll = run.world.menus.rolls[k];
      if (!IsKind(roll, OfferKind::kWeapon) || roll.item != own) continue;
      CHECK_EQ(roll.level, 3 + kRarityDefs[roll.rarity].weapon_levels);
      jumps += roll.level > 4;
    }
  }
  CHECK(jumps > 0);
}

}  // namespace
}  // namespace metabonk::arena
