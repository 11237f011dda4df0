// What lies over the picture of the world: bars and counters while playing, the screens of menus.
// Reads the world and the same widgets that presses are matched against.
#pragma once

#include "games/arena/canvas.h"
#include "games/arena/rules.h"

namespace metabonk::arena {

// Bars, counters and widgets of whatever screen is open.
void DrawScreen(const World& world, const Level& level, const Canvas& canvas);

// render_menus.cc: dims the world and draws the open menu and its widgets.
void DrawMenu(const World& world, const Level& level, const Canvas& canvas);

}  // namespace metabonk::arena
