// What lies around and what picking it up gives: experience, gold, hearts, magnets. Knows the
// player's reach and gains; chests, shrines and the portal are in structures.cc.
#include "games/arena/content.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"

namespace metabonk::arena {

namespace {

constexpr float kTouch = 0.7f;  // metres at which something is picked up

void CopyPickup(Pickups& pickups, int from, int to) {
  pickups.x[to] = pickups.x[from];
  pickups.y[to] = pickups.y[from];
  pickups.z[to] = pickups.z[from];
  pickups.value[to] = pickups.value[from];
  pickups.id[to] = pickups.id[from];
  pickups.kind[to] = pickups.kind[from];
  pickups.homing[to] = pickups.homing[from];
}

void Give(World& world, const Level& level, int index) {
  const float value = world.pickups.value[index];
  switch (static_cast<PickupKind>(world.pickups.kind[index])) {
    case PickupKind::kXp:
      GainXp(world, level, value);
      break;
    case PickupKind::kGold:
      GainGold(world, value * level.spec.gold_rate);
      break;
    case PickupKind::kHeal:
      HealPlayer(world, value);
      break;
    case PickupKind::kMagnet:
      for (int i = 0; i < world.pickups.count; ++i) world.pickups.homing[i] = 1;
      break;
    default:
      break;
  }
}

// Where the ground is full, what drops is added to what lies there already, so that no experience
// is lost.
void Merge(Pickups& pickups, PickupKind kind, float value) {
  const int start = static_cast<int>(pickups.next_id % kMaxPickups);
  for (int n = 0; n < kMaxPickups; ++n) {
    const int i = (start + n) % kMaxPickups;
    if (pickups.kind[i] != static_cast<uint8_t>(kind)) continue;
    pickups.value[i] += value;
    ++pickups.next_id;
    return;
  }
}

}  // namespace

void DropPickup(World& world, PickupKind kind, float value, float x, float y, float z) {
  Pickups& pickups = world.pickups;
  if (pickups.count >= kMaxPickups) {
    Merge(pickups, kind, value);
    return;
  }
  const int i = pickups.count++;
  pickups.x[i] = x;
  pickups.y[i] = y;
  pickups.z[i] = z + 0.3f;
  pickups.value[i] = value;
  pickups.id[i] = ++pickups.next_id;
  pickups.kind[i] = static_cast<uint8_t>(kind);
  pickups.homing[i] = 0;
}

void CollectPickups(World& world, const Level& level) {
  Pickups& pickups = world.pickups;
  const Player& player = world.player;
  const float range = StatOf(player, Stat::kPickupRange);
  for (int i = 0; i < pickups.count;) {
    const float dx = player.x - pickups.x[i];
    const float dy = player.y - pickups.y[i];
    const float square = dx * dx + dy * dy;
    if (square < range * range) pickups.homing[i] = 1;
    if (!pickups.homing[i]) {
      ++i;
      continue;
    }
    if (square < kTouch * kTouch) {
      Give(world, level, i);
      CopyPickup(pickups, pickups.count - 1, i);
      --pickups.count;
      continue;
    }
    const float step = Min(kDrop.homing_speed * kTickSeconds / Sqrt(square), 1.0f);
    pickups.x[i] += dx * step;
    pickups.y[i] += dy * step;
    pickups.z[i] += (player.z + 0.8f - pickups.z[i]) * step;
    ++i;
  }
}

float XpNeeded(int level) {
  float need = kDrop.xp_first;
  for (int i = 1; i < level && i < 200; ++i) need = need * kDrop.xp_growth + kDrop.xp_step;
  return need;
}

void GainXp(World& world, const Level& level, float amount) {
  Player& player = world.player;
  const float gained = amount * StatOf(player, Stat::kXpGain) * level.spec.xp_rate;
  world.totals.xp_earned += gained;
  if (level.spec.sustain) return;  // what benchmarks measure must not grow
  player.xp += gained;
  while (player.xp >= XpNeeded(player.level)) {
    if (player.pending_levels == 255) return;
    player.xp -= XpNeeded(player.level);
    ++player.level;
    ++player.pending_levels;
    ++world.totals.levels;
  }
}

}  // namespace metabonk::arena
