// Screens of the arena for the tests of this folder: opened, looked through for a text, pressed.
#pragma once

#include <cstring>

#include "arena_menus/run.h"
#include "metabonk/observe.h"

namespace metabonk::arena {

// A run in which `screen` is open and accepts a press.
inline Run On(Screen screen, uint64_t seed = 1) {
  LevelSpec spec = Quiet();
  spec.allow_pause = 1;
  Run run(spec, seed);
  run.Wait(10);
  if (screen == Screen::kLevelUp) run.world.player.pending_levels = 1;
  if (screen == Screen::kDeath) run.world.done = static_cast<uint8_t>(EpisodeEnd::kDied);
  if (screen != Screen::kPlaying) OpenMenu(run.world, run.level, screen);
  run.Wait(1);
  return run;
}

inline int FindWidget(const Run& run, const char* start) {
  Widget widgets[kMaxWidgets];
  const int count = run.Widgets(widgets);
  for (int i = 0; i < count; ++i) {
    if (std::strncmp(widgets[i].text, start, std::strlen(start)) == 0) return i;
  }
  return -1;
}

inline void PressText(Run& run, const char* start) {
  run.Step(Choose(FindWidget(run, start) + 1));
  run.Wait(1);
}

}  // namespace metabonk::arena
