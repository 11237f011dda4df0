// World: everything that changes during a run of the arena, as one trivially copyable struct.
//
// clone_state is a memcpy of it, the state hash is over its bytes (padding is zeroed at reset), and
// no rule keeps anything anywhere else. What does not change during a run (the level
// specification, the content tables, the terrain that follows from a seed) is not in here.
// Arrays of things are structures of arrays, compacted: indices [0, count) are live.
#pragma once

#include <cstdint>
#include <type_traits>

#include "metabonk/records.h"

namespace metabonk::arena {

inline constexpr int kTickHz = 60;
inline constexpr float kTickSeconds = 1.0f / 60.0f;
inline constexpr int kMaxEnemies = 256;  // = kMaxEntities
inline constexpr int kMaxShots = 128;    // the player's projectiles, mines and zones
inline constexpr int kMaxBolts = 96;     // the enemies' projectiles
inline constexpr int kMaxStructures = 24;
inline constexpr int kMaxItemKinds = 32;
inline constexpr int kMaxBanned = 16;
inline constexpr int kMaxRolls = 4;
static_assert(kMaxEnemies == kMaxEntities);

enum class Screen : uint8_t {
  kPlaying,
  kMainMenu,
  kCharacterMenu,
  kMapMenu,
  kLevelUp,
  kChest,
  kPause,
  kDeath,
  kVictory,
  kCount,
};

// The stats that characters have and that weapons, tomes and items change. Names, units and
// defaults are in content.toml, in this order.
enum class Stat : uint8_t {
  kMaxHealth,        // points
  kRegen,            // health a second
  kArmor,            // fraction of damage taken off, 0..0.9
  kEvasion,          // chance to take no damage, 0..0.8
  kMaxShield,        // points, refills after five seconds without damage
  kLifesteal,        // fraction of damage dealt that heals
  kThorns,           // damage to whoever touches the player
  kDamage,           // factor
  kAttackSpeed,      // factor
  kArea,             // factor on radius of weapons
  kProjectiles,      // added count
  kProjectileSpeed,  // factor
  kDuration,         // factor
  kCritChance,       // 0..1
  kCritDamage,       // factor
  kKnockback,        // factor
  kMoveSpeed,        // factor
  kJumpHeight,       // factor
  kPickupRange,      // metres
  kLuck,             // shifts rarities
  kXpGain,           // factor
  kGoldGain,         // factor
  kCount,
};
inline constexpr int kStats = static_cast<int>(Stat::kCount);

enum class StructureKind : uint8_t { kNone, kChest, kShrine, kPortal };

struct Random {  // counter-based: draw n of a stream is a hash of (key, n)
  uint64_t key;
  uint64_t counter;
};

struct Player {
  float x, y, z;
  float vx, vy, vz;
  float yaw;    // radians, counter-clockwise from east; the camera's, moves are relative to it
  float pitch;  // radians, only for the view
  float health;
  float shield;
  float shield_delay;  // seconds until the shield refills
  float invulnerable;  // seconds
  float slide_time;    // seconds left of the slide
  float slide_cooldown;
  float ability_cooldown;
  float ability_time;  // seconds left of the character's ability
  float regen_carry;
  float xp;
  float gold;
  uint16_t level;
  uint8_t grounded;
  uint8_t air_jumps;
  uint8_t character;
  uint8_t pending_levels;  // level-up menus still to be shown
  uint8_t held_buttons;    // last tick's buttons, for edges
  uint8_t pad0;
  float base[kStats];  // of the character
  float stat[kStats];  // base with every tome and item applied
  Slot weapons[kLoadoutSlots];
  float weapon_cooldown[kLoadoutSlots];  // seconds
  uint16_t weapon_phase[kLoadoutSlots];  // what a weapon needs to remember between shots
  Slot tomes[kLoadoutSlots];
  float tome_bonus[kLoadoutSlots];  // sum over its levels; rarity scales each level's part
  uint8_t items[kMaxItemKinds];     // how many of each
};

struct Enemies {
  int32_t count;
  uint32_t next_id;
  alignas(64) float x[kMaxEnemies];
  alignas(64) float y[kMaxEnemies];
  alignas(64) float z[kMaxEnemies];
  alignas(64) float vx[kMaxEnemies];
  alignas(64) float vy[kMaxEnemies];
  alignas(64) float vz[kMaxEnemies];
  alignas(64) float health[kMaxEnemies];
  alignas(64) float max_health[kMaxEnemies];
  alignas(64) float timer[kMaxEnemies];   // seconds, meaning depends on kind and phase
  alignas(64) float slow[kMaxEnemies];    // seconds of being slowed
  alignas(64) float push_x[kMaxEnemies];  // how hard others push it aside, metres a second
  alignas(64) float push_y[kMaxEnemies];
  alignas(64) uint32_t id[kMaxEnemies];
  alignas(64) uint8_t kind[kMaxEnemies];
  alignas(64) uint8_t phase[kMaxEnemies];
  alignas(64) uint8_t flags[kMaxEnemies];  // EntityFlag
  alignas(64) uint8_t flash[kMaxEnemies];  // ticks since hit, for the view
};

struct Shots {  // the player's
  int32_t count;
  int32_t pad0;
  alignas(64) float x[kMaxShots];
  alignas(64) float y[kMaxShots];
  alignas(64) float z[kMaxShots];
  alignas(64) float vx[kMaxShots];
  alignas(64) float vy[kMaxShots];
  alignas(64) float vz[kMaxShots];
  alignas(64) float life[kMaxShots];    // seconds left
  alignas(64) float radius[kMaxShots];  // metres
  alignas(64) float damage[kMaxShots];
  alignas(64) uint8_t weapon[kMaxShots];     // kind of the weapon that made it
  alignas(64) uint8_t pierce[kMaxShots];     // hits left
  alignas(64) uint8_t state[kMaxShots];      // weapon's own
  alignas(64) uint32_t last_hit[kMaxShots];  // id of the enemy hit last
};

struct Bolts {  // the enemies'
  int32_t count;
  int32_t pad0;
  alignas(64) float x[kMaxBolts];
  alignas(64) float y[kMaxBolts];
  alignas(64) float z[kMaxBolts];
  alignas(64) float vx[kMaxBolts];
  alignas(64) float vy[kMaxBolts];
  alignas(64) float vz[kMaxBolts];
  alignas(64) float life[kMaxBolts];
  alignas(64) float radius[kMaxBolts];
  alignas(64) float damage[kMaxBolts];
  alignas(64) uint32_t id[kMaxBolts];     // from the same count as those of enemies
  alignas(64) uint8_t kind[kMaxBolts];    // kind of the enemy that made it
  alignas(64) uint8_t homing[kMaxBolts];  // 1: turns towards the player
};

struct Pickups {  // orbs, coins, hearts, magnets
  int32_t count;
  uint32_t next_id;
  alignas(64) float x[kMaxPickups];
  alignas(64) float y[kMaxPickups];
  alignas(64) float z[kMaxPickups];
  alignas(64) float value[kMaxPickups];
  alignas(64) uint32_t id[kMaxPickups];
  alignas(64) uint8_t kind[kMaxPickups];    // PickupKind
  alignas(64) uint8_t homing[kMaxPickups];  // 1 once it flies to the player
};

struct Structures {  // chests, shrines, the portal; fixed in place
  int32_t count;
  int32_t pad0;
  float x[kMaxStructures];
  float y[kMaxStructures];
  float z[kMaxStructures];
  float charge[kMaxStructures];  // 0..1 of a shrine
  float price[kMaxStructures];   // gold a chest costs
  uint32_t id[kMaxStructures];
  uint8_t kind[kMaxStructures];  // StructureKind; kNone once used up
};

// What a selectable offer on the screen would do. Rolled when the menu opens.
struct Roll {
  uint8_t kind;  // OfferKind
  uint8_t rarity;
  uint8_t item;
  uint8_t level;
  float scale;  // the rarity's factor on every amount
};

struct Menus {
  Screen screen;
  Screen behind;  // what Pause returns to
  uint8_t roll_count;
  uint8_t armed;  // 1 once choice and click have been released since the last press
  uint8_t refreshes, skips, banishes;  // left in this run
  uint8_t banishing;                   // 1 while the next choice banishes
  uint8_t banned_count;
  uint8_t chosen_character;
  uint8_t chosen_tier;
  uint8_t pad0;
  Roll rolls[kMaxRolls];
  uint16_t banned[kMaxBanned];  // kind << 8 | index
};

struct Director {   // decides what spawns and when
  float budget;     // spawn points saved up
  float wave_time;  // seconds into this wave
  int32_t wave;
  float boss_timer;  // seconds until the stage boss
  uint8_t boss_spawned;
  uint8_t boss_dead;
  uint8_t planned;  // 1 + kind that is saved up for, 0 none
  uint8_t pad0;
  float held;  // seconds that the boss portal was stood in
};

struct Totals {  // sums over the run
  uint32_t kills;
  uint32_t boss_kills;
  uint32_t hits_taken;
  uint32_t chests;
  uint32_t shrines;
  uint32_t levels;
  uint32_t victories;
  float damage_dealt;
  float damage_taken;
  float gold_earned;
  float xp_earned;
  float healed;
  float score;
};

struct World {
  uint64_t run_seed;
  uint64_t tick;         // simulated ticks, menus not counted
  uint64_t total_ticks;  // with menus
  Random world_random;   // spawns, drops, offers: each stream of its own, so that one more draw
  Random combat_random;  // in one place does not change the others
  Random offer_random;
  Random step_random;  // ticks of a decision
  uint8_t done;        // EpisodeEnd
  uint8_t tier;
  uint8_t pad0[2];
  Player player;
  Director director;
  Menus menus;
  Totals totals;
  Structures structures;
  Enemies enemies;
  Shots shots;
  Bolts bolts;
  Pickups pickups;
};
static_assert(std::is_trivially_copyable_v<World>);

enum class EpisodeEnd : uint8_t { kNo, kDied, kWon, kTimeUp };

inline float& StatOf(Player& player, Stat stat) { return player.stat[static_cast<int>(stat)]; }
inline float StatOf(const Player& player, Stat stat) { return player.stat[static_cast<int>(stat)]; }

}  // namespace metabonk::arena
