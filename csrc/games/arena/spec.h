// LevelSpec: what makes one arena level different from another. One packed struct crosses into the
// core; metabonk/games/level.py holds the published schema, the defaults and the paths of wrong
// fields, and a test compares every offset. Validate() is the core's own line of defence: whatever
// bytes arrive, it accepts only what the rules can run.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "games/arena/state.h"
#include "metabonk/status.h"

namespace metabonk::arena {

inline constexpr uint32_t kSpecVersion = 1;
inline constexpr int kEnemyKindsMax = 16;
inline constexpr int kWeaponKindsMax = 16;
inline constexpr int kTomeKindsMax = 32;
inline constexpr int kItemKindsMax = kMaxItemKinds;

// Terms of the reward; each weight multiplies what happened since the last observation.
struct RewardWeights {
  float alive;         // per second of game time
  float kill;          // per enemy
  float xp;            // per point of experience
  float gold;          // per gold
  float level;         // per level gained
  float damage_dealt;  // per point
  float damage_taken;  // per point, usually negative
  float heal;          // per point
  float boss;          // per boss killed
  float chest;         // per chest or shrine
  float death;         // once, usually negative
  float victory;       // once
};

struct LevelSpec {
  uint32_t version;  // kSpecVersion
  uint32_t bytes;    // sizeof(LevelSpec)
  // What is played
  uint8_t tier;          // 1..3
  uint8_t character;     // index
  uint8_t start_screen;  // Screen: kPlaying or kMainMenu
  uint8_t terminate_on_victory;
  uint8_t allow_pause;       // the pause widget can be selected while playing
  uint8_t menus;             // 0: level-ups and chests pick their first offer by themselves
  uint8_t sustain;           // 1: enemies that die are replaced at once, the player cannot die
  uint8_t truncate_on_time;  // the end of the duration: 1 truncates, 0 terminates
  // Time
  float duration;      // seconds of game time until time is up (kTimeUp)
  uint32_t max_ticks;  // ticks with menus until truncation, 0 for none
  float boss_at;       // seconds until the stage boss, negative for never
  // Enemies
  float spawn_rate;                 // factor on the director's budget
  float enemy_health;               // factor
  float enemy_damage;               // factor
  float enemy_speed;                // factor
  uint32_t max_enemies;             // <= kMaxEnemies
  uint32_t start_enemies;           // placed at the start
  float enemy_mix[kEnemyKindsMax];  // weight of each kind on top of the content's; 0 removes it
  // Terrain
  float size;       // side of the playable square in metres, 32..128
  float relief;     // height of hills in metres
  float obstacles;  // fraction of cells that hold one, 0..0.3
  float ledges;     // 0..1, how much of the relief is steps
  uint32_t chests;
  uint32_t shrines;
  uint32_t terrain_seed;  // 0: from the run's seed
  // Offers
  float offer_mix_weapon[kWeaponKindsMax];  // 0 removes it from the offers
  float offer_mix_tome[kTomeKindsMax];
  float offer_mix_item[kItemKindsMax];
  uint8_t start_weapons[kLoadoutSlots];  // 1 + kind, 0 none; all zero: the character's own
  uint8_t start_weapon_level;
  uint8_t weapon_slots;  // 1..kLoadoutSlots
  uint8_t tome_slots;    // 1..kLoadoutSlots
  uint8_t offers_shown;  // 1..kMaxRolls
  float xp_rate;         // factor
  float gold_rate;       // factor
  // Time step as the agent sees it
  uint32_t skip_min;  // ticks per decision, drawn uniformly from [skip_min, skip_max]
  uint32_t skip_max;
  float drop_rate;  // chance that a frame is lost: the old observation is shown again
  RewardWeights reward;
};
static_assert(std::is_trivially_copyable_v<LevelSpec>);

// One field as it lies in the struct, with what Validate accepts in each of its elements.
struct SpecField {
  const char* name;   // as in C++: `duration`, `reward.kill`
  uint32_t offset;    // bytes
  uint32_t count;     // elements
  char type;          // 'B' uint8, 'I' uint32, 'f' float
  double low, high;   // inclusive
  const char* range;  // the same as a sentence
};

LevelSpec DefaultSpec();
Status Validate(const LevelSpec& spec);
// Every field but the padding, in the order of the struct.
std::span<const SpecField> SpecFields();

}  // namespace metabonk::arena
