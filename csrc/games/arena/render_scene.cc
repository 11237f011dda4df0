#include "games/arena/render_scene.h"

#include <algorithm>

#include "games/arena/render_items.h"
#include "games/arena/shots.h"
#include "games/arena/steering.h"

namespace metabonk::arena {

namespace {

constexpr float kObstacleFar = 46.0f;  // metres
constexpr float kPlainObstacleFar = 34.0f;
constexpr float kTallestObstacle = 3.2f;
constexpr float kLabelReach = 7.0f;  // from which a chest shows its price

// Collects items of one frame.
class Collector {
 public:
  Collector(const World& world, const Level& level, const Camera& camera, const Canvas& canvas,
            ItemList* list)
      : world_(world), terrain_(*level.terrain), camera_(camera), canvas_(canvas), list_(list) {}

  // A thing of `height` metres whose foot is at (x, y), `lift` metres above `z` when that is the
  // ground. Returns null where it is out of sight.
  Item* Add(int sprite, float x, float y, float z, float lift, float height, int least) {
    float depth, sx, sy;
    const float base = camera_.plain ? lift : z;
    if (list_->count >= kMaxItems || !ProjectPoint(camera_, x, y, base, &depth, &sx, &sy) ||
        depth >= kFarDepth) {
      return nullptr;
    }
    const float scale = camera_.focal / depth;
    const float side = std::max(height * scale, static_cast<float>(least));
    const float half = 0.5f * side + 1.0f;
    if (sx < -half || sx > static_cast<float>(canvas_.width) + half || sy < 0.0f ||
        sy - side > static_cast<float>(canvas_.height)) {
      return nullptr;
    }
    Item* item = &list_->items[list_->count++];
    *item = {static_cast<int16_t>(sx),
             static_cast<int16_t>(sy + 0.5f),
             0,
             0,
             static_cast<uint16_t>(side + 0.5f),
             static_cast<uint16_t>(depth * kDepthUnits),
             static_cast<uint8_t>(sprite),
             0,
             0};
    return item;
  }

  // A line behind something fast.
  void AddStreak(float x, float y, float z, float vx, float vy, float vz, const uint8_t colour[3]) {
    constexpr float kTrail = 0.07f;  // seconds
    float depth, sx, sy, tail_depth, tail_x, tail_y;
    if (list_->count >= kMaxItems) return;
    if (!ProjectPoint(camera_, x, y, z, &depth, &sx, &sy) ||
        !ProjectPoint(camera_, x - vx * kTrail, y - vy * kTrail, z - vz * kTrail, &tail_depth,
                      &tail_x, &tail_y)) {
      return;
    }
    const float w = static_cast<float>(canvas_.width), h = static_cast<float>(canvas_.height);
    if (sx < -w || sx > 2 * w || sy < -h || sy > 2 * h || depth > kFarDepth) return;
    const uint16_t packed =
        static_cast<uint16_t>((colour[0] >> 3) << 11 | (colour[1] >> 2) << 5 | colour[2] >> 3);
    list_->items[list_->count++] = {
        static_cast<int16_t>(sx),
        static_cast<int16_t>(sy),
        static_cast<int16_t>(std::clamp(tail_x - sx, -w, w)),
        static_cast<int16_t>(std::clamp(tail_y - sy, -h, h)),
        static_cast<uint16_t>(std::max(1.0f, 0.16f * camera_.focal / depth + 0.5f)),
        static_cast<uint16_t>(depth * kDepthUnits),
        kStreakSprite,
        0,
        packed};
  }

  float Lift(float x, float y, float z) const { return z - GroundHeight(terrain_, x, y); }
  // Up and down, `height` metres, each thing at its own time.
  float Bob(uint32_t salt, float height) const {
    const int phase = static_cast<int>((world_.tick + salt * 7) & 63);
    return height * static_cast<float>(phase < 32 ? phase : 64 - phase) * (1.0f / 32.0f);
  }
  void DropLast() { --list_->count; }
  bool plain() const { return camera_.plain; }

