// The player's weapons: when each fires, at whom, and what it strikes or sends out. Weapons fire
// by themselves; holding the fire button aims them where the camera looks instead of at the
// nearest enemy. What their shots do afterwards is in shots.cc.
#include "games/arena/arsenal.h"
#include "games/arena/content.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"
#include "games/arena/scratch.h"
#include "games/arena/shots.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

constexpr float kMarkSeconds = 0.15f;  // how long what strikes at once stays visible
constexpr int kTargets = 16;

struct Attack {
  const WeaponDef& def;
  int weapon;  // kind
  int slot;
  int count;
  int pierce;
  float damage;
  float reach;
  float blast;
  float speed;
  float radius;
  float life;
  float knock;
};

Attack AttackOf(const Player& player, int slot) {
  const int weapon = player.weapons[slot].kind - 1;
  const WeaponDef& def = kWeaponDefs[weapon];
  const WeaponNumbers numbers = NumbersOf(def, player.weapons[slot].level);
  const float area = StatOf(player, Stat::kArea);
  return {def,
          weapon,
          slot,
          numbers.count + static_cast<int>(StatOf(player, Stat::kProjectiles)),
          numbers.pierce,
          numbers.damage * StatOf(player, Stat::kDamage),
          numbers.reach * (def.speed > 0.0f ? 1.0f : area),
          numbers.blast * area,
          def.speed * StatOf(player, Stat::kProjectileSpeed),
          def.radius * area,
          def.life * StatOf(player, Stat::kDuration),
          def.knockback * StatOf(player, Stat::kKnockback)};
}

float Cooldown(const Player& player, int slot) {
  const Slot& weapon = player.weapons[slot];
  const WeaponNumbers numbers = NumbersOf(kWeaponDefs[weapon.kind - 1], weapon.level);
  return numbers.cooldown / StatOf(player, Stat::kAttackSpeed);
}

// The nearest living enemies within reach, nearest first. Distances are of the tick's beginning.
int FindTargets(const World& world, const Scratch& scratch, float reach, int wanted, int* out) {
  int found = 0;
  const Enemies& enemies = world.enemies;
  for (int i = 0; i < scratch.strips.count; ++i) {
    const float distance = scratch.distance[i];
    if (distance >= reach || enemies.health[i] <= 0.0f) continue;
    if (found == wanted && distance >= scratch.distance[out[found - 1]]) continue;
    int place = found < wanted ? found++ : found - 1;
    while (place > 0 && scratch.distance[out[place - 1]] > distance) {
      out[place] = out[place - 1];
      --place;
    }
    out[place] = i;
  }
  return found;
}

struct Aim {
  float x, y;  // unit vector
};

Aim TowardEnemy(const World& world, int enemy) {
  const float dx = world.enemies.x[enemy] - world.player.x;
  const float dy = world.enemies.y[enemy] - world.player.y;
  const float inverse = 1.0f / Max(Length(dx, dy), 0.01f);
  return {dx * inverse, dy * inverse};
}

Aim Turned(Aim aim, float angle) {
  float sine;
  float cosine;
  SinCos(angle, &sine, &cosine);
  return {aim.x * cosine - aim.y * sine, aim.x * sine + aim.y * cosine};
}

Aim Forward(const Player& player) { return Turned({1.0f, 0.0f}, player.yaw); }

void Strike(World& world, const Level& level, const Attack& attack, int enemy) {
  const Aim away = TowardEnemy(world, enemy);
  HurtEnemy(world, level, enemy, RolledDamage(world, attack.damage), away.x * attack.knock,
            away.y * attack.knock);
  const float slow = attack.def.slow * StatOf(world.player, Stat::kDuration);
  world.enemies.slow[enemy] = Max(world.enemies.slow[enemy], slow);
}

// Something to see where a weapon struck without a shot.
void Mark(World& world, const Attack& attack, float x, float y, float z, float radius) {
  AddShot(world, {.x = x,
                  .y = y,
                  .z = z,
                  .life = kMarkSeconds,
                  .radius = radius,
                  .weapon = attack.weapon,
                  .state = kShotMark});
}

// Everything within reach, in front only if `cosine` > -1.
void StrikeAround(World& world, const Level& level, const Attack& attack, const Scratch& scratch,
                  Aim aim, float cosine) {
  for (int i = 0; i < scratch.strips.count; ++i) {
    if (scratch.distance[i] > attack.reach + scratch.radius[i]) continue;
    const Aim toward = TowardEnemy(world, i);
    if (toward.x * aim.x + toward.y * aim.y < cosine) continue;
    if (world.enemies.health[i] > 0.0f) Strike(world, level, attack, i);
  }
}

// A shot of this attack that lies where the player stands.
ShotLaunch LaunchOf(const Player& player, const Attack& attack, ShotState state) {
  return {.x = player.x,
          .y = player.y,
          .z = player.z,
          .life = attack.life,
          .radius = attack.radius,
          .damage = attack.damage,
          .weapon = attack.weapon,
          .pierce = attack.pierce,
          .state = state};
}

void SendShot(World& world, const Attack& attack, Aim aim, ShotState state) {
  ShotLaunch launch = LaunchOf(world.player, attack, state);
  launch.z += kShotHeight;
  launch.vx = aim.x * attack.speed;
  launch.vy = aim.y * attack.speed;
  AddShot(world, launch);
}

// One shot at each of the nearest; what is left over fans out around the first.
void SendAtTargets(World& world, const Attack& attack, const int* targets, int found, Aim aim,
                   bool manual, ShotState state) {
  const float count = static_cast<float>(attack.count);
  for (int i = 0; i < attack.count; ++i) {
    if (!manual && i < found) {
      SendShot(world, attack, TowardEnemy(world, targets[i]), state);
    } else {
      const float offset = static_cast<float>(i) - 0.5f * (count - 1.0f);
      SendShot(world, attack, Turned(aim, offset * attack.def.spread), state);
    }
  }
}

