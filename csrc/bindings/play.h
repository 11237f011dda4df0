// Port: one agent's side of a game as Python hands it from who made the game to the loop. The
// objects are the game's, which nanobind keeps alive.
#pragma once

#include "play/source.h"

namespace metabonk::bindings {

struct Port {
  play::Source* source;
  play::Sink* sink;
};

}  // namespace metabonk::bindings
