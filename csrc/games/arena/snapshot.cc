#include "games/arena/snapshot.h"

#include <algorithm>
#include <cstring>

#include "games/arena/content.h"
#include "games/arena/replay.h"
#include "games/arena/shots.h"
#include "games/arena/steering.h"
#include "support/random.h"

namespace metabonk::arena {

namespace {

constexpr char kMagic[4] = {'M', 'B', 'A', 'S'};
constexpr uint32_t kVersion = 2;

struct Header {
  char magic[4];
  uint32_t version;
  uint32_t episodes;
  uint32_t bytes_each;
  uint64_t levels;
};
static_assert(sizeof(Header) == kSnapshotHeader);

// Wider than what play reaches and narrow enough for every conversion to an integer.
constexpr float kFar = 1e4f;            // metres from the corner of the arena
constexpr float kFast = 1e5f;           // metres a second
constexpr float kLong = 2.0f * kNever;  // seconds
constexpr float kMuch = 1e15f;          // points, gold
constexpr float kTurned = 1e4f;         // radians, where SinCos ends
constexpr float kShotRadius = 8.0f;     // metres; sprites stay within 16 bits of pixels
constexpr float kMarkRadius = 1000.0f;  // metres
constexpr float kBoltRadius = 1.0f;     // metres
constexpr int32_t kLastWave = 1000000;

bool Between(float value, float low, float high) { return value >= low && value <= high; }
bool Near(float value, float most) { return Between(value, -most, most); }

// Written so that a NaN fails.
bool AllNear(const float* values, int count, float most) {
  bool near = true;
  for (int i = 0; i < count; ++i) near = near && Near(values[i], most);
  return near;
}

bool AllBetween(const float* values, int count, float low, float high) {
  bool within = true;
  for (int i = 0; i < count; ++i) within = within && Between(values[i], low, high);
  return within;
}

template <typename T>
bool AllBelow(const T* values, int count, int limit) {
  for (int i = 0; i < count; ++i) {
    if (static_cast<int>(values[i]) >= limit) return false;
  }
  return true;
}

bool Flag(uint8_t value) { return value <= 1; }
bool Room(int32_t count, int limit) { return count >= 0 && count <= limit; }

template <typename Things>
bool Placed(const Things& things) {
  return AllNear(things.x, things.count, kFar) && AllNear(things.y, things.count, kFar) &&
         AllNear(things.z, things.count, kFar);
}

template <typename Things>
bool Moving(const Things& things) {
  return Placed(things) && AllNear(things.vx, things.count, kFast) &&
         AllNear(things.vy, things.count, kFast) && AllNear(things.vz, things.count, kFast);
}

// Kinds and phases index tables in all lanes: vectors reach beyond the count.
bool Holds(const Enemies& enemies) {
  constexpr int kFlags = kEntityBoss | kEntityElite;
  const int n = enemies.count;
  return Room(n, kMaxEnemies) && AllBelow(enemies.kind, kMaxEnemies, kEnemyCount) &&
         AllBelow(enemies.phase, kMaxEnemies, kPhases) && AllBelow(enemies.flags, n, kFlags + 1) &&
         Moving(enemies) && AllNear(enemies.health, n, kMuch) &&
         AllBetween(enemies.max_health, n, 0.0f, kMuch) && AllNear(enemies.timer, n, kLong) &&
         AllNear(enemies.slow, n, kLong) && AllNear(enemies.push_x, n, kFast) &&
         AllNear(enemies.push_y, n, kFast);
}

bool Holds(const Shots& shots) {
  const int n = shots.count;
  if (!Room(n, kMaxShots) || !AllBelow(shots.weapon, n, kWeaponCount) ||
      !AllBelow(shots.state, n, kShotMark + 1) || !Moving(shots) ||
      !AllNear(shots.life, n, kLong) || !AllNear(shots.damage, n, kMuch)) {
    return false;
  }
  for (int i = 0; i < n; ++i) {
    const bool mark = shots.state[i] == kShotMark;
    if (!Between(shots.radius[i], 0.0f, mark ? kMarkRadius : kShotRadius)) return false;
    if (shots.state[i] != kShotOrbit) continue;  // which keeps angle and distance as a velocity
    if (!Near(shots.vx[i], kTurned) || !Near(shots.vy[i], kTurned) || !Near(shots.vz[i], kFar)) {
      return false;
    }
  }
  return true;
}

bool Holds(const Bolts& bolts) {
  const int n = bolts.count;
  return Room(n, kMaxBolts) && AllBelow(bolts.kind, n, kEnemyCount) &&
         AllBelow(bolts.homing, n, 2) && Moving(bolts) && AllNear(bolts.life, n, kLong) &&
         AllBetween(bolts.radius, n, 0.0f, kBoltRadius) && AllNear(bolts.damage, n, kMuch);
}

bool Holds(const Pickups& pickups) {
  const int n = pickups.count;
  return Room(n, kMaxPickups) && AllBelow(pickups.kind, n, static_cast<int>(PickupKind::kCount)) &&
         AllBelow(pickups.homing, n, 2) && Placed(pickups) && AllNear(pickups.value, n, kMuch);
}

bool Holds(const Structures& structures) {
  const int n = structures.count;
  return Room(n, kMaxStructures) &&
         AllBelow(structures.kind, n, static_cast<int>(StructureKind::kPortal) + 1) &&
         Placed(structures) && AllBetween(structures.charge, n, 0.0f, 2.0f) &&
         AllNear(structures.price, n, kMuch);
}

bool LoadoutHolds(const Player& player) {
  for (int i = 0; i < kLoadoutSlots; ++i) {
    const Slot& weapon = player.weapons[i];
    const Slot& tome = player.tomes[i];
    if (weapon.kind > kWeaponCount || tome.kind > kTomeCount) return false;
    if (weapon.kind > 0 &&
        (weapon.level < 1 || weapon.level > kWeaponDefs[weapon.kind - 1].max_level)) {
      return false;
    }
    if (tome.kind > 0 && tome.level > kTomeDefs[tome.kind - 1].max_level) return false;
  }
  for (int i = 0; i < kItemCount; ++i) {
    if (player.items[i] > kItemDefs[i].max_count) return false;
  }
  for (int i = 0; i < kStats; ++i) {
    const StatDef& def = kStatDefs[i];
    if (!Between(player.base[i], def.low, def.high)) return false;
    if (!Between(player.stat[i], def.low, def.high)) return false;
  }
  return AllNear(player.weapon_cooldown, kLoadoutSlots, kLong) &&
         AllBetween(player.tome_bonus, kLoadoutSlots, 0.0f, kFar);
}

bool Holds(const Player& player) {
  const float places[] = {player.x, player.y, player.z};
  const float speeds[] = {player.vx, player.vy, player.vz};
  const float seconds[] = {player.shield_delay,   player.invulnerable,     player.slide_time,
                           player.slide_cooldown, player.ability_cooldown, player.ability_time};
  const float points[] = {player.health, player.shield, player.regen_carry, player.xp, player.gold};
  return AllNear(places, std::size(places), kFar) && AllNear(speeds, std::size(speeds), kFast) &&
         AllNear(seconds, std::size(seconds), kLong) && AllNear(points, std::size(points), kMuch) &&
         Near(player.yaw, 4.0f) && Near(player.pitch, 4.0f) && Flag(player.grounded) &&
         player.held_buttons <= 3 && player.character < kCharacterCount && LoadoutHolds(player);
}

int OfferCount(OfferKind kind) {
  switch (kind) {
    case OfferKind::kWeapon:
      return kWeaponCount;
    case OfferKind::kTome:
      return kTomeCount;
    case OfferKind::kItem:
      return kItemCount;
    case OfferKind::kReward:
      return kRewardCount;
    default:
      return 0;
  }
}

bool Holds(const Menus& menus) {
  if (menus.screen >= Screen::kCount || menus.behind >= Screen::kCount ||
      menus.roll_count > kMaxRolls || menus.banned_count > kMaxBanned ||
      menus.chosen_character >= kCharacterCount || menus.chosen_tier > kTierCount ||
      !Flag(menus.armed) || !Flag(menus.banishing)) {
    return false;
  }
  for (int i = 0; i < menus.roll_count; ++i) {
    const Roll& roll = menus.rolls[i];
    if (roll.rarity >= kRarityCount || roll.item >= OfferCount(static_cast<OfferKind>(roll.kind)) ||
        !Between(roll.scale, 0.0f, kFar)) {
      return false;
    }
  }
  return true;
}

bool Holds(const Director& director) {
  const float seconds[] = {director.wave_time, director.boss_timer, director.held};
  return Near(director.budget, kMuch) && AllNear(seconds, std::size(seconds), kLong) &&
         director.wave >= 0 && director.wave <= kLastWave && director.planned <= kEnemyCount &&
         Flag(director.boss_spawned) && Flag(director.boss_dead);
}

bool Holds(const Totals& totals) {
  const float sums[] = {totals.damage_dealt, totals.damage_taken, totals.gold_earned,
                        totals.xp_earned,    totals.healed,       totals.score};
  return AllNear(sums, std::size(sums), kMuch);
}

bool Holds(const World& world) {
  return world.tier >= 1 && world.tier <= kTierCount &&
         world.done <= static_cast<uint8_t>(EpisodeEnd::kTimeUp) && Holds(world.player) &&
         Holds(world.director) && Holds(world.menus) && Holds(world.totals) &&
         Holds(world.structures) && Holds(world.enemies) && Holds(world.shots) &&
         Holds(world.bolts) && Holds(world.pickups);
}

}  // namespace

uint64_t HashLevel(const LevelSpec& spec, uint64_t before) {
  static const uint64_t content = ContentHash();
  const auto* bytes = reinterpret_cast<const uint8_t*>(&spec);
  return HashDraw(before ^ content, HashBody({bytes, sizeof(spec)}));
}

void WriteSnapshotHeader(uint32_t episodes, uint64_t levels, uint8_t* out) {
  Header header = {{}, kVersion, episodes, sizeof(Episode), levels};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  std::memcpy(out, &header, sizeof(header));
}

Status CheckSnapshotHeader(std::span<const uint8_t> bytes, uint32_t episodes, uint64_t levels) {
  Header header;
  if (bytes.size() < sizeof(header)) return {Code::kCorrupt, "state", "is shorter than its header"};
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return {Code::kCorrupt, "state", "must be what clone_state or clone_one gave"};
  }
  if (header.version != kVersion || header.bytes_each != sizeof(Episode)) {
    return {Code::kVersionMismatch, "state", "was cloned by another version: start anew"};
  }
  if (header.episodes != episodes) {
    return {Code::kInvalidArgument, "state", "is of another number of environments"};
  }
  if (header.levels != levels) {
    return {Code::kVersionMismatch, "state",
            "is of another level, or of a build with other content: make the batch with the level "
            "it was cloned from"};
  }
  if (bytes.size() != sizeof(header) + size_t{episodes} * sizeof(Episode)) {
    return {Code::kCorrupt, "state", "is cut off or too long"};
  }
  return Status::Ok();
}

bool Sound(const Episode& episode) {
  constexpr double kMost = 1e30;
  const double sum = episode.return_sum;
  return Flag(episode.terminated) && Flag(episode.truncated) && Flag(episode.is_reset) &&
         Flag(episode.stale) && Near(episode.reward, kMuch) && sum >= -kMost && sum <= kMost &&
         Holds(episode.world) && (!episode.stale || Holds(episode.shown));
}

}  // namespace metabonk::arena
