// metabonk._core.arena: the content file and the layout of a level specification.
#include <nanobind/nanobind.h>

#include <cstring>

#include "bindings/arrays.h"
#include "bindings/rooms.h"
#include "games/arena/content.h"
#include "games/arena/spec.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

nb::dict SpecLayout() {
  nb::dict out;
  for (const arena::SpecField& field : arena::SpecFields()) {
    out[field.name] =
        nb::make_tuple(field.offset, field.count, nb::str(&field.type, 1), field.low, field.high);
  }
  return out;
}

nb::bytes DefaultSpecBytes() {
  const arena::LevelSpec spec = arena::DefaultSpec();
  return nb::bytes(reinterpret_cast<const char*>(&spec), sizeof spec);
}

void CheckSpec(const nb::bytes& bytes) {
  if (bytes.size() != sizeof(arena::LevelSpec)) {
    throw nb::value_error("spec: must be as long as the struct, see spec_bytes");
  }
  arena::LevelSpec spec;
  std::memcpy(&spec, bytes.data(), sizeof spec);
  RaiseUnlessOk(arena::Validate(spec));
}

}  // namespace

void BindLevel(nb::module_& core) {
  nb::module_ module = core.def_submodule("arena");
  module.attr("spec_bytes") = sizeof(arena::LevelSpec);
  module.def(
      "content", [] { return nb::str(arena::kContentText, sizeof arena::kContentText - 1); },
      "The text of content.toml as it was compiled in.");
  module.def("spec_layout", SpecLayout,
             "Field -> (offset, count, type of struct.unpack, lowest, highest) of a packed level.");
  module.def("default_spec", DefaultSpecBytes, "The packed default level.");
  module.def("check_spec", CheckSpec, nb::arg("spec"),
             "Raises ValueError, with the field's name first, for a level that cannot be played.");
}

}  // namespace metabonk::bindings
