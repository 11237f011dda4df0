// A weapon's own numbers at a level, before the player's stats: the one place where content.toml's
// growth becomes damage, cooldown and counts. Levels start at 1. Knows no world.
#pragma once

#include "games/arena/content.h"

namespace metabonk::arena {

struct WeaponNumbers {
  float damage;    // points a hit
  float cooldown;  // seconds between attacks
  int count;       // projectiles, jumps or blades
  int pierce;      // enemies a shot can hit
  float reach;     // metres
  float blast;     // metres, 0: none
};

constexpr WeaponNumbers NumbersOf(const WeaponDef& def, int level) {
  const int grown = level - 1;
  float cooldown = def.cooldown;
  for (int i = 0; i < grown; ++i) cooldown *= def.cooldown_growth;
  const float steps = static_cast<float>(grown);
  return {def.damage + def.damage_growth * steps,
          cooldown,
          def.count + (def.count_every > 0 ? grown / def.count_every : 0),
          def.pierce + (def.pierce_every > 0 ? grown / def.pierce_every : 0),
          def.reach + def.reach_growth * steps,
          def.blast + def.blast_growth * steps};
}

}  // namespace metabonk::arena
