// What stands in the arena: chests that cost gold, shrines that charge while one stands near, the
// portal that a dead boss leaves. Knows how they are used; what they offer is offers.cc's.
#include "games/arena/content.h"
#include "games/arena/enemies.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"

namespace metabonk::arena {

namespace {

int AddStructure(World& world, const Level& level, StructureKind kind, float x, float y) {
  Structures& structures = world.structures;
  if (structures.count >= kMaxStructures) return -1;
  const int i = structures.count++;
  structures.x[i] = x;
  structures.y[i] = y;
  structures.z[i] = GroundHeight(*level.terrain, x, y);
  structures.charge[i] = 0.0f;
  structures.price[i] = kind == StructureKind::kChest ? kDrop.chest_price : 0.0f;
  structures.id[i] = static_cast<uint32_t>(i + 1);
  structures.kind[i] = static_cast<uint8_t>(kind);
  return i;
}

bool FarFromOthers(const Structures& structures, float x, float y) {
  constexpr float kApart = 6.0f;
  for (int i = 0; i < structures.count; ++i) {
    if (Length(structures.x[i] - x, structures.y[i] - y) < kApart) return false;
  }
  return true;
}

void Place(World& world, const Level& level, StructureKind kind, uint32_t count) {
  constexpr int kTries = 12;
  const float center = level.terrain->size * 0.5f;
  for (uint32_t i = 0; i < count; ++i) {
    float x;
    float y;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      if (!FindPlace(world, level, center, center, 8.0f, center * 1.2f, false, &x, &y)) continue;
      if (!FarFromOthers(world.structures, x, y)) continue;
      AddStructure(world, level, kind, x, y);
      break;
    }
  }
}

void OpenChest(World& world, const Level& level, int index) {
  Structures& structures = world.structures;
  world.player.gold -= structures.price[index];
  structures.kind[index] = static_cast<uint8_t>(StructureKind::kNone);
  ++world.totals.chests;
  for (int i = 0; i < structures.count; ++i) structures.price[i] *= kDrop.chest_growth;
  OpenMenu(world, level, Screen::kChest);
}

void ChargeShrine(World& world, const Level& level, int index) {
  Structures& structures = world.structures;
  structures.charge[index] += kTickSeconds / kDrop.shrine_seconds;
  if (structures.charge[index] < 1.0f) return;
  structures.kind[index] = static_cast<uint8_t>(StructureKind::kNone);
  ++world.totals.shrines;
  OpenMenu(world, level, Screen::kChest);
}

void Win(World& world, const Level& level) {
  ++world.totals.victories;
  if (level.spec.terminate_on_victory) {
    world.done = static_cast<uint8_t>(EpisodeEnd::kWon);
  } else {  // the next lap: another boss after as long again
    Director& director = world.director;
    director.boss_spawned = director.boss_dead = 0;
    director.boss_timer = level.spec.boss_at;
    director.held = 0.0f;
  }
  OpenMenu(world, level, Screen::kVictory);
}

void StandInPortal(World& world, const Level& level, int index) {
  world.director.held += kTickSeconds;
  if (world.director.held < kWave.portal_seconds) return;
  world.structures.kind[index] = static_cast<uint8_t>(StructureKind::kNone);
  Win(world, level);
}

}  // namespace

void PlaceStructures(World& world, const Level& level) {
  Place(world, level, StructureKind::kChest, level.spec.chests);
  Place(world, level, StructureKind::kShrine, level.spec.shrines);
}

void OpenPortal(World& world, const Level& level, float x, float y) {
  float at_x = x;
  float at_y = y;
  if (Blocked(*level.terrain, x, y, kBody.radius)) {
    FindPlace(world, level, world.player.x, world.player.y, 2.0f, 8.0f, false, &at_x, &at_y);
  }
  for (int i = 0; i < world.structures.count; ++i) {  // the place of one that is used up
    if (world.structures.kind[i] != static_cast<uint8_t>(StructureKind::kNone)) continue;
    const int count = world.structures.count;
    world.structures.count = i;
    AddStructure(world, level, StructureKind::kPortal, at_x, at_y);
    world.structures.count = count;
    return;
  }
  AddStructure(world, level, StructureKind::kPortal, at_x, at_y);
}

void UseStructures(World& world, const Level& level, const Action& action) {
  Structures& structures = world.structures;
  const Player& player = world.player;
  for (int i = 0; i < structures.count; ++i) {
    const float away = Length(structures.x[i] - player.x, structures.y[i] - player.y);
    if (away > kDrop.shrine_reach) continue;
    switch (static_cast<StructureKind>(structures.kind[i])) {
      case StructureKind::kChest:
        if (away < kDrop.use_reach && action.interact >= 0.5f &&
            player.gold >= structures.price[i]) {
          OpenChest(world, level, i);
          return;
        }
        break;
      case StructureKind::kShrine:
        ChargeShrine(world, level, i);
        if (world.menus.screen != Screen::kPlaying) return;
        break;
      case StructureKind::kPortal:
        if (away < kDrop.use_reach) {
          StandInPortal(world, level, i);
          return;
        }
        break;
      case StructureKind::kNone:
        break;
    }
  }
}

}  // namespace metabonk::arena
