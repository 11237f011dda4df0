// metabonk._core: the native core as Python sees it, one submodule per room.
#include <nanobind/nanobind.h>

#include "bindings/rooms.h"

NB_MODULE(_core, module) {
  module.doc() = "The native core of MetaBonk.";
  metabonk::bindings::BindSupport(module);
  metabonk::bindings::BindRecords(module);
  metabonk::bindings::BindLevel(module);
  metabonk::bindings::BindReplay(module);
  metabonk::bindings::BindArena(module);
  metabonk::bindings::BindGrid64(module);
  metabonk::bindings::BindNn(module);
  metabonk::bindings::BindVideo(module);
  metabonk::bindings::BindMotion(module);
  metabonk::bindings::BindPlay(module);
  metabonk::bindings::BindSurroundings(module);
  metabonk::bindings::BindLink(module);
  metabonk::bindings::BindResearchShm(module);
  metabonk::bindings::BindFrameRing(module);
}
