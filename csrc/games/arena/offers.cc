// Offers: what a level-up, a chest or a charged shrine lets the player choose from. Knows weights,
// rarities, slots and bans, and how an offer reads; what a grant does is loadout.cc's.
//
// Drawn by weight without replacement. Weight = content's weight * the level's mix, more for what
// is owned already; an item's also by its rarity. Nothing is offered that is at its highest level,
// banned, without a free slot or removed by the level; what is then missing are rewards.
#include <algorithm>
#include <cstring>

#include "games/arena/arsenal.h"
#include "games/arena/content.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"

namespace metabonk::arena {
namespace {

constexpr int kMaxCandidates = kWeaponKindsMax + kTomeKindsMax + kItemKindsMax;

struct Candidate {
  OfferKind kind;
  uint8_t item;
  uint8_t owned;  // its level, or how many of it
  float weight;
};

struct Candidates {
  int count = 0;
  Candidate list[kMaxCandidates];
};

float RarityWeight(const World& world, int rarity) {
  const RarityDef& def = kRarityDefs[rarity];
  return def.weight * (1.0f + def.luck * StatOf(world.player, Stat::kLuck));
}

bool IsBanned(const Menus& menus, OfferKind kind, int item) {
  const int key = static_cast<int>(kind) << 8 | item;
  return std::find(menus.banned, menus.banned + menus.banned_count, key) !=
         menus.banned + menus.banned_count;
}

bool IsShown(const Menus& menus, OfferKind kind, int item) {
  for (int i = 0; i < menus.roll_count; ++i) {
    const Roll& roll = menus.rolls[i];
    if (roll.kind == static_cast<uint8_t>(kind) && roll.item == item) return true;
  }
  return false;
}

void Add(const World& world, OfferKind kind, int item, int owned, float weight, Candidates* out) {
  if (weight <= 0.0f || IsBanned(world.menus, kind, item) || IsShown(world.menus, kind, item)) {
    return;
  }
  out->list[out->count++] = {kind, static_cast<uint8_t>(item), static_cast<uint8_t>(owned), weight};
}

int LevelOf(const Slot* slots, int kind) {
  for (int i = 0; i < kLoadoutSlots; ++i) {
    if (slots[i].kind == kind + 1) return slots[i].level;
  }
  return 0;
}

int Used(const Slot* slots) {
  return static_cast<int>(
      std::count_if(slots, slots + kLoadoutSlots, [](const Slot& slot) { return slot.kind != 0; }));
}

// Candidates of one kind that lives in slots: weapons or tomes.
template <typename Def>
void AddSlotted(const World& world, OfferKind kind, const Def* defs, int count, const float* mix,
                const Slot* slots, int slot_limit, Candidates* out) {
  const bool room = Used(slots) < slot_limit;
  for (int i = 0; i < count; ++i) {
    const int level = LevelOf(slots, i);
    if (level == 0 ? !room : level >= defs[i].max_level) continue;
    const float factor = level == 0 ? 1.0f : kOffers.owned_weight;
    Add(world, kind, i, level, defs[i].weight * mix[i] * factor, out);
  }
}

void ListLevelUp(const World& world, const LevelSpec& spec, Candidates* out) {
  AddSlotted(world, OfferKind::kWeapon, kWeaponDefs, kWeaponCount, spec.offer_mix_weapon,
             world.player.weapons, spec.weapon_slots, out);
  AddSlotted(world, OfferKind::kTome, kTomeDefs, kTomeCount, spec.offer_mix_tome,
             world.player.tomes, spec.tome_slots, out);
}

void ListItems(const World& world, const LevelSpec& spec, Candidates* out) {
  for (int i = 0; i < kItemCount; ++i) {
    const int owned = world.player.items[i];
    if (owned >= kItemDefs[i].max_count) continue;
    const float rarity = RarityWeight(world, kItemDefs[i].rarity);
    Add(world, OfferKind::kItem, i, owned, kItemDefs[i].weight * spec.offer_mix_item[i] * rarity,
        out);
  }
}

int DrawRarity(World& world) {
  float weights[kRarityCount];
  float total = 0.0f;
  for (int i = 0; i < kRarityCount; ++i) total += weights[i] = RarityWeight(world, i);
  float left = DrawUnit(world.offer_random) * total;
  for (int i = 0; i < kRarityCount - 1; ++i) {
    left -= weights[i];
    if (left < 0.0f) return i;
  }
  return kRarityCount - 1;
}

const Candidate& DrawCandidate(World& world, const Candidates& candidates) {
  float total = 0.0f;
  for (int i = 0; i < candidates.count; ++i) total += candidates.list[i].weight;
  float left = DrawUnit(world.offer_random) * total;
  for (int i = 0; i < candidates.count - 1; ++i) {
    left -= candidates.list[i].weight;
    if (left < 0.0f) return candidates.list[i];
  }
  return candidates.list[candidates.count - 1];
}

Roll MakeRoll(World& world, const Candidate& drawn) {
  const bool is_item = drawn.kind == OfferKind::kItem;
  const int rarity = is_item ? kItemDefs[drawn.item].rarity : DrawRarity(world);
  int level = drawn.owned + 1;
  if (drawn.kind == OfferKind::kWeapon) {
    level = std::min<int>(drawn.owned + kRarityDefs[rarity].weapon_levels,
                          kWeaponDefs[drawn.item].max_level);
  }
  return {static_cast<uint8_t>(drawn.kind), static_cast<uint8_t>(rarity), drawn.item,
          static_cast<uint8_t>(level), is_item ? 1.0f : kRarityDefs[rarity].scale};
}

// One more offer that is not among menus.rolls[0, roll_count).
Roll DrawRoll(World& world, const Level& level, bool chest) {
  Candidates candidates;
  if (chest) {
    ListItems(world, level.spec, &candidates);
  } else {
    ListLevelUp(world, level.spec, &candidates);
  }
  if (candidates.count > 0) return MakeRoll(world, DrawCandidate(world, candidates));
  const int reward = world.menus.roll_count % kRewardCount;
  return MakeRoll(world, {OfferKind::kReward, static_cast<uint8_t>(reward), 0, 1.0f});
}

void AddChange(Stat stat, bool multiply, float amount, Offer* out) {
  if (amount == 0.0f || out->change_count >= kMaxStatChanges) return;
  out->changes[out->change_count++] = {static_cast<uint8_t>(stat), static_cast<uint8_t>(multiply),
                                       0, amount};
}

void AddChanges(const StatChange* changes, int count, float scale, Offer* out) {
  for (int i = 0; i < count; ++i) {
    AddChange(static_cast<Stat>(changes[i].stat), changes[i].multiply != 0,
              changes[i].amount * scale, out);
  }
}

// What more levels of a weapon change of that weapon's own numbers; for a new weapon its damage.
// How many it pierces is no stat of a character and stays unsaid: players find it out.
void AddWeaponChanges(const WeaponDef& def, int from, int to, Offer* out) {
  const WeaponNumbers after = NumbersOf(def, to);
  if (from == 0) {
    AddChange(Stat::kDamage, false, after.damage, out);
    return;
  }
  const WeaponNumbers before = NumbersOf(def, from);
  AddChange(Stat::kDamage, true, after.damage / before.damage - 1.0f, out);
  AddChange(Stat::kAttackSpeed, true, before.cooldown / after.cooldown - 1.0f, out);
  AddChange(Stat::kProjectiles, false, static_cast<float>(after.count - before.count), out);
  const float area = def.blast > 0.0f ? after.blast / before.blast : after.reach / before.reach;
  AddChange(Stat::kArea, true, area - 1.0f, out);
}

void Append(char* text, const char* more) {
  const size_t used = std::strlen(text);
  const size_t room = kTextBytes - 1 - used;
  std::memcpy(text + used, more, std::min(room, std::strlen(more)));
}

void AppendNumber(char* text, int number) {
  char digits[4] = {};
  int at = 0;
  if (number >= 100) digits[at++] = static_cast<char>('0' + number / 100 % 10);
  if (number >= 10) digits[at++] = static_cast<char>('0' + number / 10 % 10);
  digits[at] = static_cast<char>('0' + number % 10);
  Append(text, digits);
}

}  // namespace

void RollOffers(World& world, const Level& level, bool chest) {
  Menus& menus = world.menus;
  menus.roll_count = 0;
  std::memset(menus.rolls, 0, sizeof menus.rolls);
  for (int i = 0; i < level.spec.offers_shown; ++i) {
    menus.rolls[i] = DrawRoll(world, level, chest);
    menus.roll_count = static_cast<uint8_t>(i + 1);
  }
}

void BanOffer(World& world, const Level& level, int index) {
  Menus& menus = world.menus;
  const Roll banned = menus.rolls[index];
  if (menus.banned_count < kMaxBanned) {
    menus.banned[menus.banned_count++] = static_cast<uint16_t>(banned.kind << 8 | banned.item);
  }
  menus.rolls[index] = DrawRoll(world, level, menus.screen == Screen::kChest);
}

void TakeOffer(World& world, const Level&, int index) {
  const Roll roll = world.menus.rolls[index];
  switch (static_cast<OfferKind>(roll.kind)) {
    case OfferKind::kWeapon:
      for (int level = LevelOf(world.player.weapons, roll.item); level < roll.level; ++level) {
        GrantWeapon(world, roll.item);
      }
      break;
    case OfferKind::kTome:
      GrantTome(world, roll.item, roll.scale);
      break;
    case OfferKind::kItem:
      GrantItem(world, roll.item);
      break;
    case OfferKind::kReward: {
      const RewardDef& reward = kRewardDefs[roll.item];
      const float health = StatOf(world.player, Stat::kMaxHealth);
      if (reward.heal > 0.0f) HealPlayer(world, reward.heal * roll.scale * health);
      if (reward.gold > 0.0f) GainGold(world, reward.gold * roll.scale);
      break;
    }
    case OfferKind::kCount:
      break;
  }
}

void DescribeOffer(const World& world, const Roll& roll, Offer* out) {
  *out = {};
  out->kind = roll.kind;
  out->rarity = roll.rarity;
  out->item = roll.item;
  out->level = roll.level;
  switch (static_cast<OfferKind>(roll.kind)) {
    case OfferKind::kWeapon: {
      Append(out->text, kWeaponDefs[roll.item].name);
      AddWeaponChanges(kWeaponDefs[roll.item], LevelOf(world.player.weapons, roll.item), roll.level,
                       out);
      break;
    }
    case OfferKind::kTome:
      Append(out->text, kTomeDefs[roll.item].name);
      AddChanges(kTomeDefs[roll.item].changes, kTomeDefs[roll.item].change_count, roll.scale, out);
      break;
    case OfferKind::kItem:
      Append(out->text, kItemDefs[roll.item].name);
      AddChanges(kItemDefs[roll.item].changes, kItemDefs[roll.item].change_count, roll.scale, out);
      break;
    case OfferKind::kReward:
      Append(out->text, kRewardDefs[roll.item].name);
      return;
    case OfferKind::kCount:
      return;
  }
  Append(out->text, " ");
  AppendNumber(out->text, roll.level);
}

}  // namespace metabonk::arena
