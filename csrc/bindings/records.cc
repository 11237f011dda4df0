// metabonk._core.records: the layout of the shared records, and observations of packed states.
#include "metabonk/records.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <string>

#include "bindings/rooms.h"
#include "metabonk/observe.h"

namespace nb = nanobind;

namespace metabonk::bindings {

namespace {

using States = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Rows = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// {record: (size in bytes, {field: (offset, size)})}
#define FIELD(record, name) \
  fields[#name] =           \
      nb::make_tuple(offsetof(record, name), sizeof(static_cast<record*>(nullptr)->name))
#define RECORD(record) layout[#record] = nb::make_tuple(sizeof(record), fields)

void AddParts(nb::dict& layout) {
  nb::dict fields;
  FIELD(Entity, id), FIELD(Entity, kind), FIELD(Entity, flags), FIELD(Entity, position);
  FIELD(Entity, velocity), FIELD(Entity, health), FIELD(Entity, max_health);
  RECORD(Entity);
  fields = nb::dict();
  FIELD(Pickup, id), FIELD(Pickup, kind), FIELD(Pickup, position), FIELD(Pickup, value);
  RECORD(Pickup);
  fields = nb::dict();
  FIELD(Widget, x0), FIELD(Widget, y0), FIELD(Widget, x1), FIELD(Widget, y1);
  FIELD(Widget, enabled), FIELD(Widget, offer), FIELD(Widget, text);
  RECORD(Widget);
  fields = nb::dict();
  FIELD(StatChange, stat), FIELD(StatChange, multiply), FIELD(StatChange, amount);
  RECORD(StatChange);
  fields = nb::dict();
  FIELD(Offer, kind), FIELD(Offer, rarity), FIELD(Offer, item), FIELD(Offer, level);
  FIELD(Offer, change_count), FIELD(Offer, changes), FIELD(Offer, text);
  RECORD(Offer);
  fields = nb::dict();
  FIELD(Slot, kind), FIELD(Slot, level);
  RECORD(Slot);
  fields = nb::dict();
  FIELD(Action, move), FIELD(Action, look), FIELD(Action, jump), FIELD(Action, slide);
  FIELD(Action, interact), FIELD(Action, fire), FIELD(Action, ability), FIELD(Action, choice);
  FIELD(Action, click);
  RECORD(Action);
}

nb::dict Layout() {
  nb::dict layout;
  AddParts(layout);
  nb::dict fields;
  FIELD(GameState, fields), FIELD(GameState, dt), FIELD(GameState, time);
  FIELD(GameState, run_seed), FIELD(GameState, position), FIELD(GameState, velocity);
  FIELD(GameState, yaw), FIELD(GameState, health), FIELD(GameState, max_health);
  FIELD(GameState, shield), FIELD(GameState, xp), FIELD(GameState, xp_next);
  FIELD(GameState, gold), FIELD(GameState, score), FIELD(GameState, kills);
  FIELD(GameState, level), FIELD(GameState, grounded), FIELD(GameState, playing);
  FIELD(GameState, paused), FIELD(GameState, tier), FIELD(GameState, character);
  FIELD(GameState, entity_count), FIELD(GameState, pickup_count), FIELD(GameState, widget_count);
  FIELD(GameState, offer_count), FIELD(GameState, weapons), FIELD(GameState, tomes);
  FIELD(GameState, menu), FIELD(GameState, entities), FIELD(GameState, pickups);
  FIELD(GameState, widgets), FIELD(GameState, offers);
  RECORD(GameState);
  return layout;
}

#undef FIELD
#undef RECORD

struct Part {
  const char* name;
  size_t values;  // per environment
  bool real;      // float32, else uint8
};

constexpr Part kParts[] = {
    {"state", kStateFeatures, true},
    {"entities", kNearestEntities * kEntityFeatures, true},
    {"entities_mask", kNearestEntities, false},
    {"pickups", kNearestPickups * kPickupFeatures, true},
    {"pickups_mask", kNearestPickups, false},
    {"offers", kOfferRows * kOfferFeatures, true},
    {"offers_mask", kOfferRows, false},
    {"action_mask", kActionMask, false},
    {"dt", 1, true},
};
constexpr size_t kPartCount = std::size(kParts);

// The memory of one part of a caller's observation, or null if the caller does not want it. `kept`
// holds the array: others may change the dict while the GIL is released.
template <typename T>
T* MemoryOf(const nb::dict& observation, const Part& part, size_t num, nb::object* kept) {
  if (!observation.contains(part.name)) return nullptr;
  *kept = observation[part.name];
  Rows<T> rows;
  const std::string name = std::string("observation['") + part.name + "']";
  if (!nb::try_cast<Rows<T>>(*kept, rows, false)) {
    throw nb::type_error((name + ": must be a writable C-contiguous " +
                          (part.real ? "float32" : "uint8") + " array on the CPU")
                             .c_str());
  }
  if (rows.ndim() < 1 || rows.shape(0) != num || rows.size() != num * part.values) {
    throw nb::value_error((name + ": must hold " + std::to_string(part.values) +
                           " values for each of " + std::to_string(num) + " states")
                              .c_str());
  }
  return rows.data();
}

void ObserveInto(const States& states, const nb::dict& observation) {
  const size_t num = states.shape(0);
  if (states.shape(1) != sizeof(GameState)) {
    throw nb::value_error("states: each row must be one packed GameState, see records.layout()");
  }
  if (reinterpret_cast<uintptr_t>(states.data()) % alignof(GameState) != 0) {
    throw nb::value_error("states: memory must be aligned to 8 bytes, copy the array");
  }
  float* real[kPartCount] = {};
  uint8_t* masks[kPartCount] = {};
  nb::object kept[kPartCount];
  for (size_t p = 0; p < kPartCount; ++p) {
    if (kParts[p].real) {
      real[p] = MemoryOf<float>(observation, kParts[p], num, &kept[p]);
    } else {
      masks[p] = MemoryOf<uint8_t>(observation, kParts[p], num, &kept[p]);
    }
  }
  const auto* packed = reinterpret_cast<const GameState*>(states.data());
  nb::gil_scoped_release release;
  for (size_t i = 0; i < num; ++i) {
    const auto at = [&](auto* base, size_t part) {
      return base ? base + i * kParts[part].values : nullptr;
    };
    Observe(packed[i], {.state = at(real[0], 0),
                        .entities = at(real[1], 1),
                        .entities_mask = at(masks[2], 2),
                        .pickups = at(real[3], 3),
                        .pickups_mask = at(masks[4], 4),
                        .offers = at(real[5], 5),
                        .offers_mask = at(masks[6], 6),
                        .action_mask = at(masks[7], 7),
                        .dt = at(real[8], 8)});
  }
}

}  // namespace

void BindRecords(nb::module_& core) {
  nb::module_ module = core.def_submodule("records", "The records that every game shares.");
  module.def("layout", &Layout, "{record: (size, {field: (offset, size)})}, in bytes.");
  module.def(
      "observe_into", &ObserveInto, nb::arg("states").noconvert(), nb::arg("observation"),
      "Writes the observations of packed states uint8 [N, sizeof(GameState)] into a dict of\n"
      "arrays [N, ...]; keys that are left out are skipped. Raises TypeError or ValueError\n"
      "that names the array.");
}

}  // namespace metabonk::bindings
