// Episode: the levels of one game in a row, from a seed and a split. Plain bytes: a clone is a
// copy. Knows the table of functions of a game, not its rules.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "games/grid64/game.h"

namespace metabonk::grid64 {

// Levels of one split never share a frame with levels of the other: a level belongs to the split
// that the hash of its layout says, and the generator draws until it has one of the right split.
enum class Split : uint8_t { kTrain, kTest };
Split SplitOf(const Game& game, const void* level);

enum class GameStatus : uint8_t { kNotFinished, kWin, kGameOver };

struct Episode {
  uint64_t seed;     // of the environment, as it was given
  uint64_t episode;  // 0 for the first; later ones derive their seed from (seed, episode)
  uint32_t game;     // index into the catalog
  uint32_t length;   // steps since the episode began
  uint32_t tick;     // steps since the level began
  Split split;
  GameStatus status;
  uint8_t levels_completed;
  uint8_t over;                // the next step begins a new episode
  uint8_t level[kLevelBytes];  // as it is
  uint8_t start[kLevelBytes];  // as RESET makes it again
};
static_assert(std::is_trivially_copyable_v<Episode>);
static_assert(std::has_unique_object_representations_v<Episode>);
static_assert(offsetof(Episode, level) % 8 == 0 && offsetof(Episode, start) % 8 == 0);

struct StepResult {
  float reward = 0;         // 1 for each level finished in this step
  bool terminated = false;  // the game was won or lost
  bool truncated = false;   // the level's step limit was reached
  bool is_reset = false;    // this step began a new episode and ignored its action
};

// Where one episode's observation is written. A null pointer skips that part.
struct ObservationView {
  uint8_t* cells = nullptr;             // [64, 64] palette indices
  uint8_t* action_mask = nullptr;       // [kActionIds], 1 where the action can do something
  int32_t* levels_completed = nullptr;  // [1]
};

// Columns of an action row: action, x, y.
inline constexpr int kActionColumns = 3;
// Any floats are safe. An action outside 0..6 (or not a number) is no action, as is a click with a
// coordinate outside 0..63; fractions are cut off.
Action ActionOf(const float* row);

// Generates level `index` of an episode into `level` (kLevelBytes); returns how many draws it took.
int MakeLevel(const Game& game, Split split, uint64_t seed, int index, void* level);

// layouts: how many different episodes there are, 0 for no bound. With a bound seeds count up to it
// only, as in Procgen (Cobbe et al. 2020); it is no part of the episode, and is the same in every
// call for one.
void Start(Episode& episode, int game, Split split, uint64_t seed, uint64_t layouts = 0);
StepResult Step(Episode& episode, Action action, uint64_t layouts = 0);
ActionSet Available(const Episode& episode);
void Observe(const Episode& episode, const ObservationView& out);
uint64_t Hash(const Episode& episode);
// Whether bytes from outside can be an episode of `game` and `split` that may be stepped and shown.
bool Sound(const Episode& episode, int game, Split split);

// A plan that finishes the level in play, with a RESET first where it has become unsolvable.
bool Solve(const Episode& episode, std::vector<Action>* plan);

}  // namespace metabonk::grid64
