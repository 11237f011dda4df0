// How each kind of enemy moves in each of its phases, as tables that the kernels read by
// kind * kPhases + phase. Knows content and phases; the rules that change phases are in
// behaviors.cc and bosses.cc.
#pragma once

#include <cstdint>

#include "games/arena/content.h"
#include "games/arena/state.h"

namespace metabonk::arena {

inline constexpr int kPhases = 8;
inline constexpr float kNever = 1e9f;  // a timer that never runs out

// Phases by behaviour. Phase 0 is what an enemy does when nothing special happens.
enum Phase : uint8_t {
  kRoam = 0,
  kSwarmBack = 1,  // bats weave to the other side
  kCrouch = 1,     // spiders before a leap
  kLeap = 2,
  kAim = 1,    // archers, mages, shamans before they act
  kFuse = 1,   // bombers
  kBrace = 1,  // chargers before the dash
  kDash = 2,
  kTired = 3,
  kFade = 1,  // wraiths: cannot be hit
  kStrike = 2,
  kRest = 1,   // slimes between hops
  kSmall = 2,  // added to a slime's phase once it has split
  kSlam = 1,   // golem
  kWindup = 2,
  kCharge = 3,
  kRing = 1,  // queen and lich
  kSummon = 2,
  kVolley = 3,
  kBlink = 4,
};

struct Steering {
  float toward = 1.0f;        // share of the speed towards the player
  float strafe = 0.0f;        // share across, left or right by the enemy's id
  float keep = -1000.0f;      // distance at which towards turns into away
  float speed = 1.0f;         // factor on the kind's speed
  float acceleration = 1.0f;  // factor; 0: keeps its velocity, as in a leap
  float size = 1.0f;          // factor on the radius
};

constexpr Steering Still() { return {.toward = 0.0f, .speed = 0.0f}; }
constexpr Steering Coast() { return {.toward = 0.0f, .acceleration = 0.0f}; }

constexpr Steering SteeringOf(Behavior behavior, int phase, float range) {
  switch (behavior) {
    case Behavior::kSwarm:
      return {.toward = 0.75f, .strafe = phase == kRoam ? 0.9f : -0.9f};
    case Behavior::kPack:
      if (phase == kCrouch) return Still();
      if (phase == kLeap) return Coast();
      return {.strafe = 0.8f, .keep = range * 0.8f};
    case Behavior::kArcher:
      if (phase == kAim) return Still();
      return {.strafe = 0.5f, .keep = range};
    case Behavior::kMage:
      if (phase == kAim) return Still();
      return {.strafe = 0.3f, .keep = range};
    case Behavior::kBomber:
      return phase == kFuse ? Steering{.speed = 0.6f} : Steering{};
    case Behavior::kCharger:
      if (phase == kBrace) return Still();
      if (phase == kDash) return Coast();
      return phase == kTired ? Steering{.speed = 0.3f} : Steering{};
    case Behavior::kBlinker:
      if (phase == kFade) return Still();
      return phase == kStrike ? Steering{.speed = 1.8f, .acceleration = 2.0f} : Steering{};
    case Behavior::kShaman:
      if (phase == kAim) return Still();
      return {.strafe = 0.2f, .keep = range};
    case Behavior::kSplitter: {
      const float size = phase >= kSmall ? 0.65f : 1.0f;
      const float speed = phase >= kSmall ? 2.2f : 1.6f;
      if (phase % 2 == kRest) return {.toward = 0.0f, .speed = 0.0f, .size = size};
      return {.speed = speed, .acceleration = 3.0f, .size = size};
    }
    case Behavior::kGolem:
      if (phase == kSlam || phase == kWindup) return Still();
      return phase == kCharge ? Coast() : Steering{};
    case Behavior::kQueen:
      if (phase != kRoam) return {.toward = 0.0f, .strafe = 0.4f};
      return {.strafe = 0.6f, .keep = range};
    case Behavior::kLich:
      if (phase == kBlink) return Still();
      if (phase != kRoam) return {.toward = 0.0f, .strafe = 0.2f};
      return {.strafe = 0.5f, .keep = range};
    default:
      return {};
  }
}

struct SteeringTables {
  alignas(64) float toward[kEnemyKindsMax * kPhases] = {};
  alignas(64) float strafe[kEnemyKindsMax * kPhases] = {};
  alignas(64) float keep[kEnemyKindsMax * kPhases] = {};
  alignas(64) float speed[kEnemyKindsMax * kPhases] = {};         // metres a second
  alignas(64) float acceleration[kEnemyKindsMax * kPhases] = {};  // metres a second a second
  alignas(64) float radius[kEnemyKindsMax * kPhases] = {};        // metres
  alignas(64) float hover[kEnemyKindsMax * kPhases] = {};         // metres
  alignas(64) float flying[kEnemyKindsMax * kPhases] = {};        // 0 or 1
};

constexpr SteeringTables MakeSteeringTables() {
  SteeringTables tables;
  for (int kind = 0; kind < kEnemyCount; ++kind) {
    const EnemyDef& def = kEnemyDefs[kind];
    for (int phase = 0; phase < kPhases; ++phase) {
      const Steering steering = SteeringOf(def.behavior, phase, def.range);
      const int row = kind * kPhases + phase;
      tables.toward[row] = steering.toward;
      tables.strafe[row] = steering.strafe;
      tables.keep[row] = steering.keep;
      tables.speed[row] = steering.speed * def.speed;
      tables.acceleration[row] = steering.acceleration * def.acceleration;
      tables.radius[row] = steering.size * def.radius;
      tables.hover[row] = def.hover;
      tables.flying[row] = def.flying ? 1.0f : 0.0f;
    }
  }
  return tables;
}

inline constexpr SteeringTables kSteering = MakeSteeringTables();

static constexpr float EnemyRadius(int kind, int phase, int flags) {
  const float size = (flags & kEntityElite) ? kWave.elite_size : 1.0f;
  return kSteering.radius[kind * kPhases + phase] * size;
}

}  // namespace metabonk::arena
