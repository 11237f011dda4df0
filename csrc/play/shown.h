// Shown: a capture on its way from the thread of a game to the thread that ticks. Plain data, to
// go through a mailbox.
#pragma once

#include <cstdint>

#include "metabonk/records.h"

namespace metabonk::play {

struct Shown {
  GameState state = {};
  uint64_t step = 0;    // rises with every capture
  uint64_t run = 0;     // how many runs began before it
  uint64_t ground = 0;  // number of the WalkGrid that it belongs to; 0: none
  double clock = 0.0;   // seconds of game time since the first, also in menus and through all runs
  int64_t capture = 0, ready = 0;
};

}  // namespace metabonk::play