void SendFan(World& world, const Attack& attack, Aim aim) {
  const float middle = 0.5f * static_cast<float>(attack.count - 1);
  for (int i = 0; i < attack.count; ++i) {
    const float angle = (static_cast<float>(i) - middle) * attack.def.spread;
    SendShot(world, attack, Turned(aim, angle), kShotFlying);
  }
}

void Chain(World& world, const Level& level, const Attack& attack, const Scratch& scratch,
           int first) {
  Enemies& enemies = world.enemies;
  uint8_t struck[kMaxEnemies] = {};
  int at = first;
  for (int jump = 0; jump < attack.count && at >= 0; ++jump) {
    struck[at] = 1;
    Mark(world, attack, enemies.x[at], enemies.y[at], enemies.z[at] + kShotHeight, 0.5f);
    Strike(world, level, attack, at);
    int next = -1;
    float nearest = attack.blast * attack.blast;
    for (int i = 0; i < scratch.strips.count; ++i) {
      const float dx = enemies.x[i] - enemies.x[at];
      const float dy = enemies.y[i] - enemies.y[at];
      const float square = dx * dx + dy * dy;
      if (struck[i] || square >= nearest || enemies.health[i] <= 0.0f) continue;
      nearest = square;
      next = i;
    }
    at = next;
  }
}

void SendBlades(World& world, const Attack& attack) {
  for (int i = 0; i < attack.count; ++i) {
    const float angle = 2.0f * kPi * static_cast<float>(i) / static_cast<float>(attack.count);
    // A blade keeps its angle, turning speed and distance where other shots keep a velocity.
    ShotLaunch launch = LaunchOf(world.player, attack, kShotOrbit);
    launch.z += kShotHeight;
    launch.vx = angle;
    launch.vy = attack.speed;
    launch.vz = attack.reach;
    AddShot(world, launch);
  }
}

void LayMines(World& world, const Attack& attack) {
  for (int i = 0; i < attack.count; ++i) {
    const float away = attack.reach * DrawUnit(world.combat_random);
    const Aim aim = Turned({1.0f, 0.0f}, DrawBetween(world.combat_random, -kPi, kPi));
    ShotLaunch launch = LaunchOf(world.player, attack, kShotMine);
    launch.x += aim.x * away;
    launch.y += aim.y * away;
    AddShot(world, launch);
  }
}

// Returns false if there is nobody to fire at, so that the weapon stays ready.
bool Fire(World& world, const Level& level, const Action& action, const Scratch& scratch,
          int slot) {
  const Attack attack = AttackOf(world.player, slot);
  const bool manual = action.fire >= 0.5f;
  int targets[kTargets];
  const int wanted = attack.count < kTargets ? attack.count : kTargets;
  const int found = FindTargets(world, scratch, attack.reach + 1.0f, wanted, targets);
  const bool lays = attack.def.pattern == Pattern::kMine || attack.def.pattern == Pattern::kOrbit;
  if (found == 0 && !manual && !lays) return false;
  const Player& player = world.player;
  const Aim aim = manual || found == 0 ? Forward(player) : TowardEnemy(world, targets[0]);
  switch (attack.def.pattern) {
    case Pattern::kArc: {
      float sine;
      float cosine;
      SinCos(Min(attack.def.spread, kPi), &sine, &cosine);
      const float middle = 0.6f * attack.reach;
      Mark(world, attack, player.x + aim.x * middle, player.y + aim.y * middle,
           player.z + kShotHeight, middle);
      StrikeAround(world, level, attack, scratch, aim, cosine);
      break;
    }
    case Pattern::kArrow:
    case Pattern::kFireball:
      SendAtTargets(world, attack, targets, found, aim, manual, kShotFlying);
      break;
    case Pattern::kBoomerang:
      SendAtTargets(world, attack, targets, found, aim, manual, kShotOutbound);
      break;
    case Pattern::kChain:
      if (found == 0) return false;
      Chain(world, level, attack, scratch, targets[0]);
      break;
    case Pattern::kAura:
    case Pattern::kNova:
      Mark(world, attack, player.x, player.y, player.z, attack.reach);
      StrikeAround(world, level, attack, scratch, aim, -2.0f);
      break;
    case Pattern::kOrbit:
      SendBlades(world, attack);
      break;
    case Pattern::kMine:
      LayMines(world, attack);
      break;
    case Pattern::kSpread:
      SendFan(world, attack, aim);
      break;
    case Pattern::kCount:
      return false;
  }
  return true;
}

}  // namespace

float RolledDamage(World& world, float damage) {
  const bool critical = DrawChance(world.combat_random, StatOf(world.player, Stat::kCritChance));
  return critical ? damage * StatOf(world.player, Stat::kCritDamage) : damage;
}

void FireWeapons(World& world, const Level& level, const Action& action, Scratch& scratch) {
  Player& player = world.player;
  for (int slot = 0; slot < kLoadoutSlots; ++slot) {
    if (player.weapons[slot].kind == 0) continue;
    float& cooldown = player.weapon_cooldown[slot];
    cooldown -= kTickSeconds;
    if (cooldown > 0.0f) continue;
    if (Fire(world, level, action, scratch, slot)) {
      cooldown += Cooldown(player, slot);
      ++player.weapon_phase[slot];
    } else {
      cooldown = 0.0f;
    }
  }
}

}  // namespace metabonk::arena
