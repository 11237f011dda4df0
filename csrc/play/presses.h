// Presses: what is pressed reaches the game once, however late the game is. Moves may be overtaken
// by newer ones on the way; a press that was overtaken would have to be made again, by somebody who
// cannot know whether it is lost or under way to a screen that follows.
//
// Every answer carries the newest press and how many there were: the game's side carries it out at
// the first answer it sees of it, and leaves a tick without a press between two.
#pragma once

#include <cstdint>

#include "link/press.h"
#include "metabonk/records.h"

namespace metabonk::play {

struct Press {
  float choice = 0.0f;
  float click[2] = {-1.0f, -1.0f};
};

// An action on its way to the game. `action` has no press in it.
struct Answer {
  Action action = {{0, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};
  uint64_t number = 0;  // from 1
  uint64_t answers = 0;
  uint64_t presses = 0;  // so far
  Press press;           // the last of them
};

using link::IsPress;

inline void LeavePress(Action* action) {
  action->choice = 0.0f;
  action->click[0] = action->click[1] = -1.0f;
}

// The side that decides.
class PressWriter {
 public:
  Answer Next(const Action& action, uint64_t answers) {
    if (IsPress(action)) {
      ++presses_;
      press_ = {action.choice, {action.click[0], action.click[1]}};
    }
    Answer next = {action, ++number_, answers, presses_, press_};
    LeavePress(&next.action);
    return next;
  }

 private:
  uint64_t number_ = 0;
  uint64_t presses_ = 0;
  Press press_;
};

// The side that plays. Due is called once for every step of the game.
class PressReader {
 public:
  Action Due(const Answer& newest) {
    Action action = newest.action;
    pressed_ = !pressed_ && newest.presses > seen_;
    if (!pressed_) return action;
    seen_ = newest.presses;
    action.choice = newest.press.choice;
    action.click[0] = newest.press.click[0];
    action.click[1] = newest.press.click[1];
    return action;
  }

  // Nobody is there to press for: what was pressed until now is forgotten.
  void Drop(const Answer& newest) { seen_ = newest.presses; }

 private:
  uint64_t seen_ = 0;
  bool pressed_ = false;  // in the last step
};

}  // namespace metabonk::play
