// Source and Sink: where a tick's state and frame come from, and where its action goes. The arena
// in this process, a game over the frame ring and one over BonkLink all look like this to the
// control loop, which waits for none of them.
#pragma once

#include <cstdint>

#include "metabonk/records.h"

namespace metabonk::play {

struct WalkGrid;  // ground.h
class Sends;      // sends.h

// What the game showed: rows of `width` pixels without gaps, top row first.
struct FrameView {
  const uint8_t* pixels = nullptr;  // null: the game gave no frame
  int32_t height = 0;
  int32_t width = 0;
  int32_t channels = 0;
  uint64_t step = 0;  // of the game; that of the state unless the two were captured apart
};

// One capture of a game.
struct Moment {
  const GameState* state = nullptr;  // `dt` counts from the moment that was given before this one
  FrameView frame;
  uint64_t sequence = 0;  // rises with every capture, so gaps are captures that nobody saw
  int64_t capture = 0;    // monotonic nanoseconds of this machine: when the game was as shown here
  int64_t ready = 0;      // when a reader could first have had it
  bool begins = false;    // a run began since the moment before: forget the past
  const WalkGrid* ground = nullptr;  // where one can walk in the state's run; null: not known
};

class Source {
 public:
  virtual ~Source() = default;
  // The newest moment, if it is newer than the one given before; else false, `moment` untouched.
  // What `moment` points to stays as it is until the next call that returns true. Never waits for
  // the game, never allocates. Called by the thread that ticks.
  virtual bool Newest(Moment* moment) = 0;
  // Returns once Newest would return true, or at `until`; false if it knows no better way to wait
  // than to ask again a little later.
  virtual bool Wait(int64_t until) {
    (void)until;
    return false;
  }
};

class Sink {
 public:
  virtual ~Sink() = default;
  // Hands an action over, which answers the moment of that sequence. Never waits, never allocates;
  // false if it could not be handed over.
  virtual bool Act(const Action& action, uint64_t answers) = 0;
  // When what Act took (the n-th is number n) left for the game, of a sink whose actions a thread
  // of its own sends; null where they have left once Act returns.
  virtual const Sends* sends() const { return nullptr; }
};

}  // namespace metabonk::play
