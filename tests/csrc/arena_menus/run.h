// One run of the arena for the tests of this folder: a level, its ground and its world.
#pragma once

#include <cstring>
#include <memory>

#include "games/arena/content.h"
#include "games/arena/rules.h"
#include "games/arena/scratch.h"

namespace metabonk::arena {

inline Action Idle() { return {{0, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}}; }

inline Action Choose(int choice) {
  Action action = Idle();
  action.choice = static_cast<float>(choice);
  return action;
}

inline Action ClickOn(const Widget& widget) {
  Action action = Idle();
  action.click[0] = 0.5f * (widget.x0 + widget.x1);
  action.click[1] = 0.5f * (widget.y0 + widget.y1);
  return action;
}

// A level in which nothing happens by itself.
inline LevelSpec Quiet() {
  LevelSpec spec = DefaultSpec();
  spec.spawn_rate = 0.0f;
  spec.boss_at = -1.0f;
  spec.max_enemies = 0;
  return spec;
}

struct Run {
  explicit Run(const LevelSpec& spec, uint64_t seed = 1)
      : terrain(std::make_unique<Terrain>()),
        scratch(std::make_unique<Scratch>()),
        owned(std::make_unique<World>()),
        world(*owned),
        level{spec, terrain.get()} {
    GenerateTerrain(spec, seed, terrain.get());
    std::memset(static_cast<void*>(&world), 0, sizeof world);
    StartRun(world, level, seed);
  }

  void Step(const Action& action) { Tick(world, level, action, *scratch); }
  void Wait(int ticks) {
    for (int i = 0; i < ticks; ++i) Step(Idle());
  }
  int Widgets(Widget* out) const { return ListWidgets(world, level, out); }

  std::unique_ptr<Terrain> terrain;
  std::unique_ptr<Scratch> scratch;
  std::unique_ptr<World> owned;
  World& world;
  Level level;
};

}  // namespace metabonk::arena
