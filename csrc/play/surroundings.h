// Surroundings: what a state comes to for who decides by rules: threat and worth by compass
// direction, and of every kind of thing to go to the best one. Knows the record and what things are
// worth; what is done about them is not its business.
#pragma once

#include <array>
#include <cstdint>

#include "metabonk/records.h"
#include "play/directive.h"

namespace metabonk::play {

using Compass = std::array<double, kCompassBins>;

// One thing. away: metres. blocked: how much threatens from its direction. worth: of what is used,
// less what is in the way and the way itself.
struct Candidate {
  bool there = false;
  uint32_t id = 0;
  PickupKind kind = PickupKind::kXp;
  double away = 0.0, blocked = 0.0, worth = 0.0;
};

struct Surroundings {
  double gold = 0.0;     // infinite where it is not told
  double health = 0.0;   // 0..1 of the most
  int enemies = 0;       // and projectiles that are nearer than twice `near`
  double danger = 0.0;   // how much threatens, about the number of ordinary enemies at arm's length
  Compass sectors = {};  // threat by direction, with half of the neighbouring ones'
  int exits = 0;         // directions that are all but free
  int gap = 0;           // the direction of the widest gap, away from the middle of what threatens
  Compass pulls = {};    // worth of what lies, by direction
  double pull = 0.0;     // the same of all directions, less where something is in the way
  bool opponents = false;  // somebody who is no projectile
  bool boss = false;       // a boss is there, the nearest of them `boss_id`
  uint32_t boss_id = 0;
  Candidate heart, use;  // the heart whose way is shortest, threats as detours; the best to use
};

// near, far: metres at which an enemy and what is used count half of what they do at arm's length.
// False where the position or the health is no number. Things whose place is none are left out.
bool LookAround(const GameState& state, double near, double far, Surroundings* found);

}  // namespace metabonk::play
