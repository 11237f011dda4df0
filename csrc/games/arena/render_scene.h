// Everything that stands, flies or lies on the ground: collected from the world, sorted by depth
// and drawn from far to near.
#pragma once

#include "games/arena/canvas.h"
#include "games/arena/render_camera.h"
#include "games/arena/view.h"

namespace metabonk::arena {

void DrawScene(const World& world, const Level& level, const Camera& camera, const TerrainMap& map,
               const Canvas& canvas);

}  // namespace metabonk::arena
