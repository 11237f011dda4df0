// The default level, and what a level may be. Knows every field's range and how fields bind each
// other; the same ranges are published by metabonk/games/level.py, and a test compares them.
#include "games/arena/spec.h"

#include <cstddef>
#include <cstring>

#include "games/arena/content.h"

namespace metabonk::arena {
namespace {

template <typename T>
constexpr char TypeOf() {
  if constexpr (std::is_same_v<T, uint8_t>) return 'B';
  if constexpr (std::is_same_v<T, uint32_t>) return 'I';
  if constexpr (std::is_same_v<T, float>) return 'f';
}

#define FIELD(member, low, high)                                                               \
  {#member,                                                                                    \
   offsetof(LevelSpec, member),                                                                \
   sizeof(LevelSpec::member) / sizeof(std::remove_all_extents_t<decltype(LevelSpec::member)>), \
   TypeOf<std::remove_all_extents_t<decltype(LevelSpec::member)>>(),                           \
   low,                                                                                        \
   high,                                                                                       \
   "must be from " #low " to " #high}

#define REWARD(term)                                            \
  {"reward." #term,                                             \
   offsetof(LevelSpec, reward) + offsetof(RewardWeights, term), \
   1,                                                           \
   'f',                                                         \
   -1000,                                                       \
   1000,                                                        \
   "must be from -1000 to 1000"}

constexpr SpecField kFields[] = {
    FIELD(version, 1, 1),
    FIELD(bytes, sizeof(LevelSpec), sizeof(LevelSpec)),
    FIELD(tier, 1, 3),
    FIELD(character, 0, kCharacterCount - 1),
    FIELD(start_screen, 0, 1),
    FIELD(terminate_on_victory, 0, 1),
    FIELD(allow_pause, 0, 1),
    FIELD(menus, 0, 1),
    FIELD(sustain, 0, 1),
    FIELD(truncate_on_time, 0, 1),
    FIELD(duration, 1, 7200),
    FIELD(max_ticks, 0, 10000000),
    FIELD(boss_at, -1, 7200),
    FIELD(spawn_rate, 0, 20),
    FIELD(enemy_health, 0.05, 50),
    FIELD(enemy_damage, 0, 50),
    FIELD(enemy_speed, 0.1, 3),
    FIELD(max_enemies, 0, 256),
    FIELD(start_enemies, 0, 256),
    FIELD(enemy_mix, 0, 100),
    FIELD(size, 32, 128),
    FIELD(relief, 0, 12),
    FIELD(obstacles, 0, 0.3),
    FIELD(ledges, 0, 1),
    FIELD(chests, 0, 12),
    FIELD(shrines, 0, 8),
    FIELD(terrain_seed, 0, 4294967295),
    FIELD(offer_mix_weapon, 0, 100),
    FIELD(offer_mix_tome, 0, 100),
    FIELD(offer_mix_item, 0, 100),
    FIELD(start_weapons, 0, kWeaponCount),
    FIELD(start_weapon_level, 1, 100),
    FIELD(weapon_slots, 1, 8),
    FIELD(tome_slots, 1, 8),
    FIELD(offers_shown, 1, 4),
    FIELD(xp_rate, 0, 100),
    FIELD(gold_rate, 0, 100),
    FIELD(skip_min, 1, 60),
    FIELD(skip_max, 1, 60),
    FIELD(drop_rate, 0, 0.95),
    REWARD(alive),
    REWARD(kill),
    REWARD(xp),
    REWARD(gold),
    REWARD(level),
    REWARD(damage_dealt),
    REWARD(damage_taken),
    REWARD(heal),
    REWARD(boss),
    REWARD(chest),
    REWARD(death),
    REWARD(victory),
};
#undef FIELD
#undef REWARD
static_assert(kMaxRolls == 4 && kLoadoutSlots == 8 && kMaxEnemies == 256);

double Element(const LevelSpec& spec, const SpecField& field, uint32_t index) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&spec) + field.offset;
  if (field.type == 'B') return bytes[index];
  if (field.type == 'I') {
    uint32_t value;
    std::memcpy(&value, bytes + index * sizeof value, sizeof value);
    return value;
  }
  float value;
  std::memcpy(&value, bytes + index * sizeof value, sizeof value);
  return static_cast<double>(value);
}

Status CheckRanges(const LevelSpec& spec) {
  for (const SpecField& field : kFields) {
    for (uint32_t i = 0; i < field.count; ++i) {
      const double value = Element(spec, field, i);
      // A float just above a bound that no float meets, such as 0.3f, is the bound.
      const double slack = field.type == 'f' ? 1e-7 : 0.0;
      if (!(value >= field.low - slack && value <= field.high + slack)) {
        return {Code::kOutOfRange, field.name, field.range};
      }
    }
  }
  return Status::Ok();
}

Status CheckWeapons(const LevelSpec& spec) {
  uint32_t seen = 0;
  int used = 0;
  for (const uint8_t weapon : spec.start_weapons) {
    if (weapon == 0) continue;
    if (seen >> weapon & 1) {
      return {Code::kInvalidArgument, "start_weapons", "must not name a weapon twice"};
    }
    seen |= 1u << weapon;
    ++used;
    if (spec.start_weapon_level > kWeaponDefs[weapon - 1].max_level) {
      return {Code::kOutOfRange, "start_weapon_level",
              "must not exceed the highest level of a start weapon"};
    }
  }
  if (used > spec.weapon_slots) {
    return {Code::kInvalidArgument, "start_weapons", "must not be more than weapon_slots"};
  }
  const uint8_t own = kCharacterDefs[spec.character].weapon;
  if (used == 0 && spec.start_weapon_level > kWeaponDefs[own].max_level) {
    return {Code::kOutOfRange, "start_weapon_level",
            "must not exceed the highest level of the character's weapon"};
  }
  return Status::Ok();
}

}  // namespace

