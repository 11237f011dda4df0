// One decision of an agent: several ticks under one action. Knows how long an action is held and
// that a choice is a press; knows no rule of the game.
#include <algorithm>

#include "games/arena/numbers.h"
#include "games/arena/rules.h"

namespace metabonk::arena {

int RunDecision(World& world, const Level& level, const Action& action, Scratch& scratch,
                uint32_t most) {
  Action held = Canonical(action);
  const LevelSpec& spec = level.spec;
  const uint32_t ticks =
      spec.skip_min + DrawBelow(world.step_random, spec.skip_max - spec.skip_min + 1);
  const uint8_t done = world.done;
  uint32_t run = 0;
  while (run < std::min(ticks, most) && world.done == done) {
    Tick(world, level, held, scratch);
    held.choice = 0.0f;
    held.click[0] = held.click[1] = -1.0f;
    ++run;
  }
  return static_cast<int>(run);
}

}  // namespace metabonk::arena
