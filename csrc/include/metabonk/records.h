// The records that every source of experience shares: what a game says (GameState) and what an
// agent does (Action). Plain data of fixed size: arena, BonkLink and shared memory all fill the
// same structs, and observations are a pure function of them (observe.h). The numpy mirrors are in
// metabonk/records.py; a test compares every offset.
//
// World frame: metres and seconds, x east, y north, z up, yaw counter-clockwise from east in
// radians. Screen frame: 0..1 from the top left.
#pragma once

#include <cstddef>
#include <cstdint>

namespace metabonk {

inline constexpr int kMaxEntities = 256;
inline constexpr int kMaxPickups = 128;
inline constexpr int kMaxWidgets = 32;
inline constexpr int kMaxOffers = 8;
inline constexpr int kMaxStatChanges = 4;
inline constexpr int kLoadoutSlots = 8;
inline constexpr int kTextBytes = 48;  // UTF-8, zero-padded, always zero-terminated

// Which groups of fields a transport carried; what it could not carry is zero and masked.
enum FieldGroup : uint32_t {
  kHasPlayer = 1u << 0,        // position, velocity, health, max_health, time, playing, paused
  kHasYaw = 1u << 1,           // yaw, grounded
  kHasProgress = 1u << 2,      // shield, xp, xp_next, level, gold, kills, score
  kHasEntities = 1u << 3,      // id, position, health
  kHasEntityDetail = 1u << 4,  // kind, flags, velocity, max_health
  kHasPickups = 1u << 5,
  kHasMenu = 1u << 6,         // the menu's name
  kHasWidgets = 1u << 7,      // widgets with rectangles
  kHasOffers = 1u << 8,       // offer texts
  kHasOfferDetail = 1u << 9,  // kind, rarity, item, level, stat changes
  kHasRun = 1u << 10,         // run_seed, tier, character
  kHasLoadout = 1u << 11,
  kHasEverything = (1u << 12) - 1,
};

enum EntityFlag : uint8_t { kEntityBoss = 1, kEntityElite = 2, kEntityProjectile = 4 };

struct Entity {
  uint32_t id;  // stable while the entity lives, never reused within a run
  uint8_t kind;
  uint8_t flags;  // EntityFlag
  uint16_t reserved;
  float position[3];
  float velocity[3];
  float health;
  float max_health;
};
static_assert(sizeof(Entity) == 40);

enum class PickupKind : uint8_t { kXp, kGold, kHeal, kMagnet, kChest, kShrine, kPortal, kCount };

struct Pickup {
  uint32_t id;
  uint8_t kind;  // PickupKind
  uint8_t reserved[3];
  float position[3];
  float value;  // xp, gold or health it gives; charge 0..1 of a shrine
};
static_assert(sizeof(Pickup) == 24);

// One thing on the screen that can be selected, in reading order: choice i + 1 selects widgets[i].
struct Widget {
  float x0, y0, x1, y1;  // rectangle on the screen, 0..1 from the top left
  uint8_t enabled;
  uint8_t offer;  // 1 + index of the offer it selects, 0 for none
  uint8_t reserved[2];
  char text[kTextBytes];
};
static_assert(sizeof(Widget) == 68);

enum class OfferKind : uint8_t { kWeapon, kTome, kItem, kReward, kCount };

struct StatChange {
  uint8_t stat;      // index into the content file's list of stats
  uint8_t multiply;  // 0: amount is added, 1: the stat is multiplied by 1 + amount
  uint16_t reserved;
  float amount;
};
static_assert(sizeof(StatChange) == 8);

struct Offer {
  uint8_t kind;    // OfferKind
  uint8_t rarity;  // 0 common, 1 uncommon, 2 rare, 3 epic, 4 legendary
  uint8_t item;    // index within its kind
  uint8_t level;   // the level it would reach, 1 for something new
  uint8_t change_count;
  uint8_t reserved[3];
  StatChange changes[kMaxStatChanges];
  char text[kTextBytes];
};
static_assert(sizeof(Offer) == 88);

struct Slot {
  uint8_t kind;  // 1 + index within its kind, 0 for an empty slot
  uint8_t level;
};

struct GameState {
  uint32_t fields;  // FieldGroup bits
  float dt;         // seconds of game time since the last observation
  double time;      // seconds of game time since the run began
  uint64_t run_seed;
  float position[3];
  float velocity[3];
  float yaw;
  float health;
  float max_health;
  float shield;
  float xp;
  float xp_next;  // xp at which the next level is reached
  float gold;
  float score;
  uint32_t kills;
  uint16_t level;
  uint8_t grounded;
  uint8_t playing;  // 0 in menus before and after a run
  uint8_t paused;
  uint8_t tier;       // 1..3, 0 unknown
  uint8_t character;  // 1 + index, 0 unknown
  uint8_t reserved;
  uint16_t entity_count;
  uint16_t pickup_count;
  uint16_t widget_count;
  uint16_t offer_count;
  Slot weapons[kLoadoutSlots];
  Slot tomes[kLoadoutSlots];
  char menu[kTextBytes];  // "None" while playing
  Entity entities[kMaxEntities];
  Pickup pickups[kMaxPickups];
  Widget widgets[kMaxWidgets];
  Offer offers[kMaxOffers];
};

// What an agent does for one decision. As a flat row of kActionColumns floats, in this order, it
// is what batches, recordings and the wire carry.
struct Action {
  float move[2];  // x right, y forward in the camera's frame, length clamped to 1
  float look[2];  // turning rate, -1..1 of the fastest turn; y is up
  float jump;     // the five buttons are pressed at >= 0.5
  float slide;
  float interact;
  float fire;
  float ability;
  float choice;    // 0 none, 1..32 the selectable widgets in reading order
  float click[2];  // screen position 0..1 from the top left; negative: no click
};
inline constexpr int kActionColumns = 12;
static_assert(sizeof(Action) == kActionColumns * sizeof(float));

inline constexpr int kButtons = 5;
inline constexpr int kChoices = 1 + kMaxWidgets;

}  // namespace metabonk