 private:
  const World& world_;
  const Terrain& terrain_;
  const Camera& camera_;
  const Canvas& canvas_;
  ItemList* list_;
};

// Whether the enemy shows that it is about to strike.
bool IsAlarm(Behavior behavior, int phase) {
  switch (behavior) {
    case Behavior::kPack:
    case Behavior::kArcher:
    case Behavior::kMage:
    case Behavior::kBomber:
    case Behavior::kCharger:
    case Behavior::kShaman:
      return phase == 1;
    case Behavior::kGolem:
      return phase == kSlam || phase == kWindup;
    case Behavior::kQueen:
    case Behavior::kLich:
      return phase != kRoam && phase != kBlink;
    default:
      return false;
  }
}

float EnemyScale(Behavior behavior, int phase, int flags) {
  float size = (flags & kEntityElite) ? kWave.elite_size : 1.0f;
  if (behavior == Behavior::kSplitter && phase >= kSmall) size *= 0.65f;
  return size;
}

void AddEnemies(const World& world, const Camera& camera, Collector* out) {
  const Enemies& enemies = world.enemies;
  const int least = out->plain() ? 3 : 4;
  const bool blink = (world.tick >> 2 & 1) != 0;
  for (int i = 0; i < enemies.count; ++i) {
    const int kind = std::min<int>(enemies.kind[i], kEnemyCount - 1);
    const EnemyDef& def = kEnemyDefs[kind];
    const int phase = enemies.phase[i];
    const float body = 0.4f + 1.2f * std::max(def.height, 2.0f * def.radius);
    const float size = body * EnemyScale(def.behavior, phase, enemies.flags[i]);
    const float hop = out->plain() ? 0.0f : out->Bob(enemies.id[i] * 5, 0.07f * size);
    Item* item = out->Add(kSpriteEnemy + kind, enemies.x[i], enemies.y[i], enemies.z[i] + hop,
                          def.hover, size, least);
    if (!item) continue;
    // Sprites look to their left; those that run to the right of the screen are mirrored.
    const float across = enemies.vx[i] * camera.right_x + enemies.vy[i] * camera.right_y;
    int flags = kItemShadow | (across > 0.0f ? kItemFlip : 0);
    if (enemies.flash[i] > 4) flags |= kItemFlash;
    if (enemies.flags[i] & kEntityElite) flags |= kItemElite;
    if (def.behavior == Behavior::kBlinker && phase == kFade) flags |= kItemGhost;
    if (def.behavior == Behavior::kLich && phase == kBlink) flags |= kItemGhost;
    if (blink && IsAlarm(def.behavior, phase)) flags |= kItemAlarm;
    item->flags = static_cast<uint8_t>(flags);
    const bool barred = (enemies.flags[i] & (kEntityElite | kEntityBoss)) != 0;
    if (barred && enemies.health[i] < enemies.max_health[i] && enemies.max_health[i] > 0.0f) {
      const float part = std::clamp(enemies.health[i] / enemies.max_health[i], 0.0f, 1.0f);
      item->extra = static_cast<uint16_t>(1.0f + 254.0f * part);
    }
  }
}

void AddShots(const World& world, Collector* out) {
  const Shots& shots = world.shots;
  const int least = out->plain() ? 2 : 4;
  for (int i = 0; i < shots.count; ++i) {
    if (shots.state[i] == kShotMark) continue;
    const WeaponDef& def = kWeaponDefs[std::min<int>(shots.weapon[i], kWeaponCount - 1)];
    const float x = shots.x[i], y = shots.y[i], z = shots.z[i];
    const float lift = out->plain() ? 0.8f : 0.0f;
    int sprite = kSpriteSpark;
    switch (def.pattern) {
      case Pattern::kArrow:
      case Pattern::kSpread:
        out->AddStreak(x, y, out->plain() ? lift : z, shots.vx[i], shots.vy[i],
                       out->plain() ? 0.0f : shots.vz[i], def.color);
        continue;
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
    const bool grounded = def.pattern == Pattern::kMine;
    Item* item =
        out->Add(sprite, x, y, grounded ? z : z - 0.5f * side, grounded ? 0.0f : 0.4f, side, least);
    if (item) item->flags = (world.tick >> 2 & 1) ? kItemFlip : 0;
  }
}

void AddBolts(const World& world, Collector* out) {
  const Bolts& bolts = world.bolts;
  const int least = out->plain() ? 3 : 5;
  for (int i = 0; i < bolts.count; ++i) {
    const EnemyDef& def = kEnemyDefs[std::min<int>(bolts.kind[i], kEnemyCount - 1)];
    const float x = bolts.x[i], y = bolts.y[i], z = bolts.z[i];
    if (def.behavior == Behavior::kArcher) {
      constexpr uint8_t kArrowColour[3] = {255, 236, 190};
      out->AddStreak(x, y, out->plain() ? 0.8f : z, bolts.vx[i], bolts.vy[i],
                     out->plain() ? 0.0f : bolts.vz[i], kArrowColour);
    }
    const float side = std::max(0.6f, 2.6f * bolts.radius[i]);
    const bool fire = def.behavior == Behavior::kGolem || def.behavior == Behavior::kBomber;
    if (def.behavior != Behavior::kArcher || out->plain()) {
      out->Add(fire ? kSpriteFireball : kSpriteOrb, x, y, z - 0.5f * side, 0.5f, side, least);
    }
  }
}

void AddPickups(const World& world, Collector* out) {
  const Pickups& pickups = world.pickups;
  for (int i = 0; i < pickups.count; ++i) {
    const PickupKind kind = static_cast<PickupKind>(pickups.kind[i]);
    const int sprite = kind == PickupKind::kGold     ? kSpriteGold
                       : kind == PickupKind::kHeal   ? kSpriteHeal
                       : kind == PickupKind::kMagnet ? kSpriteMagnet
                                                     : kSpriteXp;
    float side = sprite == kSpriteXp || sprite == kSpriteGold ? 0.5f : 0.85f;
    if (kind == PickupKind::kXp) side += std::min(0.05f * pickups.value[i], 0.4f);
    const float bob = out->Bob(pickups.id[i], 0.16f);
    Item* item = out->Add(sprite, pickups.x[i], pickups.y[i], pickups.z[i] + bob, 0.1f, side, 2);
    if (item) item->flags = kItemShadow;
  }
}

void AddStructures(const World& world, Collector* out) {
  const Structures& all = world.structures;
  const int least = out->plain() ? 4 : 6;
  for (int i = 0; i < all.count; ++i) {
    const StructureKind kind = static_cast<StructureKind>(all.kind[i]);
    if (kind == StructureKind::kNone) continue;
    const bool chest = kind == StructureKind::kChest;
    const bool shrine = kind == StructureKind::kShrine;
    const int sprite = chest ? kSpriteChest : shrine ? kSpriteShrine : kSpritePortal;
    const float side = chest ? 1.4f : shrine ? 2.4f : 3.4f;
    Item* item = out->Add(sprite, all.x[i], all.y[i], all.z[i], 0.0f, side, least);
    if (!item) continue;
    item->flags = kItemShadow;
    const float dx = all.x[i] - world.player.x, dy = all.y[i] - world.player.y;
    const bool near = dx * dx + dy * dy < kLabelReach * kLabelReach;
    if (chest && near) item->extra = static_cast<uint16_t>(std::min(all.price[i], 60000.0f));
    if (shrine && all.charge[i] > 0.0f) {
      item->extra = static_cast<uint16_t>(1.0f + 254.0f * std::clamp(all.charge[i], 0.0f, 1.0f));
    }
  }
}

void AddObstacles(const Camera& camera, const TerrainMap& map, Collector* out) {
  const float far = out->plain() ? kPlainObstacleFar : kObstacleFar;
  const float slope = camera.center_x / camera.focal;  // half width of the view per metre of depth
  for (int tile = 0; tile < kObstacleTiles * kObstacleTiles; ++tile) {
    const uint32_t first = map.tile_start[tile], last = map.tile_start[tile + 1];
    if (first == last) continue;
    const float x = (static_cast<float>(tile % kObstacleTiles) + 0.5f) * kObstacleTile;
    const float y = (static_cast<float>(tile / kObstacleTiles) + 0.5f) * kObstacleTile;
    const float dx = x - camera.eye_x, dy = y - camera.eye_y;
    const float depth = dx * camera.forward_x + dy * camera.forward_y;
    const float across = dx * camera.right_x + dy * camera.right_y;
    constexpr float kReach = 0.75f * kObstacleTile;  // more than half a diagonal
    if (depth < -kReach || depth > far + kReach ||
        (across < 0.0f ? -across : across) > (depth + kReach) * slope + kReach + 2.0f) {
      continue;
    }
    for (uint32_t i = first; i < last; ++i) {
      const MapObstacle& thing = map.obstacles[i];
      const float side = std::min(thing.height, kTallestObstacle) + 0.2f;
      Item* item = out->Add(thing.sprite, thing.x, thing.y, thing.z, 0.0f, side, 2);
      if (!item) continue;
      if (item->depth > far * kDepthUnits) {
        out->DropLast();
        continue;
      }
      item->flags =
          static_cast<uint8_t>(kItemObstacle | kItemShadow | (thing.flip ? kItemFlip : 0));
    }
  }
}

Box AddPlayer(const World& world, const Camera& camera, Collector* out) {
  const Player& player = world.player;
  const float lift = std::clamp(out->Lift(player.x, player.y, player.z), 0.0f, 6.0f);
  const bool sliding = player.slide_time > 0.0f;
  const float speed2 = player.vx * player.vx + player.vy * player.vy;
  const float stride = speed2 > 1.0f && player.grounded ? out->Bob(0, 0.12f) : 0.0f;
  Item* item = out->Add(CharacterSprite(player.character), player.x, player.y, player.z + stride,
                        lift, sliding ? 1.5f : 2.15f, out->plain() ? 6 : 8);
  if (!item) return {0, 0, 0, 0};
  const float across = player.vx * camera.right_x + player.vy * camera.right_y;
  int flags = kItemPlayer | kItemShadow | (across < 0.0f ? kItemFlip : 0);
  if (player.invulnerable > 0.0f && (world.tick >> 2 & 1)) flags |= kItemFlash;
  if (player.ability_time > 0.0f) flags |= kItemElite;
  item->flags = static_cast<uint8_t>(flags);
  const int half = item->side / 2;
  return {item->x - half, item->y - item->side, item->x + half, item->y};
}

}  // namespace

void DrawScene(const World& world, const Level& level, const Camera& camera, const TerrainMap& map,
               const Canvas& canvas) {
  DrawStrikes(world, *level.terrain, camera, canvas);
  ItemList list;
  Collector collector(world, level, camera, canvas, &list);
  const Box player = AddPlayer(world, camera, &collector);
  AddEnemies(world, camera, &collector);
  AddStructures(world, &collector);
  AddShots(world, &collector);
  AddBolts(world, &collector);
  AddPickups(world, &collector);
  AddObstacles(camera, map, &collector);
  DrawItems(list, player, map, canvas);
}

}  // namespace metabonk::arena
