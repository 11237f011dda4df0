// The arena's numbers, from content.toml: what kinds there are and what each does. Indices into
// these tables are what records, level specifications and replays carry. Knows no rules.
//
// Members have the names of the keys in content.toml; embed_content.py writes the tables. Units
// are metres, seconds and points unless a comment says otherwise.
#pragma once

#include <cstdint>

#include "games/arena/spec.h"
#include "games/arena/state.h"
#include "metabonk/records.h"

namespace metabonk::arena {

struct StatDef {
  const char* id;
  const char* name;
  const char* unit;
  float base;  // what a character has unless its section says otherwise
  float low;   // bounds that no sum of changes passes
  float high;
};

struct RarityDef {
  const char* id;
  const char* name;
  float weight;           // chance relative to the others at luck 0
  float luck;             // the weight grows by this factor per point of luck: weight (1 + luck L)
  float scale;            // factor on the amounts of an offer
  uint8_t weapon_levels;  // levels that a weapon gains at once
  uint8_t color[3];       // RGB
};

// What a character's ability button does: some things at once, stat changes for a while.
struct AbilityDef {
  const char* id;
  const char* name;
  const char* text;
  float cooldown;      // seconds from one start to the next possible one
  float seconds;       // how long the changes last
  float heal;          // fraction of max health
  float invulnerable;  // seconds
  float dash;          // metres a second along the move, or forwards
  float blast_damage;  // to every enemy within `blast`
  float blast;         // metres, 0: none
  float knockback;     // metres a second, of the blast
  uint8_t change_count;
  StatChange changes[kMaxStatChanges];
};

struct CharacterDef {
  const char* id;
  const char* name;
  const char* text;
  uint8_t weapon;  // what it starts with
  uint8_t ability;
  uint8_t change_count;
  StatChange changes[kMaxStatChanges * 2];  // on the stats' bases
  uint8_t color[3];
};

struct TomeDef {
  const char* id;
  const char* name;
  float weight;  // in the offers
  uint8_t max_level;
  uint8_t change_count;
  StatChange changes[kMaxStatChanges];  // a level; rarity scales it
  uint8_t color[3];
};

struct ItemDef {
  const char* id;
  const char* name;
  float weight;
  uint8_t rarity;
  uint8_t max_count;
  uint8_t change_count;
  StatChange changes[kMaxStatChanges];  // each one held
  uint8_t color[3];
};

// What is offered where nothing else is left to offer; the rarity scales it.
struct RewardDef {
  const char* id;
  const char* name;
  float heal;  // fraction of max health
  float gold;
  uint8_t color[3];
};

struct OffersDef {
  const char* id;
  uint8_t refreshes;  // of a run
  uint8_t skips;
  uint8_t banishes;
  float skip_gold;     // what skipping gives
  float owned_weight;  // factor on the weight of what is owned already
};

// How a weapon attacks; weapons.cc has one rule for each.
enum class Pattern : uint8_t {
  kArc,        // strikes everything in a sector in front
  kArrow,      // straight shots at the nearest enemies
  kFireball,   // slow shot that bursts
  kChain,      // strikes the nearest enemy and jumps on to its neighbours
  kAura,       // strikes everything near the player
  kOrbit,      // blades that circle the player
  kBoomerang,  // flies out and returns, hits on both ways
  kMine,       // lies on the ground until touched, then bursts
  kSpread,     // a fan of short shots
  kNova,       // a ring that strikes and slows
  kCount,
};

struct WeaponDef {
  const char* id;
  const char* name;
  const char* text;
  Pattern pattern;
  uint8_t max_level;
  float weight;           // in the offers
  float damage;           // points a hit at level 1
  float damage_growth;    // added each level
  float cooldown;         // seconds between attacks at level 1
  float cooldown_growth;  // factor on the cooldown each level
  uint8_t count;          // projectiles, jumps or blades at level 1
  uint8_t count_every;    // one more each so many levels, 0: never
  uint8_t pierce;         // enemies a shot can hit
  uint8_t pierce_every;   // one more each so many levels, 0: never
  float reach;            // how far it looks for enemies or strikes
  float reach_growth;     // added each level
  float speed;            // of its shots
  float radius;           // of its shots
  float life;             // seconds its shots last
  float blast;            // radius of the burst, 0: none
  float blast_growth;     // added each level
  float spread;           // radians between neighbouring shots; half angle of an arc
  float knockback;        // metres a second it pushes
  float slow;             // seconds it slows
  uint8_t color[3];
};

// How an enemy behaves; enemies.cc has one rule for each.
enum class Behavior : uint8_t {
  kChase,     // straight at the player
  kSwarm,     // flies in weaving curves
  kPack,      // surrounds, then leaps
  kArcher,    // keeps its distance and shoots ahead of the player
  kMage,      // keeps its distance and casts homing orbs
  kBomber,    // runs in, lights its fuse, bursts
  kCharger,   // stops, aims, dashes straight
  kBlinker,   // vanishes and reappears behind the player
  kShaman,    // stays behind the others and heals them
  kSplitter,  // bursts into smaller ones when killed
  kGolem,     // boss: slams the ground, charges
  kQueen,     // boss: rings of bolts, calls spiders
  kLich,      // boss: blinks, homing volleys, rings
  kCount,
};

struct EnemyDef {
  const char* id;
  const char* name;
  Behavior behavior;
  uint8_t from_tier;  // first tier that has it
  uint8_t from_wave;  // first wave that has it
  uint8_t group;      // how many come together
  uint8_t flying;     // 1: over obstacles and water
  float weight;       // chance relative to the others, 0: never by itself
  float cost;         // of the director's budget
  float health;
  float speed;         // metres a second
  float acceleration;  // metres a second a second
  float damage;        // by touch
  float radius;
  float height;  // of the body, for the view and for jumping over it
  float hover;   // above ground
  float knock;   // factor on being pushed
  float range;   // distance it keeps, or from which it acts
  float windup;  // seconds of telegraph before it acts
  float period;  // seconds between acts
  float power;   // damage of its act (bolt, burst, dash), or health it restores
  float bolt_speed;
  float bolt_radius;
  float bolt_life;
  float xp;
  float gold;
  float score;
  uint8_t color[3];
};

struct TierDef {
  const char* id;
  const char* name;
  uint8_t enemy;  // its stage boss
  float health;   // factors on enemies
  float damage;
  float speed;
  float spawn;   // factor on the director's budget
  float reward;  // factor on xp and gold
  float elite;   // chance that a spawned enemy is elite, added to with every wave
  float score;   // factor
};

struct WaveDef {
  const char* id;
  float seconds;        // length of a wave
  float budget;         // points a second in the first wave
  float budget_growth;  // added each wave
  float rush;           // budget at once when a wave begins, times its number
  float health_growth;  // factor on health each wave, added: 1 + growth * wave
  float damage_growth;
  float elite_growth;  // added to the chance of elites each wave
  float elite_health;  // factors for elites
  float elite_damage;
  float elite_size;
  float elite_reward;
  float near;  // distance at which enemies appear
  float far;
  float leash;           // farther than this an enemy is put down again near the player
  float portal_seconds;  // of standing in the portal
};

struct BodyDef {
  const char* id;
  float radius;
  float height;
  float speed;         // of walking
  float acceleration;  // on the ground
  float air_acceleration;
  float gravity;
  float jump_speed;
  float step;   // height that can be walked up in one tick
  float steep;  // rise per metre from which a slope cannot be climbed
  float slide_speed;
  float slide_seconds;
  float slide_cooldown;
  float slide_friction;  // metres a second lost each second of sliding on flat ground
  float turn_rate;       // radians a second at full look
  float knock;           // metres a second when hurt
  float invulnerable;    // seconds after a hit
  float shield_delay;    // seconds without damage until the shield refills
  float shield_rate;     // fraction of it a second
  uint8_t air_jumps;     // before it must land again
  float air_jump;        // factor on the jump's speed in the air
  float sand_speed;      // factor on speed
  float snow_grip;       // factor on acceleration
  float steep_grip;      // acceleration where it is too steep to stand
};

struct DropDef {
  const char* id;
  float heart;  // chance per kill
  float heart_value;
  float magnet;  // chance per kill
  float boss_hearts;
  float chest_price;     // gold of the first chest
  float chest_growth;    // factor each chest
  float shrine_seconds;  // of standing near one to charge it
  float shrine_reach;
  float use_reach;     // how near a chest or portal must be
  float homing_speed;  // of orbs that fly to the player
  float xp_first;      // xp for level 2
  float xp_growth;     // factor on the need each level
  float xp_step;       // added to the need each level
};

#include "games/arena/content_tables.inc"

static_assert(kStatCount == kStats);
static_assert(kEnemyCount <= kEnemyKindsMax);
static_assert(kWeaponCount <= kWeaponKindsMax);
static_assert(kTomeCount <= kTomeKindsMax);
static_assert(kItemCount <= kItemKindsMax);
static_assert(kCharacterCount >= 1 && kTierCount == 3 && kRarityCount == 5 && kRewardCount >= 1);

}  // namespace metabonk::arena
