// Who plays in these tests: a random player and the games' own solvers.
#pragma once

#include "games/grid64/episode.h"

namespace metabonk::grid64 {

// Uniform over the available actions, clicks uniform over the cells.
inline Action RandomAction(const Episode& episode, Draws& draws) {
  Action action;
  const ActionSet available = Available(episode);
  do {
    action.id = static_cast<uint8_t>(draws.Below(kActionIds));
  } while (!(available >> action.id & 1));
  action.x = static_cast<uint8_t>(draws.Below(kSide));
  action.y = static_cast<uint8_t>(draws.Below(kSide));
  return action;
}

// An episode that begins at `level` of the seed's levels.
inline Episode AtLevel(int game, Split split, uint64_t seed, int level) {
  Episode episode;
  Start(episode, game, split, seed);
  MakeLevel(GameAt(game), split, seed, level, episode.start);
  std::memcpy(episode.level, episode.start, kLevelBytes);
  episode.levels_completed = static_cast<uint8_t>(level);
  return episode;
}

}  // namespace metabonk::grid64
