// A world for the tests of directives that are carried out, and what they send before and after.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>

#include "check.h"
#include "play/clock.h"
#include "play/executor.h"

namespace metabonk::play {

inline constexpr Action kBefore = {{0.5f, -0.5f}, {0.1f, 0.2f}, 0, 0, 0, 1, 0, 0, {-1, -1}};
inline constexpr int64_t kTick = 16'666'667;

inline bool Same(const Action& a, const Action& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// A world of one body that walks where it is told, 6 metres a second, not through what is closed.
struct World {
  World() {
    state->fields = kHasEverything;
    state->playing = 1;
    state->grounded = 1;
    state->health = 50.0f;
    state->max_health = 100.0f;
    state->position[0] = state->position[1] = 60.5f;
    state->widget_count = 2;
    state->widgets[1].enabled = 1;
    std::strcpy(state->menu, "None");
  }

  void Wall(int x0, int y0, int x1, int y1) {
    if (!grid) {
      grid = std::make_unique<WalkGrid>();
      grid->number = 1;
      grid->size = 128.0f;
      for (int cell = 0; cell < kWalkCells; ++cell) grid->open[cell] = 1;
    }
    for (int y = y0; y <= y1; ++y) {
      for (int x = x0; x <= x1; ++x) grid->open[y * kWalkSide + x] = 0;
    }
  }
  Entity& Enemy(uint32_t id, float x, float y, uint8_t flags = 0) {
    Entity& entity = state->entities[state->entity_count++];
    entity = {id, 1, flags, 0, {x, y, 0}, {0, 0, 0}, 10, 10};
    return entity;
  }
  Pickup& Lay(uint32_t id, PickupKind kind, float x, float y, float value = 1.0f) {
    Pickup& pickup = state->pickups[state->pickup_count++];
    pickup = {id, static_cast<uint8_t>(kind), {}, {x, y, 0}, value};
    return pickup;
  }

  Applied Tick(const Directive& directive) {
    now += kTick;
    state->time += 1.0 / 60.0;
    action = kBefore;
    return executor->Apply(directive, *state, grid.get(), now, &action);
  }
  // One tick, and what it moves.
  Applied Walk(const Directive& directive) {
    const Applied applied = Tick(directive);
    const float x = state->position[0] + 0.1f * EastOf(), y = state->position[1] + 0.1f * NorthOf();
    if (!grid || Stands(*grid, x, state->position[1])) state->position[0] = x;
    if (!grid || Stands(*grid, state->position[0], y)) state->position[1] = y;
    return applied;
  }
  void Walk(const Directive& directive, int ticks) {
    for (int i = 0; i < ticks; ++i) CHECK(Walk(directive) == Applied::kChanged);
  }
  // The move that was sent, back in the world's frame.
  float EastOf() const {
    return action.move[1] * std::cos(state->yaw) + action.move[0] * std::sin(state->yaw);
  }
  float NorthOf() const {
    return action.move[1] * std::sin(state->yaw) - action.move[0] * std::cos(state->yaw);
  }
  float Away(float x, float y) const {
    return std::hypot(state->position[0] - x, state->position[1] - y);
  }

  std::unique_ptr<GameState> state = std::make_unique<GameState>();
  std::unique_ptr<WalkGrid> grid;
  std::unique_ptr<Executor> executor = std::make_unique<Executor>();
  int64_t now = kSecond;
  Action action;
};

inline Directive Do(DirectiveAction action, TargetKind kind = TargetKind::kHere,
                    uint32_t target = 0) {
  const Directive directive = {
      .id = 1, .action = action, .kind = kind, .target = target, .until = INT64_MAX};
  CHECK(CheckDirective(directive).ok());
  return directive;
}

}  // namespace metabonk::play
