// What lies over the picture of the world: bars and counters while playing, the screens of menus.
// Reads the world and the same widgets that presses are matched against.
#pragma once

#include "games/arena/canvas.h"
#include "games/arena/rules.h"

namespace metabonk::arena {

// Bars, counters and the widgets of whatever screen is open.
void DrawScreen(const World& world, const Level& level, const Canvas& canvas);

// Pixels of a dot of text in a detailed frame.
int DotSize(const Canvas& canvas);

// menu_view.cc: the open menu and its widgets; while playing, the widgets alone.
void DrawMenu(const World& world, const Level& level, const Canvas& canvas);
// menu_cards.cc: one widget, drawn within its rectangle.
void DrawWidget(const World& world, const Widget& widget, const Canvas& canvas);

}  // namespace metabonk::arena
