// What a character carries and the numbers that follow from it: base stats, tomes, items and the
// running ability. Knows content.toml's effects and applies exactly those; knows no menus and no
// chances.
#include <algorithm>
#include <cmath>

#include "games/arena/content.h"
#include "games/arena/rules.h"
#include "support/math.h"

namespace metabonk::arena {
namespace {

struct Sums {
  float add[kStats];
  float multiply[kStats];
};

void Accumulate(const StatChange* changes, int count, float scale, Sums* sums) {
  for (int i = 0; i < count; ++i) {
    const StatChange& change = changes[i];
    (change.multiply ? sums->multiply : sums->add)[change.stat] += scale * change.amount;
  }
}

// (base + added) * (1 + multiplied), within the bounds of the content.
void Finish(const float* base, const Sums& sums, float* out) {
  for (int i = 0; i < kStats; ++i) {
    const float value = (base[i] + sums.add[i]) * (1.0f + sums.multiply[i]);
    out[i] = std::clamp(value, kStatDefs[i].low, kStatDefs[i].high);
  }
}

// A grant that raises max health also fills what it added; one that lowers it only caps.
void RecomputeAfterGrant(World& world) {
  Player& player = world.player;
  const float health_before = StatOf(player, Stat::kMaxHealth);
  const float shield_before = StatOf(player, Stat::kMaxShield);
  RecomputeStats(world);
  player.health += std::max(0.0f, StatOf(player, Stat::kMaxHealth) - health_before);
  player.shield += std::max(0.0f, StatOf(player, Stat::kMaxShield) - shield_before);
}

// The slot that holds `kind`, else the first empty one, else -1.
int SlotFor(const Slot* slots, int kind) {
  int empty = -1;
  for (int i = 0; i < kLoadoutSlots; ++i) {
    if (slots[i].kind == kind + 1) return i;
    if (slots[i].kind == 0 && empty < 0) empty = i;
  }
  return empty;
}

void Dash(World& world, const Action& action, float speed) {
  Player& player = world.player;
  float right = action.move[0];
  float forward = action.move[1];
  const float length = std::sqrt(right * right + forward * forward);
  if (length > 0.1f) {
    right /= length;
    forward /= length;
  } else {
    right = 0.0f;
    forward = 1.0f;
  }
  float sine;
  float cosine;
  SinCos(player.yaw, &sine, &cosine);
  player.vx = speed * (cosine * forward + sine * right);
  player.vy = speed * (sine * forward - cosine * right);
}

void Blast(World& world, const Level& level, const AbilityDef& ability) {
  const Player& player = world.player;
  const float reach = ability.blast * StatOf(player, Stat::kArea);
  const float damage = ability.blast_damage * StatOf(player, Stat::kDamage);
  const float push = ability.knockback * StatOf(player, Stat::kKnockback);
  for (int i = 0; i < world.enemies.count; ++i) {
    const float dx = world.enemies.x[i] - player.x;
    const float dy = world.enemies.y[i] - player.y;
    const float square = dx * dx + dy * dy;
    if (square > reach * reach) continue;
    const float scale = push / std::max(0.1f, std::sqrt(square));
    HurtEnemy(world, level, i, damage, dx * scale, dy * scale);
  }
}

void StartAbility(World& world, const Level& level, const Action& action) {
  Player& player = world.player;
  const AbilityDef& ability = kAbilityDefs[kCharacterDefs[player.character].ability];
  player.ability_cooldown = ability.cooldown;
  player.ability_time = ability.seconds;
  RecomputeStats(world);
  if (ability.heal > 0.0f) HealPlayer(world, ability.heal * StatOf(player, Stat::kMaxHealth));
  player.invulnerable = std::max(player.invulnerable, ability.invulnerable);
  if (ability.dash > 0.0f) Dash(world, action, ability.dash);
  if (ability.blast > 0.0f) Blast(world, level, ability);
}

}  // namespace

void ApplyCharacter(World& world, int character) {
  Player& player = world.player;
  const CharacterDef& def = kCharacterDefs[character];
  float base[kStats];
  for (int i = 0; i < kStats; ++i) base[i] = kStatDefs[i].base;
  Sums sums = {};
  Accumulate(def.changes, def.change_count, 1.0f, &sums);
  Finish(base, sums, player.base);
  player.character = static_cast<uint8_t>(character);
  RecomputeStats(world);
  player.health = StatOf(player, Stat::kMaxHealth);
  player.shield = StatOf(player, Stat::kMaxShield);
}

void StartLoadout(World& world, const Level& level, int character) {
  Player& player = world.player;
  std::fill_n(player.weapons, kLoadoutSlots, Slot{});
  std::fill_n(player.weapon_cooldown, kLoadoutSlots, 0.0f);
  std::fill_n(player.weapon_phase, kLoadoutSlots, uint16_t{0});
  std::fill_n(player.tomes, kLoadoutSlots, Slot{});
  std::fill_n(player.tome_bonus, kLoadoutSlots, 0.0f);
  std::fill_n(player.items, kMaxItemKinds, uint8_t{0});
  player.ability_time = 0.0f;
  player.ability_cooldown = 0.0f;
  bool given = false;
  for (const uint8_t weapon : level.spec.start_weapons) {
    if (weapon == 0) continue;
    given = true;
    for (int i = 0; i < level.spec.start_weapon_level; ++i) GrantWeapon(world, weapon - 1);
  }
  if (!given) {
    for (int i = 0; i < level.spec.start_weapon_level; ++i) {
      GrantWeapon(world, kCharacterDefs[character].weapon);
    }
  }
  ApplyCharacter(world, character);
  Menus& menus = world.menus;
  menus.chosen_character = static_cast<uint8_t>(character);
  menus.chosen_tier = world.tier;
  menus.refreshes = kOffers.refreshes;
  menus.skips = kOffers.skips;
  menus.banishes = kOffers.banishes;
  menus.banishing = 0;
  menus.banned_count = 0;
}

void RecomputeStats(World& world) {
  Player& player = world.player;
  Sums sums = {};
  for (int i = 0; i < kLoadoutSlots; ++i) {
    if (player.tomes[i].kind == 0) continue;
    const TomeDef& tome = kTomeDefs[player.tomes[i].kind - 1];
    Accumulate(tome.changes, tome.change_count, player.tome_bonus[i], &sums);
  }
  for (int i = 0; i < kItemCount; ++i) {
    if (player.items[i] == 0) continue;
    Accumulate(kItemDefs[i].changes, kItemDefs[i].change_count, player.items[i], &sums);
  }
  if (player.ability_time > 0.0f) {
    const AbilityDef& ability = kAbilityDefs[kCharacterDefs[player.character].ability];
    Accumulate(ability.changes, ability.change_count, 1.0f, &sums);
  }
  Finish(player.base, sums, player.stat);
  player.health = std::min(player.health, StatOf(player, Stat::kMaxHealth));
  player.shield = std::min(player.shield, StatOf(player, Stat::kMaxShield));
}

void GrantWeapon(World& world, int kind) {
  Player& player = world.player;
  const int slot = SlotFor(player.weapons, kind);
  if (slot < 0) return;
  Slot& weapon = player.weapons[slot];
  if (weapon.kind == 0) {
    player.weapon_cooldown[slot] = 0.0f;
    player.weapon_phase[slot] = 0;
  }
  weapon.kind = static_cast<uint8_t>(kind + 1);
  weapon.level =
      std::min<uint8_t>(static_cast<uint8_t>(weapon.level + 1), kWeaponDefs[kind].max_level);
}

void GrantTome(World& world, int kind, float scale) {
  Player& player = world.player;
  const int slot = SlotFor(player.tomes, kind);
  if (slot < 0) return;
  Slot& tome = player.tomes[slot];
  if (tome.level >= kTomeDefs[kind].max_level) return;
  tome.kind = static_cast<uint8_t>(kind + 1);
  ++tome.level;
  player.tome_bonus[slot] += scale;
  RecomputeAfterGrant(world);
}

void GrantItem(World& world, int kind) {
  uint8_t& count = world.player.items[kind];
  if (count >= kItemDefs[kind].max_count) return;
  ++count;
  RecomputeAfterGrant(world);
}

void GainGold(World& world, float amount) {
  const float gained = amount * StatOf(world.player, Stat::kGoldGain);
  world.player.gold += gained;
  world.totals.gold_earned += gained;
}

void TickAbility(World& world, const Level& level, const Action& action) {
  Player& player = world.player;
  player.ability_cooldown = std::max(0.0f, player.ability_cooldown - kTickSeconds);
  if (player.ability_time > 0.0f) {
    player.ability_time = std::max(0.0f, player.ability_time - kTickSeconds);
    if (player.ability_time == 0.0f) RecomputeStats(world);
  }
  if (action.ability >= 0.5f && player.ability_cooldown == 0.0f) StartAbility(world, level, action);
}

}  // namespace metabonk::arena
