// Reward: what happened in a decision, weighted as the level says. Apart from the score, which the
// rules keep.
#pragma once

#include "games/arena/spec.h"
#include "games/arena/state.h"

namespace metabonk::arena {

// `seconds` of game time passed; `ended` is how the run ended in this decision, if it did.
inline float RewardOf(const RewardWeights& weights, const Totals& before, const Totals& after,
                      float seconds, EpisodeEnd ended) {
  const auto more = [](auto now, auto then) { return static_cast<float>(now - then); };
  float reward = weights.alive * seconds;
  reward += weights.kill * more(after.kills, before.kills);
  reward += weights.xp * more(after.xp_earned, before.xp_earned);
  reward += weights.gold * more(after.gold_earned, before.gold_earned);
  reward += weights.level * more(after.levels, before.levels);
  reward += weights.damage_dealt * more(after.damage_dealt, before.damage_dealt);
  reward += weights.damage_taken * more(after.damage_taken, before.damage_taken);
  reward += weights.heal * more(after.healed, before.healed);
  reward += weights.boss * more(after.boss_kills, before.boss_kills);
  reward += weights.chest * more(after.chests + after.shrines, before.chests + before.shrines);
  reward += weights.victory * more(after.victories, before.victories);
  if (ended == EpisodeEnd::kDied) reward += weights.death;
  return reward;
}

}  // namespace metabonk::arena
