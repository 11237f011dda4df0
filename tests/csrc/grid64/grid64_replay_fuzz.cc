// Any bytes as a replay: refused or played, never out of bounds.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "games/grid64/replay.h"

using namespace metabonk::grid64;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ReplayResult result;
  VerifyReplay({data, size}, &result);
  return 0;
}

size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  static std::vector<uint8_t> seeds[kGames];
  if (index >= kGames) return kGames;
  if (seeds[index].empty()) {
    const int game = static_cast<int>(index);
    Episode episode;
    Start(episode, game, Split::kTrain, 1);
    std::vector<Action> actions;
    Solve(episode, &actions);
    WriteReplay(game, Split::kTrain, 1, actions, &seeds[index]);
  }
  *out = seeds[index];
  return kGames;
}
