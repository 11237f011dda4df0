#include "games/arena/sprite_art.h"

#include <cstring>

namespace metabonk::arena {

namespace {

const FiledArt* Find(const char* id) {
  for (const auto& shelf : {CreatureArt(), ThingArt()}) {
    for (const FiledArt& filed : shelf) {
      if (std::strcmp(filed.id, id) == 0) return &filed;
    }
  }
  return nullptr;
}

}  // namespace

Art ArtOf(const char* id, const char* fallback) {
  const FiledArt* found = Find(id);
  if (found == nullptr) found = Find(fallback);
  return found ? found->art : Art();
}

}  // namespace metabonk::arena
