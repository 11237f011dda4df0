// Presses: the parts of an action that happen once, a choice and a click. An action that waits may
// be overtaken by a newer one, and its moves with it; what it pressed would be lost. Knows actions
// alone; who keeps them is both ends' business.
#pragma once

#include <algorithm>

#include "metabonk/records.h"

namespace metabonk::link {

inline bool IsPress(const Action& action) {
  return action.choice >= 0.5f || (action.click[0] >= 0.0f && action.click[1] >= 0.0f);
}

// What was pressed in an action that nobody took yet goes on in the one that overtakes it, unless
// that presses something itself.
inline void KeepPress(const Action& overtaken, Action* newer) {
  if (!IsPress(overtaken) || IsPress(*newer)) return;
  newer->choice = overtaken.choice;
  std::copy_n(overtaken.click, 2, newer->click);
}

}  // namespace metabonk::link
