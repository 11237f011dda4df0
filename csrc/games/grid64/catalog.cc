// The list of games. A new game is a file with a `const Game` and a row here.
#include <cstring>

#include "games/grid64/game.h"

namespace metabonk::grid64 {

const Game& GameAt(int index) {
  static const Game* const kAll[kGames] = {&kKeyDoor,    &kTMaze,       &kNoisyTv,
                                           &kStallClock, &kPushBlocks,  &kClickSwitch,
                                           &kIceSlide,   &kMemoryMatch, &kConveyor};
  return *kAll[index];
}

int FindGame(const char* name) {
  for (int i = 0; i < kGames; ++i) {
    if (std::strcmp(GameAt(i).name, name) == 0) return i;
  }
  return -1;
}

}  // namespace metabonk::grid64
