#include "games/arena/hud.h"

namespace metabonk::arena {

void DrawScreen(const World& world, const Level& level, const Canvas& canvas) {
  (void)world, (void)level, (void)canvas;
}

}  // namespace metabonk::arena
