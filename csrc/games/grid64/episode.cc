#include "games/grid64/episode.h"

#include <cstring>

#include "games/grid64/canvas.h"

namespace metabonk::grid64 {
namespace {

const Game& GameOf(const Episode& episode) { return GameAt(static_cast<int>(episode.game)); }

uint64_t EpisodeSeed(const Episode& episode, uint64_t layouts) {
  const uint64_t seed =
      episode.episode == 0 ? episode.seed : HashDraw(episode.seed, episode.episode);
  return layouts == 0 ? seed : seed % layouts;
}

void StartLevel(Episode& episode, uint64_t layouts) {
  const Game& game = GameOf(episode);
  MakeLevel(game, episode.split, EpisodeSeed(episode, layouts), episode.levels_completed,
            episode.start);
  std::memcpy(episode.level, episode.start, kLevelBytes);
  episode.tick = 0;
}

void StartEpisode(Episode& episode, uint64_t layouts) {
  episode.length = 0;
  episode.status = GameStatus::kNotFinished;
  episode.levels_completed = 0;
  episode.over = 0;
  StartLevel(episode, layouts);
}

}  // namespace

Split SplitOf(const Game& game, const void* level) {
  return Mix64(game.layout(level)) >> 63 ? Split::kTest : Split::kTrain;
}

int MakeLevel(const Game& game, Split split, uint64_t seed, int index, void* level) {
  const uint64_t name = HashBytes(static_cast<uint64_t>(split), game.name, std::strlen(game.name));
  const uint64_t key = HashDraw(HashDraw(name, seed), static_cast<uint64_t>(index));
  for (int attempt = 0;; ++attempt) {
    std::memset(level, 0, kLevelBytes);
    Draws draws{HashDraw(key, static_cast<uint64_t>(attempt))};
    if (game.generate(level, draws, index) && SplitOf(game, level) == split) return attempt + 1;
  }
}

Action ActionOf(const float* row) {
  Action action;
  if (!(row[0] >= 0.0f && row[0] < static_cast<float>(kActionIds))) return action;
  action.id = static_cast<uint8_t>(row[0]);
  if (action.id != kClick) return action;
  const bool inside = row[1] >= 0.0f && row[1] < kSide && row[2] >= 0.0f && row[2] < kSide;
  if (!inside) return {};
  action.x = static_cast<uint8_t>(row[1]);
  action.y = static_cast<uint8_t>(row[2]);
  return action;
}

void Start(Episode& episode, int game, Split split, uint64_t seed, uint64_t layouts) {
  std::memset(&episode, 0, sizeof(episode));
  episode.seed = seed;
  episode.game = static_cast<uint32_t>(game);
  episode.split = split;
  StartEpisode(episode, layouts);
}

StepResult Step(Episode& episode, Action action, uint64_t layouts) {
  StepResult result;
  if (episode.over) {
    ++episode.episode;
    StartEpisode(episode, layouts);
    result.is_reset = true;
    return result;
  }
  const Game& game = GameOf(episode);
  const bool known = action.id < kActionIds && action.x < kSide && action.y < kSide;
  if (!known || !(Available(episode) >> action.id & 1)) action = {};
  if (action.id == kReset) std::memcpy(episode.level, episode.start, kLevelBytes);
  const Outcome outcome = game.step(episode.level, action, episode.tick);
  ++episode.tick;
  ++episode.length;
  if (outcome == Outcome::kSolved) {
    result.reward = 1.0f;
    if (++episode.levels_completed == game.levels) {
      episode.status = GameStatus::kWin;
      result.terminated = true;
    } else {
      StartLevel(episode, layouts);
    }
  } else if (outcome == Outcome::kLost) {
    episode.status = GameStatus::kGameOver;
    result.terminated = true;
  } else if (episode.tick >= game.step_limit) {
    result.truncated = true;
  }
  episode.over = result.terminated || result.truncated;
  return result;
}

ActionSet Available(const Episode& episode) {
  if (episode.over) return Allow(kReset);  // whatever is done next begins a new episode
  return GameOf(episode).available(episode.level, episode.tick);
}

void Observe(const Episode& episode, const ObservationView& out) {
  const Game& game = GameOf(episode);
  if (out.cells) {
    game.render(episode.level, episode.tick, out.cells);
    for (int i = 0; i < game.levels; ++i) {  // level marks: finished, in play, to come
      const uint8_t color = i < episode.levels_completed    ? kGreen
                            : i == episode.levels_completed ? kWhite
                                                            : kDarkGrey;
      Fill(out.cells, 1 + 4 * i, 1, 3, 2, color);
    }
  }
  if (out.action_mask) {
    const ActionSet available = Available(episode);
    for (int i = 0; i < kActionIds; ++i) out.action_mask[i] = available >> i & 1;
  }
  if (out.levels_completed) *out.levels_completed = episode.levels_completed;
}

uint64_t Hash(const Episode& episode) { return HashBytes(0, &episode, sizeof(episode)); }

bool Sound(const Episode& episode, int game, Split split) {
  const Game& table = GameAt(game);
  if (episode.split != split || episode.over > 1 || episode.status > GameStatus::kGameOver ||
      episode.levels_completed > table.levels - !episode.over) {
    return false;
  }
  return table.sound(episode.level) && table.sound(episode.start);
}

bool Solve(const Episode& episode, std::vector<Action>* plan) {
  if (episode.over) return false;
  const Game& game = GameOf(episode);
  if (game.solve(episode.level, episode.tick, plan)) return true;
  plan->clear();
  if (!(Available(episode) >> kReset & 1)) return false;
  plan->push_back({kReset});
  return game.solve(episode.start, episode.tick + 1, plan);
}

}  // namespace metabonk::grid64