std::span<const SpecField> SpecFields() { return kFields; }

LevelSpec DefaultSpec() {
  LevelSpec spec = {};
  spec.version = kSpecVersion;
  spec.bytes = sizeof(LevelSpec);
  spec.tier = 1;
  spec.start_screen = static_cast<uint8_t>(Screen::kPlaying);
  spec.terminate_on_victory = 1;
  spec.menus = 1;
  spec.truncate_on_time = 1;
  spec.duration = 180.0f;
  spec.max_ticks = 16200;  // one and a half times the duration: menus cost ticks, not seconds
  spec.boss_at = 120.0f;
  spec.spawn_rate = 1.0f;
  spec.enemy_health = 1.0f;
  spec.enemy_damage = 1.0f;
  spec.enemy_speed = 1.0f;
  spec.max_enemies = kMaxEnemies;
  for (float& weight : spec.enemy_mix) weight = 1.0f;
  spec.size = 96.0f;
  spec.relief = 4.0f;
  spec.obstacles = 0.04f;
  spec.ledges = 0.3f;
  spec.chests = 8;
  spec.shrines = 4;
  for (float& weight : spec.offer_mix_weapon) weight = 1.0f;
  for (float& weight : spec.offer_mix_tome) weight = 1.0f;
  for (float& weight : spec.offer_mix_item) weight = 1.0f;
  spec.start_weapon_level = 1;
  spec.weapon_slots = 4;
  spec.tome_slots = 4;
  spec.offers_shown = 3;
  spec.xp_rate = 1.0f;
  spec.gold_rate = 1.0f;
  spec.skip_min = 4;
  spec.skip_max = 4;
  spec.reward.alive = 0.02f;
  spec.reward.kill = 0.05f;
  spec.reward.xp = 0.02f;
  spec.reward.level = 0.2f;
  spec.reward.damage_taken = -0.02f;
  spec.reward.boss = 3.0f;
  spec.reward.chest = 0.2f;
  spec.reward.death = -3.0f;
  spec.reward.victory = 5.0f;
  return spec;
}

Status Validate(const LevelSpec& spec) {
  if (spec.version != kSpecVersion) {
    return {Code::kVersionMismatch, "version", "must be 1: pack the level with this build"};
  }
  if (spec.bytes != sizeof(LevelSpec)) {
    return {Code::kVersionMismatch, "bytes", "must be the size of LevelSpec in this build"};
  }
  if (const Status status = CheckRanges(spec); !status.ok()) return status;
  if (spec.start_enemies > spec.max_enemies) {
    return {Code::kInvalidArgument, "start_enemies", "must not exceed max_enemies"};
  }
  if (spec.skip_min > spec.skip_max) {
    return {Code::kInvalidArgument, "skip_min", "must not exceed skip_max"};
  }
  return CheckWeapons(spec);
}

}  // namespace metabonk::arena
