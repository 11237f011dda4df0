#include "games/arena/render_scene.h"

#include <algorithm>

#include "games/arena/render_collector.h"
#include "games/arena/render_ground.h"
#include "games/arena/render_items.h"
#include "games/arena/shots.h"
#include "games/arena/steering.h"

namespace metabonk::arena {

namespace {

constexpr float kObstacleFar = 46.0f;  // metres
constexpr float kPlainObstacleFar = 34.0f;
constexpr float kTallestObstacle = 3.2f;
constexpr float kLabelReach = 7.0f;  // from which a chest shows its price

// How a kind of enemy looks; phases are bits.
struct Look {
  float side;   // metres
  float lift;   // above the ground
  int alarm;    // phases in which it shows that it is about to strike
  int pale;     // phases in which it cannot be hit
  bool splits;  // small in its later phases
};

constexpr int AlarmPhases(Behavior behavior) {
  switch (behavior) {
    case Behavior::kPack:
    case Behavior::kArcher:
    case Behavior::kMage:
    case Behavior::kBomber:
    case Behavior::kCharger:
    case Behavior::kShaman:
      return 1 << 1;
    case Behavior::kGolem:
      return 1 << kSlam | 1 << kWindup;
    case Behavior::kQueen:
    case Behavior::kLich:
      return 1 << kRing | 1 << kSummon | 1 << kVolley;
    default:
      return 0;
  }
}

struct Looks {
  Look of[kEnemyCount] = {};
};

constexpr Looks kLooks = [] {
  Looks looks;
  for (int kind = 0; kind < kEnemyCount; ++kind) {
    const EnemyDef& def = kEnemyDefs[kind];
    Look& look = looks.of[kind];
    look.side = 0.4f + 1.2f * std::max(def.height, 2.0f * def.radius);
    look.lift = def.hover;
    look.alarm = AlarmPhases(def.behavior);
    look.pale = def.behavior == Behavior::kBlinker ? 1 << kFade
                : def.behavior == Behavior::kLich  ? 1 << kBlink
                                                   : 0;
    look.splits = def.behavior == Behavior::kSplitter;
  }
  return looks;
}();

// Parts of 255, one more so that an empty bar is still a bar.
uint16_t BarOf(float value, float most) {
  return static_cast<uint16_t>(1.0f + 254.0f * std::clamp(value / most, 0.0f, 1.0f));
}

void AddEnemies(const World& world, Collector* out) {
  const Enemies& enemies = world.enemies;
  const Camera& camera = out->camera();
  const int least = out->plain() ? 3 : 4;
  const int blink = (world.tick >> 2 & 1) ? ~0 : 0;
  out->Each(enemies.x, enemies.y, enemies.count, kFarDepth, [&](int i) {
    const int kind = std::min<int>(enemies.kind[i], kEnemyCount - 1);
    const Look& look = kLooks.of[kind];
    const int phase = 1 << (enemies.phase[i] & 31);
    const bool elite = (enemies.flags[i] & kEntityElite) != 0;
    float side = elite ? look.side * kWave.elite_size : look.side;
    if (look.splits && enemies.phase[i] >= kSmall) side *= 0.65f;
    const float hop = out->plain() ? 0.0f : out->Bob(enemies.id[i] * 5, 0.07f * side);
    Item* item = out->Add(kSpriteEnemy + kind, enemies.z[i] + hop, look.lift, side, least);
    if (!item) return;
    // Sprites look to their left; those that run to the right of the screen are mirrored.
    const float across = enemies.vx[i] * camera.right_x + enemies.vy[i] * camera.right_y;
    item->flags = static_cast<uint8_t>(
        kItemShadow | (across > 0.0f ? kItemFlip : 0) | (enemies.flash[i] > 4 ? kItemFlash : 0) |
        (elite ? kItemElite : 0) | (look.pale & phase ? kItemGhost : 0) |
        (look.alarm & phase & blink ? kItemAlarm : 0));
    const bool barred = (enemies.flags[i] & (kEntityElite | kEntityBoss)) != 0;
    if (barred && enemies.health[i] < enemies.max_health[i]) {
      item->extra = BarOf(enemies.health[i], enemies.max_health[i]);
    }
  });
}

void AddShots(const World& world, Collector* out) {
  const Shots& shots = world.shots;
  const bool plain = out->plain();
  const int flip = (world.tick >> 2 & 1) ? kItemFlip : 0;
  out->Each(shots.x, shots.y, shots.count, kFarDepth, [&](int i) {
    if (shots.state[i] == kShotMark) return;
    const WeaponDef& def = kWeaponDefs[std::min<int>(shots.weapon[i], kWeaponCount - 1)];
    const float z = shots.z[i];
    int sprite = kSpriteSpark;
    switch (def.pattern) {
      case Pattern::kArrow:
      case Pattern::kSpread:
        out->AddStreak(shots.x[i], shots.y[i], plain ? kShotHeight : z, shots.vx[i], shots.vy[i],
                       plain ? 0.0f : shots.vz[i], def.color);
        return;
      case Pattern::kFireball:
        sprite = kSpriteFireball;
        break;
      case Pattern::kOrbit:
        sprite = kSpriteBlade;
        break;
      case Pattern::kBoomerang:
        sprite = kSpriteBoomerang;
        break;
      case Pattern::kMine:
        sprite = kSpriteMine;
        break;
      default:
        break;
    }
    const float side = std::max(0.7f, 2.4f * shots.radius[i]);
    const bool lies = def.pattern == Pattern::kMine;
    Item* item =
        out->Add(sprite, lies ? z : z - 0.5f * side, lies ? 0.0f : 0.4f, side, plain ? 2 : 4);
    if (item) item->flags = static_cast<uint8_t>(lies ? 0 : flip);
  });
}

void AddBolts(const World& world, Collector* out) {
  constexpr uint8_t kArrowColour[3] = {255, 236, 190};
  const Bolts& bolts = world.bolts;
  const bool plain = out->plain();
  out->Each(bolts.x, bolts.y, bolts.count, kFarDepth, [&](int i) {
    const EnemyDef& def = kEnemyDefs[std::min<int>(bolts.kind[i], kEnemyCount - 1)];
    const float side = std::max(0.6f, 2.6f * bolts.radius[i]);
    if (def.behavior == Behavior::kArcher) {
      out->AddStreak(bolts.x[i], bolts.y[i], plain ? 0.8f : bolts.z[i], bolts.vx[i], bolts.vy[i],
                     plain ? 0.0f : bolts.vz[i], kArrowColour);
      if (!plain) return;  // plain frames need more pixels of it than a line has
    }
    const bool fire = def.behavior == Behavior::kGolem || def.behavior == Behavior::kBomber;
    out->Add(fire ? kSpriteFireball : kSpriteOrb, bolts.z[i] - 0.5f * side, 0.5f, side,
             plain ? 3 : 5);
  });
}

int PickupSprite(PickupKind kind) {
  switch (kind) {
    case PickupKind::kGold:
      return kSpriteGold;
    case PickupKind::kHeal:
      return kSpriteHeal;
    case PickupKind::kMagnet:
      return kSpriteMagnet;
    default:
      return kSpriteXp;
  }
}

void AddPickups(const World& world, Collector* out) {
  const Pickups& pickups = world.pickups;
  out->Each(pickups.x, pickups.y, pickups.count, kFarDepth, [&](int i) {
    const int sprite = PickupSprite(static_cast<PickupKind>(pickups.kind[i]));
    float side = sprite == kSpriteXp || sprite == kSpriteGold ? 0.5f : 0.85f;
    if (sprite == kSpriteXp) side += std::clamp(0.05f * pickups.value[i], 0.0f, 0.4f);
    const float bob = out->plain() ? 0.0f : out->Bob(pickups.id[i], 0.16f);
    Item* item = out->Add(sprite, pickups.z[i] + bob, 0.1f, side, 4);
    if (item) item->flags = kItemShadow;
  });
}

void AddStructures(const World& world, Collector* out) {
  const Structures& all = world.structures;
  out->Each(all.x, all.y, all.count, kFarDepth, [&](int i) {
    const StructureKind kind = static_cast<StructureKind>(all.kind[i]);
    if (kind == StructureKind::kNone) return;
    const bool chest = kind == StructureKind::kChest;
    const bool shrine = kind == StructureKind::kShrine;
    const int sprite = chest ? kSpriteChest : shrine ? kSpriteShrine : kSpritePortal;
    const float side = chest ? 1.4f : shrine ? 2.4f : 3.4f;
    Item* item = out->Add(sprite, all.z[i], 0.0f, side, out->plain() ? 4 : 6);
    if (!item) return;
    item->flags = kItemShadow;
    const float dx = all.x[i] - world.player.x, dy = all.y[i] - world.player.y;
    const bool near = dx * dx + dy * dy < kLabelReach * kLabelReach;
    if (chest && near) item->extra = static_cast<uint16_t>(std::clamp(all.price[i], 0.0f, 6e4f));
    if (shrine && all.charge[i] > 0.0f) item->extra = BarOf(all.charge[i], 1.0f);
  });
}

void AddObstacles(const TerrainMap& map, Collector* out) {
  const float far = out->plain() ? kPlainObstacleFar : kObstacleFar;
  const int count = static_cast<int>(map.obstacles.size());
  out->Each(map.obstacle_x.data(), map.obstacle_y.data(), count, far, [&](int i) {
    const MapObstacle& thing = map.obstacles[static_cast<size_t>(i)];
    const float side = std::min(thing.height, kTallestObstacle) + 0.2f;
    Item* item = out->Add(thing.sprite, thing.z, 0.0f, side, 2);
    if (!item) return;
    item->flags = static_cast<uint8_t>(kItemObstacle | kItemShadow | (thing.flip ? kItemFlip : 0));
  });
}

// Returns the box on the screen that the player fills.
Box AddPlayer(const World& world, Collector* out) {
  const Player& player = world.player;
  const Camera& camera = out->camera();
  const float lift = std::clamp(out->Lift(player.x, player.y, player.z), 0.0f, 6.0f);
  const float speed2 = player.vx * player.vx + player.vy * player.vy;
  const float stride = speed2 > 1.0f && player.grounded ? out->Bob(0, 0.12f) : 0.0f;
  const float height = player.slide_time > 0.0f ? 1.5f : 2.15f;
  Box box = {0, 0, 0, 0};
  out->Each(&player.x, &player.y, 1, kFarDepth, [&](int) {
    Item* item = out->Add(CharacterSprite(player.character), player.z + stride, lift, height,
                          out->plain() ? 6 : 8);
    if (!item) return;
    const float across = player.vx * camera.right_x + player.vy * camera.right_y;
    const bool hurt = player.invulnerable > 0.0f && (world.tick >> 2 & 1);
    item->flags = static_cast<uint8_t>(kItemPlayer | kItemShadow | (across < 0.0f ? kItemFlip : 0) |
                                       (hurt ? kItemFlash : 0) |
                                       (player.ability_time > 0.0f ? kItemElite : 0));
    const int half = item->side / 2;
    box = {item->x - half, item->y - item->side, item->x + half, item->y};
  });
  return box;
}

}  // namespace

void DrawScene(const World& world, const Level& level, const Camera& camera, const TerrainMap& map,
               const Canvas& canvas) {
  DrawStrikes(world, *level.terrain, camera, canvas);
  ItemList list;
  Collector collector(world, *level.terrain, camera, canvas, &list);
  const Box player = AddPlayer(world, &collector);  // first: the drawing knows it by its place
  AddEnemies(world, &collector);
  AddStructures(world, &collector);
  AddShots(world, &collector);
  AddBolts(world, &collector);
  AddPickups(world, &collector);
  AddObstacles(map, &collector);
  if (camera.plain) {
    DrawPlainItems(list, player, canvas);
  } else {
    DrawDetailedItems(list, player, SceneryOf(map.tier).haze, canvas);
  }
}

}  // namespace metabonk::arena
