// ResearchPlugin's six numbers (move right, move forward, four buttons) and an Action, both ways.
// Knows which button is which; nothing of files or policies. As metabonk/link/research_shm.py's
// `widened` has it, and docs/host.md.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "ipc/research_shm.h"
#include "metabonk/records.h"

namespace metabonk::play {

using ResearchRow = std::array<float, ipc::kResearchActionColumns>;

// While playing the four are jump, slide, interact and fire.
inline Action ActionOfResearch(const ResearchRow& row) {
  Action action = {{row[0], row[1]}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};
  action.jump = row[2];
  action.slide = row[3];
  action.interact = row[4];
  action.fire = row[5];
  return action;
}

// In menus they select the first four widgets, so that a choice of one of those is its button.
// *lost counts what cannot be said: look, ability, other choices, clicks.
inline ResearchRow ResearchOfAction(const Action& action, uint64_t* lost) {
  ResearchRow row = {action.move[0], action.move[1],  action.jump,
                     action.slide,   action.interact, action.fire};
  const float bounded = std::min(action.choice, static_cast<float>(kMaxWidgets));
  const long choice = bounded >= 0.5f ? std::lround(bounded) : 0;
  const bool said = choice >= 1 && choice <= 4;
  if (said) row[static_cast<size_t>(1 + choice)] = 1.0f;
  *lost += (choice != 0 && !said) + (action.look[0] != 0.0f || action.look[1] != 0.0f) +
           (action.ability >= 0.5f) + (action.click[0] >= 0.0f && action.click[1] >= 0.0f);
  return row;
}

}  // namespace metabonk::play
