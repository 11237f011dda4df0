// metabonk._core.play: games that run by themselves, as the control loop plays them.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/link.h"
#include "bindings/play.h"
#include "games/arena/view.h"
#include "play/arena_game.h"
#include "play/link_game.h"
#include "play/shm_game.h"

namespace nb = nanobind;

namespace metabonk::bindings {

// What a histogram holds: values' lower bounds and counts of the buckets that are not empty.
nb::dict Described(const play::Histogram& histogram) {
  std::vector<std::pair<uint64_t, uint64_t>> found;
  for (int i = 0; i < play::Histogram::kBuckets; ++i) {
    if (histogram.at(i) != 0) found.emplace_back(play::Histogram::LowOf(i), histogram.at(i));
  }
  uint64_t *low, *counts;
  nb::dict described;
  described["low"] = NewArray<uint64_t>({found.size()}, &low);
  described["counts"] = NewArray<uint64_t>({found.size()}, &counts);
  for (size_t i = 0; i < found.size(); ++i) std::tie(low[i], counts[i]) = found[i];
  described["count"] = histogram.count();
  described["max"] = histogram.most();
  for (const auto& [name, share] : {std::pair{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}) {
    described[name] = histogram.Quantile(share);
  }
  return described;
}

play::PacerSettings PacerOf(double hz, double spin) {
  if (!(hz >= 0.1 && hz <= 1e4)) throw nb::value_error("hz: must be between 0.1 and 10,000");
  if (!(spin >= 0.0 && spin <= 1.0)) throw nb::value_error("spin: must be seconds, 0 to 1");
  return {static_cast<int64_t>(1e9 / hz + 0.5), static_cast<int64_t>(spin * 1e9)};
}

nb::dict Granted(const play::ThreadGranted& granted) {
  nb::dict found;
  found["cpu"] = granted.cpu;
  found["priority"] = granted.priority;
  found["cpu_error"] = granted.cpu_error == 0 ? "" : std::strerror(granted.cpu_error);
  found["priority_error"] =
      granted.priority_error == 0 ? "" : std::strerror(granted.priority_error);
  return found;
}

namespace {

using Picture = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;

std::unique_ptr<play::ArenaGame> MakeArena(const nb::bytes& level, std::vector<uint64_t> seeds,
                                           double hz, int height, int width,
                                           const std::string& ring, play::Journal* inputs, int cpu,
                                           int priority) {
  play::ArenaSettings settings;
  if (level.size() != sizeof settings.level)
    throw nb::value_error("level: must be one packed level");
  std::memcpy(&settings.level, level.data(), sizeof settings.level);
  RaiseUnlessOk(arena::Validate(settings.level));
  if (seeds.empty() || seeds.size() > 256) throw nb::value_error("seeds: give 1 to 256 of them");
  if (height != 0 || width != 0) RaiseUnlessOk(arena::CheckFrame(height, width));
  if (inputs != nullptr && inputs->record_bytes() != sizeof(play::InputRecord)) {
    throw nb::value_error("inputs: its records are not of INPUT_BYTES");
  }
  settings.seeds = std::move(seeds);
  settings.pacer = PacerOf(hz, 0.0);
  RaiseUnlessOk(play::CheckPacer(settings.pacer));
  settings.thread = {cpu, priority};
  RaiseUnlessOk(play::CheckThread(settings.thread));
  settings.height = height;
  settings.width = width;
  settings.ring = ring;
  std::unique_ptr<play::ArenaGame> made;
  {
    const nb::gil_scoped_release release;
    const Status status = play::ArenaGame::Create(play::MonotonicClock(), settings, inputs, &made);
    if (status.ok()) return made;
    const nb::gil_scoped_acquire acquire;
    RaiseUnlessOk(status);
  }
  return made;
}

Port PortOf(play::ArenaGame& game, size_t index) {
  if (index >= game.size()) throw nb::index_error("no such arena");
  return {&game.source(index), &game.sink(index)};
}

// As in training (games/bonklink_line.py): raw pictures of 4K fit.
constexpr uint32_t kLargestFrame = 64u << 20;

void CheckFrames(int height, int width) {
  if (height < 0 || width < 0 || (height == 0) != (width == 0) || height > 4096 || width > 4096) {
    throw nb::value_error("height, width: must be 1 to 4096, or both 0 for no frames");
  }
}

std::unique_ptr<play::LinkGame> MakeLink(const std::string& address, const std::string& pipe_folder,
                                         const std::string& protocol, const std::string& token,
                                         const std::string& axes, int height, int width,
                                         bool decodes,
                                         const std::vector<play::OfferPlaces::Point>& offers,
                                         int priority) {
  play::LinkSettings settings;
  settings.thread.priority = priority;
  RaiseUnlessOk(play::CheckThread(settings.thread));
  RaiseLink(link::ParseEndpoint(address, pipe_folder, &settings.client.endpoint));
  settings.client.protocol = ProtocolFrom(protocol);
  settings.client.token = token;
  settings.client.axes = AxesFrom(axes);
  settings.client.limits.frame_bytes = kLargestFrame;
  CheckFrames(height, width);
  settings.height = height;
  settings.width = width;
  settings.decodes = decodes;
  RaiseUnlessOk(play::OfferPlaces::Make(offers, &settings.offers));
  return std::make_unique<play::LinkGame>(play::MonotonicClock(), settings);
}

nb::dict LinkCounts(const play::LinkGame& game) {
  nb::dict counts;
#define METABONK_PLAY_COUNT(name, meaning) counts[#name] = game.counters().name.value();
  METABONK_LINK_COUNTERS(METABONK_PLAY_COUNT)
#undef METABONK_PLAY_COUNT
  counts["actions_skipped"] = game.counters().actions_skipped.value() + game.actions_overtaken();
  counts["frames_unusable"] = game.frames_refused();
  counts["frames_decoded"] = game.frames_decoded();
  counts["frames_overtaken"] = game.frames_overtaken();
  counts["rings_refused"] = game.rings_refused();
  return counts;
}

nb::object NextJpeg(play::LinkGame& game, double seconds) {
  if (!(seconds >= 0.0 && seconds <= 3600.0)) {
    throw nb::value_error("seconds: must be 0 to 3600");
  }
  const std::vector<uint8_t>* jpeg = nullptr;
  {
    const nb::gil_scoped_release release;
    jpeg = game.AskJpeg(static_cast<int64_t>(seconds * 1e9));
  }
  if (jpeg == nullptr) return nb::none();
  return nb::bytes(reinterpret_cast<const char*>(jpeg->data()), jpeg->size());
}

void AnswerJpeg(play::LinkGame& game, const std::optional<Picture>& pixels) {
  link::FrameView view;
  if (pixels) {
    view.height = static_cast<uint32_t>(pixels->shape(0));
    view.width = static_cast<uint32_t>(pixels->shape(1));
    view.stride = 3 * view.width;
    view.pixels = {pixels->data(), pixels->size()};
  }
  bool asked = false;
  {
    const nb::gil_scoped_release release;
    asked = game.AnswerJpeg(pixels ? &view : nullptr);
  }
  if (!asked) throw nb::value_error("answer_jpeg: there is no question: ask next_jpeg first");
}

std::unique_ptr<play::ShmGame> MakeShm(const std::string& path, bool bottom_up, int height,
                                       int width, int priority) {
  CheckFrames(height, width);
  const play::ThreadSettings thread = {-1, priority};
  RaiseUnlessOk(play::CheckThread(thread));
  return std::make_unique<play::ShmGame>(play::MonotonicClock(),
                                         play::ShmSettings{path, bottom_up, height, width, thread});
}

nb::dict ShmCounts(const play::ShmGame& game) {
  nb::dict counts;
#define METABONK_PLAY_COUNT(name, meaning) counts[#name] = game.counters().name.value();
  METABONK_SHM_COUNTERS(METABONK_PLAY_COUNT)
#undef METABONK_PLAY_COUNT
  counts["actions_skipped"] = game.counters().actions_skipped.value() + game.actions_overtaken();
  return counts;
}

}  // namespace

void BindLiveGames(nb::module_& module) {
  nb::class_<Port>(module, "Port", "One agent's side of a game: a source and a sink.");
  nb::class_<play::ArenaGame>(module, "Arena", "Arenas that run in real time on a native thread.")
      .def(nb::new_(&MakeArena), nb::arg("level"), nb::arg("seeds"), nb::arg("hz"),
           nb::arg("height"), nb::arg("width"), nb::arg("ring"), nb::arg("inputs").none(),
           nb::arg("cpu"), nb::arg("priority"), nb::keep_alive<0, 8>(),
           "level: packed. height, width: of frames, 0 for none. ring: name of the frames' ring. "
           "inputs: a Journal of records of 64 bytes, or None.")
      .def("port", &PortOf, nb::arg("index"), nb::keep_alive<0, 1>())
      .def("start", &play::ArenaGame::Start)
      .def("stop", &play::ArenaGame::Stop, nb::call_guard<nb::gil_scoped_release>())
      .def("ring_name", &play::ArenaGame::ring_name, nb::arg("index"))
      .def("lateness", [](const play::ArenaGame& game) { return Described(game.lateness()); })
      .def_prop_ro("steps", &play::ArenaGame::steps, "Ticks of the game so far.")
      .def_prop_ro("skipped", &play::ArenaGame::skipped, "Ticks that it came too late for.")
      .def_prop_ro("unwritten", &play::ArenaGame::unwritten, "Inputs that the journal refused.")
      .def_prop_ro("unshown", &play::ArenaGame::unshown, "Captures whose frame the ring refused.")
      .def_prop_ro("overtaken", &play::ArenaGame::actions_overtaken,
                   "Actions that a newer one overtook before the game took them.");
  nb::class_<play::LinkGame>(module, "Link", "A game at the other end of a BonkLink.")
      .def(nb::new_(&MakeLink), nb::arg("address"), nb::arg("pipe_folder"), nb::arg("protocol"),
           nb::arg("token"), nb::arg("axes"), nb::arg("height"), nb::arg("width"),
           nb::arg("decodes"), nb::arg("offer_places"), nb::arg("priority"),
           "height, width: of the frames that the policy reads, 0 for none. decodes: somebody "
           "answers next_jpeg. offer_places: x and y of offers that come without widgets. "
           "priority: of the thread that sends, of SCHED_FIFO; 0 for ordinary scheduling.")
      .def(
          "port", [](play::LinkGame& game) { return Port{&game.source(), &game.sink()}; },
          nb::keep_alive<0, 1>())
      .def("start", &play::LinkGame::Start)
      .def("stop", &play::LinkGame::Stop, nb::call_guard<nb::gil_scoped_release>())
      .def("counts", &LinkCounts)
      .def(
          "granted", [](const play::LinkGame& game) { return Granted(game.granted()); },
          "What the thread that sends was granted, as Loop.granted says it; once stopped.")
      .def("next_jpeg", &NextJpeg, nb::arg("seconds"),
           "The newest frame that came as JPEG, or None if none did for `seconds`. One thread.")
      .def("answer_jpeg", &AnswerJpeg, nb::arg("pixels").noconvert().none(),
           "What it shows, uint8 [height, width, 3] from the top down; None: it cannot be read.")
      .def_prop_ro("connected", &play::LinkGame::connected)
      .def_prop_ro("framed", &play::LinkGame::framed, "Whether there has been a picture.")
      .def_prop_ro("failed", &play::LinkGame::failed, "Whether the link is given up for good.")
      .def_prop_ro("why", &play::LinkGame::why, "Why it was given up, or was lost last.");
  nb::class_<play::ShmGame>(module, "Shm", "A game behind ResearchPlugin's shared memory.")
      .def(nb::new_(&MakeShm), nb::arg("path"), nb::arg("bottom_up"), nb::arg("height"),
           nb::arg("width"), nb::arg("priority"),
           "path: of its file. bottom_up: the order of rows there. height, width: of the frames "
           "that the policy reads, 0 for none. priority: of the thread that sends, of SCHED_FIFO; "
           "0 for ordinary scheduling.")
      .def(
          "port", [](play::ShmGame& game) { return Port{&game.source(), &game.sink()}; },
          nb::keep_alive<0, 1>())
      .def("start", &play::ShmGame::Start)
      .def("stop", &play::ShmGame::Stop, nb::call_guard<nb::gil_scoped_release>())
      .def("counts", &ShmCounts)
      .def(
          "granted", [](const play::ShmGame& game) { return Granted(game.granted()); },
          "What the thread that sends was granted, as Loop.granted says it; once stopped.")
      .def_prop_ro("connected", &play::ShmGame::connected, "It has shown an observation.")
      .def_prop_ro("why", &play::ShmGame::why, "Why there is no game, or why it was lost last.");
}

}  // namespace metabonk::bindings
