// metabonk._core.play: looking at a seat from a thread beside the loop.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <cstring>
#include <mutex>

#include "bindings/arrays.h"
#include "bindings/play.h"
#include "play/tick.h"
#include "play/watch.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

// A watch and who looks: one at a time.
struct Watched {
  Watched(int64_t every, size_t frame_bytes) : watch(every, frame_bytes) {}
  play::Watch watch;
  std::mutex one_looker;
  uint64_t run = 0;  // of the last look
};

constexpr size_t kMostFrameBytes = size_t{1} << 24;

nb::object FrameOf(const play::Glimpse& glimpse) {
  if (glimpse.height == 0) return nb::none();
  uint8_t* out;
  nb::object array =
      NewArray<uint8_t>({static_cast<size_t>(glimpse.height), static_cast<size_t>(glimpse.width),
                         static_cast<size_t>(glimpse.channels)},
                        &out);
  std::memcpy(out, glimpse.pixels.data(),
              static_cast<size_t>(glimpse.height) * static_cast<size_t>(glimpse.width) *
                  static_cast<size_t>(glimpse.channels));
  return array;
}

// What the run before ended with, once for each.
nb::object EndedOf(const play::Glimpse& glimpse, uint64_t* run) {
  const bool another = glimpse.run != *run;
  *run = glimpse.run;
  if (!another || glimpse.ended_at == 0) return nb::none();
  return nb::make_tuple(nb::bytes(reinterpret_cast<const char*>(&glimpse.ended), sizeof(GameState)),
                        glimpse.ended_at);
}

nb::object Look(Watched& watched) {
  const std::lock_guard<std::mutex> lock(watched.one_looker);
  const play::Glimpse* glimpse = watched.watch.Look();
  if (glimpse == nullptr) return nb::none();
  return nb::make_tuple(
      nb::bytes(reinterpret_cast<const char*>(&glimpse->state), sizeof(GameState)),
      glimpse->sequence, glimpse->capture, glimpse->run, FrameOf(*glimpse), glimpse->began,
      EndedOf(*glimpse, &watched.run));
}

}  // namespace

void BindWatch(nb::module_& module) {
  nb::class_<Watched>(module, "Watch", "What a thread beside the loop may see of a seat.")
      .def(
          "__init__",
          [](Watched* watched, double every, size_t frame_bytes) {
            if (!(every >= 0.0 && every <= 3600.0)) {
              throw nb::value_error("every: must be 0 to 3600 seconds");
            }
            if (frame_bytes > kMostFrameBytes) {
              throw nb::value_error("frame_bytes: must be at most 16 MiB");
            }
            new (watched) Watched(static_cast<int64_t>(every * 1e9), frame_bytes);
          },
          nb::arg("every"), nb::arg("frame_bytes"),
          "every: seconds between moments at least, but for one that is wanted. frame_bytes: room "
          "for frames, 0 for none.")
      .def("look", &Look,
           "(state, sequence, capture, run, frame uint8 [H, W, C] or None, began, ended) of the "
           "newest moment, or None if it was looked at before. began: when the moment that began "
           "the run was captured. ended: (state, capture) of the last one before it, when another "
           "run is looked at for the first time; else None.")
      .def(
          "want", [](Watched& watched) { watched.watch.Want(link::MonotonicNs()); },
          "Has the first moment captured from now on shown, however new the one before it is.")
      .def_prop_ro(
          "wanted", [](Watched& watched) { return watched.watch.Wanted(); },
          "Whether the moment that `want` asked for is still to be shown; takes what `fileno` has.")
      .def(
          "fileno", [](const Watched& watched) { return watched.watch.fd(); },
          "A descriptor that can be read from once that moment is shown, until `wanted` is asked.")
      .def_prop_ro("shown", [](const Watched& watched) { return watched.watch.shown(); })
      .def_prop_ro(
          "too_large", [](const Watched& watched) { return watched.watch.too_large(); },
          "Frames that found no room.")
      .def(
          "put_on", [](Watched& watched, play::Seat& seat) { seat.SetWatch(&watched.watch); },
          nb::arg("seat"), nb::keep_alive<2, 1>(), "Before the loop starts.");
}

}  // namespace metabonk::bindings
