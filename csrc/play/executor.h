// Executor: carries a directive out, tick after tick: what it asks for, grounded anew in every
// decided tick's state, becomes a move and perhaps a press. Knows aims, routes and steering, and
// remembers what it chose; knows no threads, no policy and not who gave the directive.
//
// What it does follows from the directives and states that it was given, in their order, and from
// nothing else, so that a session can be played again. It allocates nothing after it was made.
#pragma once

#include <cstdint>

#include "metabonk/records.h"
#include "play/aim.h"
#include "play/directive.h"
#include "play/ground.h"
#include "play/route.h"
#include "play/steer.h"

namespace metabonk::play {

class Executor {
 public:
  // Changes what the policy decided in `state` at `now` as the directive in force asks: its move,
  // and what else the directive names. To be called in every decided tick, also without a directive
  // (action kNone), for it remembers where one has been. grid: of the state's run, may be null.
  Applied Apply(const Directive& directive, const GameState& state, const WalkGrid* grid,
                int64_t now, Action* action);

 private:
  void Note(const GameState& state, int64_t now);
  void Take(const Directive& directive, const GameState& state, int64_t now);
  Applied Carry(const Directive& directive, const GameState& state, const WalkGrid* grid,
                int64_t now, Action* action);
  Wish WishOf(const Aim& aim, const GameState& state, const WalkGrid* grid, int64_t now,
              bool* arrived);
  Wish Towards(float x, float y, const GameState& state, const WalkGrid* grid, int64_t now);
  Wish Circle(const Aim& aim, const GameState& state, const WalkGrid* grid, int64_t now);
  void Unstick(const GameState& state, int64_t now, Wish* wish);

  Directive taken_;  // the last one; what it asked for is in choices_
  Choices choices_;
  Visited visited_;
  Route route_;
  Threats threats_;
  int64_t routed_ = 0;    // when the last search began
  bool climbs_ = false;   // the way takes a jump now
  Way last_;              // of the tick before
  float side_ = 1.0f;     // which way round something is circled
  uint32_t clicked_ = 0;  // id of the directive whose click has gone out
  bool pressed_ = false;  // interact in the tick before: games take a press after a release
  uint64_t run_ = 0;
  double time_ = 0.0;                    // of the game
  float mark_x_ = 0.0f, mark_y_ = 0.0f;  // where one was at mark_, for not moving on
  int64_t mark_ = 0, dodge_until_ = 0;
};

}  // namespace metabonk::play
