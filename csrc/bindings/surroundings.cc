// metabonk._core.surroundings: what a state comes to for who decides by rules.
#include "play/surroundings.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "bindings/arrays.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {

namespace {

play::Surroundings Look(const nb::bytes& packed, double near, double far) {
  if (!(near > 0.0 && far > 0.0)) throw nb::value_error("near, far: must be above 0 metres");
  GameState state;
  if (packed.size() != sizeof state) {
    throw nb::value_error(
        (std::to_string(packed.size()) + " bytes; wanted " + std::to_string(sizeof state)).c_str());
  }
  std::memcpy(static_cast<void*>(&state), packed.data(), sizeof state);
  play::Surroundings found;
  if (play::LookAround(state, near, far, &found)) return found;
  throw nb::value_error(("position " + std::to_string(state.position[0]) + ", " +
                         std::to_string(state.position[1]) + " and health " +
                         std::to_string(state.health) + "; wanted finite numbers")
                            .c_str());
}

nb::object Array(const play::Compass& compass) {
  double* out;
  nb::object array = NewArray<double>({compass.size()}, &out);
  std::copy(compass.begin(), compass.end(), out);
  return array;
}

nb::object OrNone(const play::Candidate& candidate) {
  return candidate.there ? nb::cast(candidate) : nb::none();
}

void BindCandidate(nb::module_& module) {
  using play::Candidate;
  nb::class_<Candidate>(module, "Candidate", "A thing to go to.")
      .def_ro("id", &Candidate::id)
      .def_prop_ro(
          "kind", [](const Candidate& c) { return static_cast<int>(c.kind); },
          "records.PickupKind.")
      .def_ro("away", &Candidate::away, "Metres.")
      .def_ro("blocked", &Candidate::blocked, "How much threatens from its direction.")
      .def_ro("worth", &Candidate::worth,
              "Of what is used, less what threatens on the way; 0 of a heart.");
}

}  // namespace

void BindSurroundings(nb::module_& core) {
  nb::module_ module = core.def_submodule("surroundings", "What states come to, for rules.");
  using play::Surroundings;
  BindCandidate(module);
  nb::class_<Surroundings>(module, "Surroundings", "What a state comes to.")
      .def_ro("gold", &Surroundings::gold, "Infinite where it is not told.")
      .def_ro("health", &Surroundings::health, "0..1 of the most.")
      .def_ro("enemies", &Surroundings::enemies,
              "That are nearer than twice `near`, projectiles among them.")
      .def_ro("danger", &Surroundings::danger,
              "How much threatens, about the number of ordinary enemies at arm's length.")
      .def_prop_ro(
          "sectors", [](const Surroundings& s) { return Array(s.sectors); },
          "float64 [16]: threat by compass direction, with half of the neighbouring ones'.",
          nb::sig("def sectors(self) -> numpy.typing.NDArray[numpy.float64]"))
      .def_ro("exits", &Surroundings::exits, "Directions that are all but free.")
      .def_ro("gap", &Surroundings::gap,
              "The direction of the widest gap, away from the middle of what threatens.")
      .def_prop_ro(
          "pulls", [](const Surroundings& s) { return Array(s.pulls); },
          "float64 [16]: worth of what lies, by compass direction.",
          nb::sig("def pulls(self) -> numpy.typing.NDArray[numpy.float64]"))
      .def_ro("pull", &Surroundings::pull,
              "The same of all directions, less where something is in the way.")
      .def_ro("opponents", &Surroundings::opponents, "Whether somebody is no projectile.")
      .def_prop_ro(
          "boss", [](const Surroundings& s) { return s.boss ? nb::cast(s.boss_id) : nb::none(); },
          "The nearest boss's id, or None.", nb::sig("def boss(self) -> int | None"))
      .def_prop_ro(
          "heart", [](const Surroundings& s) { return OrNone(s.heart); },
          "The heart whose way is shortest, what threatens there counting as a detour, or None.",
          nb::sig("def heart(self) -> Candidate | None"))
      .def_prop_ro(
          "use", [](const Surroundings& s) { return OrNone(s.use); },
          "The best of what is used and can be paid, or None.",
          nb::sig("def use(self) -> Candidate | None"));
  module.def("look", &Look, nb::arg("state"), nb::arg("near"), nb::arg("far"),
             "state: packed. near, far: metres at which an enemy and what is used count half. "
             "Raises ValueError for other bytes, and where the position or health is no number.");
}

}  // namespace metabonk::bindings
