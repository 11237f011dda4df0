// Matcher: ids for the enemies of v1, which has none, by which of the state before is nearest.
// Greedy and mutual: an enemy keeps an id while it is the nearest to its own last place, within
// what it may have run. Ids count up and are never used again. Knows positions only.
#pragma once

#include <array>
#include <cstdint>

#include "metabonk/records.h"

namespace metabonk::link {

class Matcher {
 public:
  // Farther than this an enemy does not get: metres per second, and metres for what pushes it.
  static constexpr float kSpeedMax = 30.0f, kSlack = 1.5f;

  // Writes the ids of state->entities; dt: seconds since the state before, on the game's clock.
  void Match(float dt, GameState* state);
  // Nobody of before is known any more: a new run or connection.
  void Forget() { count_ = 0; }

 private:
  struct Known {
    float position[3];
    uint32_t id;
  };
  std::array<Known, kMaxEntities> known_;
  int count_ = 0;
  uint32_t last_id_ = 0;
};

}  // namespace metabonk::link
