// The player's body: walking, jumping, sliding, slopes, obstacles, being hurt and healing. Knows
// the ground and its own stats; knows no enemies, weapons or menus.
#include "games/arena/content.h"
#include "games/arena/numbers.h"
#include "games/arena/rules.h"
#include "support/math.h"

namespace metabonk::arena {

namespace {

enum Button : uint8_t { kJumpButton = 1, kSlideButton = 2 };

struct Wish {
  float x, y;  // direction and strength in world axes, length 0..1
};

void Look(Player& player, const Action& action) {
  constexpr float kPitchLimit = 1.2f;
  player.yaw += Clamp(-action.look[0], -1.0f, 1.0f) * kBody.turn_rate * kTickSeconds;
  if (player.yaw > kPi) player.yaw -= 2.0f * kPi;
  if (player.yaw < -kPi) player.yaw += 2.0f * kPi;
  player.pitch += Clamp(action.look[1], -1.0f, 1.0f) * kBody.turn_rate * kTickSeconds;
  player.pitch = Clamp(player.pitch, -kPitchLimit, kPitchLimit);
}

Wish WishOf(const Player& player, const Action& action) {
  float right = Clamp(action.move[0], -1.0f, 1.0f);
  float forward = Clamp(action.move[1], -1.0f, 1.0f);
  const float length = Length(right, forward);
  if (length > 1.0f) {
    right /= length;
    forward /= length;
  }
  float sine;
  float cosine;
  SinCos(player.yaw, &sine, &cosine);
  return {forward * cosine + right * sine, forward * sine - right * cosine};
}

void StartSlide(Player& player, const Wish& wish) {
  if (!player.grounded || player.slide_cooldown > 0.0f) return;
  const float strength = Length(wish.x, wish.y);
  if (strength < 0.1f) return;
  const float speed = kBody.slide_speed * StatOf(player, Stat::kMoveSpeed);
  player.vx = wish.x / strength * speed;
  player.vy = wish.y / strength * speed;
  player.slide_time = kBody.slide_seconds;
  player.slide_cooldown = kBody.slide_cooldown;
}

void Jump(Player& player) {
  const float speed = kBody.jump_speed * Sqrt(StatOf(player, Stat::kJumpHeight));
  if (player.grounded) {
    player.vz = speed;
    player.grounded = 0;
    player.slide_time = 0.0f;  // keeps the slide's speed: a jump out of a slide goes far
  } else if (player.air_jumps > 0) {
    player.vz = speed * kBody.air_jump;
    --player.air_jumps;
  }
}

void PressButtons(Player& player, const Action& action, const Wish& wish) {
  const uint8_t held = static_cast<uint8_t>((action.jump >= 0.5f ? kJumpButton : 0) |
                                            (action.slide >= 0.5f ? kSlideButton : 0));
  const uint8_t pressed = static_cast<uint8_t>(held & ~player.held_buttons);
  player.held_buttons = held;
  if (pressed & kSlideButton) StartSlide(player, wish);
  // Holding jump jumps again on landing; in the air only a new press does.
  if ((held & kJumpButton) && (player.grounded || (pressed & kJumpButton))) Jump(player);
}

// Velocity on the ground and in the air: towards the wish, or friction and slope while sliding.
void Accelerate(Player& player, const Terrain& terrain, const Wish& wish) {
  float slope_x;
  float slope_y;
  GroundSlope(terrain, player.x, player.y, &slope_x, &slope_y);
  if (player.grounded && player.slide_time > 0.0f) {
    const float speed = Length(player.vx, player.vy);
    const float kept =
        speed > 0.0f ? Max(0.0f, speed - kBody.slide_friction * kTickSeconds) / speed : 0.0f;
    player.vx = player.vx * kept - slope_x * kBody.gravity * kTickSeconds;
    player.vy = player.vy * kept - slope_y * kBody.gravity * kTickSeconds;
    return;
  }
  const Ground ground = GroundAt(terrain, player.x, player.y);
  float speed = kBody.speed * StatOf(player, Stat::kMoveSpeed);
  float acceleration = player.grounded ? kBody.acceleration : kBody.air_acceleration;
  if (player.grounded && ground == Ground::kSand) speed *= kBody.sand_speed;
  if (player.grounded && ground == Ground::kSnow) acceleration *= kBody.snow_grip;
  // Nothing holds on a slope too steep to stand on.
  if (player.grounded && Length(slope_x, slope_y) > kBody.steep) acceleration = kBody.steep_grip;
  if (player.grounded) {
    // Uphill costs speed, downhill gives some.
    const float climb = slope_x * wish.x + slope_y * wish.y;
    speed *= 1.0f - Clamp(0.35f * climb, -0.25f, 0.5f);
  }
  const float change_x = wish.x * speed - player.vx;
  const float change_y = wish.y * speed - player.vy;
  const float change = Length(change_x, change_y);
  const float step = acceleration * kTickSeconds;
  const float part = change > step ? step / change : 1.0f;
  player.vx += change_x * part;
  player.vy += change_y * part;
}

// Whether the body may be at (x, y) with its feet at z, coming from a floor of height `from`.
bool Free(const Player& player, const Terrain& terrain, float x, float y) {
  const float r = kBody.radius;
  if (x < 1.0f + r || y < 1.0f + r || x > terrain.size - 1.0f - r || y > terrain.size - 1.0f - r) {
    return false;
  }
  if (GroundAt(terrain, x, y) == Ground::kWater) return false;
  const float reach = player.z + kBody.step;
  for (int corner = 0; corner < 4; ++corner) {
    const float at_x = x + ((corner & 1) ? r : -r);
    const float at_y = y + ((corner & 2) ? r : -r);
    if (FloorHeight(terrain, at_x, at_y) > reach + r) return false;
  }
  const float floor = FloorHeight(terrain, x, y);
  if (floor > reach) return false;
  if (!player.grounded) return true;
  // Too steep to walk up: the rise along the step against its length.
  const float rise = floor - FloorHeight(terrain, player.x, player.y);
  const float run = Abs(x - player.x) + Abs(y - player.y);
  return rise <= kBody.steep * run || rise <= 0.02f;
}

void MoveAcross(Player& player, const Terrain& terrain) {
  const float x = player.x + player.vx * kTickSeconds;
  if (Free(player, terrain, x, player.y)) {
    player.x = x;
  } else {
    player.vx = 0.0f;
  }
  const float y = player.y + player.vy * kTickSeconds;
  if (Free(player, terrain, player.x, y)) {
    player.y = y;
  } else {
    player.vy = 0.0f;
  }
}

void MoveUpDown(Player& player, const Terrain& terrain) {
  const float floor = FloorHeight(terrain, player.x, player.y);
  const bool rising = player.vz > 0.0f;
  if (player.grounded && !rising && player.z - floor <= kBody.step) {
    player.z = floor;  // follows the ground downhill
    player.vz = 0.0f;
    return;
  }
  player.vz -= kBody.gravity * kTickSeconds;
  player.z += player.vz * kTickSeconds;
  player.grounded = 0;
  if (player.z <= floor) {
    player.z = floor;
    player.vz = 0.0f;
    player.grounded = 1;
    player.air_jumps = kBody.air_jumps;
  }
}

// A slope too steep to stand on pulls the body down it.
void SlipOffSteep(Player& player, const Terrain& terrain) {
  if (!player.grounded) return;
  float slope_x;
  float slope_y;
  GroundSlope(terrain, player.x, player.y, &slope_x, &slope_y);
  const float steepness = Length(slope_x, slope_y);
  if (steepness <= kBody.steep) return;
  const float pull = kBody.gravity * kTickSeconds / steepness;
  player.vx -= slope_x * pull;
  player.vy -= slope_y * pull;
}

void Recover(World& world) {
  Player& player = world.player;
  player.invulnerable = Max(0.0f, player.invulnerable - kTickSeconds);
  player.slide_time = Max(0.0f, player.slide_time - kTickSeconds);
  player.slide_cooldown = Max(0.0f, player.slide_cooldown - kTickSeconds);
  player.shield_delay = Max(0.0f, player.shield_delay - kTickSeconds);
  const float max_shield = StatOf(player, Stat::kMaxShield);
  if (player.shield_delay == 0.0f && player.shield < max_shield) {
    player.shield = Min(max_shield, player.shield + max_shield * kBody.shield_rate * kTickSeconds);
  }
  player.regen_carry += StatOf(player, Stat::kRegen) * kTickSeconds;
  if (player.regen_carry >= 1.0f) {  // whole points, so that `healed` counts what was needed
    player.regen_carry -= 1.0f;
    HealPlayer(world, 1.0f);
  }
}

}  // namespace

void MovePlayer(World& world, const Level& level, const Action& action) {
  Player& player = world.player;
  const Terrain& terrain = *level.terrain;
  Look(player, action);
  const Wish wish = WishOf(player, action);
  PressButtons(player, action, wish);
  Accelerate(player, terrain, wish);
  SlipOffSteep(player, terrain);
  MoveAcross(player, terrain);
  MoveUpDown(player, terrain);
  Recover(world);
}

bool HurtPlayer(World& world, const Level& level, float damage, float from_x, float from_y) {
  Player& player = world.player;
  if (player.invulnerable > 0.0f || world.done != static_cast<uint8_t>(EpisodeEnd::kNo)) {
    return false;
  }
  if (DrawChance(world.combat_random, StatOf(player, Stat::kEvasion))) return false;
  float left = damage * (1.0f - StatOf(player, Stat::kArmor));
  player.shield_delay = kBody.shield_delay;
  player.invulnerable = kBody.invulnerable;
  ++world.totals.hits_taken;
  world.totals.damage_taken += left;
  const float absorbed = Min(player.shield, left);
  player.shield -= absorbed;
  left -= absorbed;
  player.health -= left;
  if (level.spec.sustain && player.health < 1.0f) player.health = StatOf(player, Stat::kMaxHealth);
  const float away_x = player.x - from_x;
  const float away_y = player.y - from_y;
  const float away = Length(away_x, away_y);
  if (away > 0.01f) {
    player.vx += away_x / away * kBody.knock;
    player.vy += away_y / away * kBody.knock;
  }
  return true;
}

void HealPlayer(World& world, float amount) {
  Player& player = world.player;
  const float healed = Min(amount, StatOf(player, Stat::kMaxHealth) - player.health);
  if (!(healed > 0.0f)) return;
  player.health += healed;
  world.totals.healed += healed;
}

}  // namespace metabonk::arena
