// World -> GameState: what the arena says about itself in the records that every game shares.
// Changes nothing and knows no rule.
#include <algorithm>
#include <cstring>

#include "games/arena/content.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"

namespace metabonk::arena {

namespace {

// Writes `count` records and zeroes those that an earlier, longer list left behind.
template <typename T>
void SetCount(T* records, uint16_t* count, int now) {
  if (*count > now) {
    std::memset(static_cast<void*>(records + now), 0,
                sizeof(T) * static_cast<size_t>(*count - now));
  }
  *count = static_cast<uint16_t>(now);
}

void FillPlayer(const World& world, GameState* out) {
  const Player& player = world.player;
  out->position[0] = player.x;
  out->position[1] = player.y;
  out->position[2] = player.z;
  out->velocity[0] = player.vx;
  out->velocity[1] = player.vy;
  out->velocity[2] = player.vz;
  out->yaw = player.yaw;
  out->health = player.health;
  out->max_health = StatOf(player, Stat::kMaxHealth);
  out->shield = player.shield;
  out->xp = player.xp;
  out->xp_next = XpNeeded(player.level);
  out->gold = player.gold;
  out->level = player.level;
  out->grounded = player.grounded;
  out->character = static_cast<uint8_t>(player.character + 1);
  std::copy_n(player.weapons, kLoadoutSlots, out->weapons);
  std::copy_n(player.tomes, kLoadoutSlots, out->tomes);
}

// The square of the distance within which there is room for `most` enemies.
float Within(const World& world, int most) {
  const Enemies& enemies = world.enemies;
  float squares[kMaxEnemies];
  for (int i = 0; i < enemies.count; ++i) {
    const float dx = enemies.x[i] - world.player.x;
    const float dy = enemies.y[i] - world.player.y;
    squares[i] = dx * dx + dy * dy;
  }
  std::nth_element(squares, squares + most, squares + enemies.count);
  return squares[most];
}

Entity EnemyAsEntity(const Enemies& enemies, int i) {
  return {enemies.id[i],
          enemies.kind[i],
          enemies.flags[i],
          0,
          {enemies.x[i], enemies.y[i], enemies.z[i]},
          {enemies.vx[i], enemies.vy[i], enemies.vz[i]},
          enemies.health[i],
          enemies.max_health[i]};
}

// Bolts first: no crowd may hide them. Where both do not fit, the farthest enemies are left out.
void FillEntities(const World& world, GameState* out) {
  const Enemies& enemies = world.enemies;
  const Bolts& bolts = world.bolts;
  const int room = kMaxEntities - bolts.count;
  const int shown = std::min(enemies.count, room);
  SetCount(out->entities, &out->entity_count, bolts.count + shown);
  Entity* entity = out->entities;
  for (int i = 0; i < bolts.count; ++i) {
    *entity++ = {bolts.id[i],
                 bolts.kind[i],
                 kEntityProjectile,
                 0,
                 {bolts.x[i], bolts.y[i], bolts.z[i]},
                 {bolts.vx[i], bolts.vy[i], bolts.vz[i]},
                 1.0f,
                 1.0f};
  }
  if (shown == enemies.count) {
    for (int i = 0; i < shown; ++i) *entity++ = EnemyAsEntity(enemies, i);
    return;
  }
  const float within = Within(world, room);
  for (int i = 0; i < enemies.count; ++i) {
    const float dx = enemies.x[i] - world.player.x;
    const float dy = enemies.y[i] - world.player.y;
    if (dx * dx + dy * dy < within) *entity++ = EnemyAsEntity(enemies, i);
  }
  SetCount(out->entities, &out->entity_count, static_cast<int>(entity - out->entities));
}

Pickup StructureAsPickup(const Structures& structures, int i) {
  PickupKind kind = PickupKind::kPortal;
  float value = 0.0f;
  if (structures.kind[i] == static_cast<uint8_t>(StructureKind::kChest)) {
    kind = PickupKind::kChest;
    value = structures.price[i];
  } else if (structures.kind[i] == static_cast<uint8_t>(StructureKind::kShrine)) {
    kind = PickupKind::kShrine;
    value = structures.charge[i];
  }
  return {0xFFFFFF00u + structures.id[i],
          static_cast<uint8_t>(kind),
          {},
          {structures.x[i], structures.y[i], structures.z[i]},
          value};
}

// Structures first: there are few, and no number of orbs may hide them.
void FillPickups(const World& world, GameState* out) {
  const Structures& structures = world.structures;
  const Pickups& pickups = world.pickups;
  int count = 0;
  Pickup standing[kMaxStructures];
  for (int i = 0; i < structures.count; ++i) {
    if (structures.kind[i] == static_cast<uint8_t>(StructureKind::kNone)) continue;
    standing[count++] = StructureAsPickup(structures, i);
  }
  const int lying = std::min(pickups.count, kMaxPickups - count);
  SetCount(out->pickups, &out->pickup_count, count + lying);
  std::copy_n(standing, count, out->pickups);
  for (int i = 0; i < lying; ++i) {
    out->pickups[count + i] = {pickups.id[i],
                               pickups.kind[i],
                               {},
                               {pickups.x[i], pickups.y[i], pickups.z[i]},
                               pickups.value[i]};
  }
}

void FillMenus(const World& world, const Level& level, GameState* out) {
  std::memset(out->menu, 0, sizeof(out->menu));
  const char* name = MenuName(world.menus.screen);
  std::memcpy(out->menu, name, std::min(std::strlen(name), sizeof(out->menu) - 1));
  SetCount(out->offers, &out->offer_count, world.menus.roll_count);
  for (int i = 0; i < world.menus.roll_count; ++i) {
    out->offers[i] = {};
    DescribeOffer(world, world.menus.rolls[i], &out->offers[i]);
  }
  Widget widgets[kMaxWidgets];
  const int count = ListWidgets(world, level, widgets);
  SetCount(out->widgets, &out->widget_count, count);
  std::copy_n(widgets, count, out->widgets);
}

}  // namespace

double GameTime(const World& world) { return static_cast<double>(world.tick) / kTickHz; }

void FillGameState(const World& world, const Level& level, GameState* out) {
  out->fields = kHasEverything;
  out->time = GameTime(world);
  out->run_seed = world.run_seed;
  out->score = world.totals.score;
  out->kills = world.totals.kills;
  out->tier = world.tier;
  out->paused = world.menus.screen == Screen::kPause;
  out->playing = world.done == static_cast<uint8_t>(EpisodeEnd::kNo) &&
                 world.menus.screen != Screen::kMainMenu &&
                 world.menus.screen != Screen::kCharacterMenu &&
                 world.menus.screen != Screen::kMapMenu;
  out->reserved = 0;
  FillPlayer(world, out);
  FillEntities(world, out);
  FillPickups(world, out);
  FillMenus(world, level, out);
}

}  // namespace metabonk::arena
