// metabonk._core.ipc: both ends of ResearchPlugin's shared memory, see ipc/research_shm.h.
#include "ipc/research_shm.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "bindings/arrays.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using ipc::ResearchAgent;
using ipc::ResearchEvent;
using ipc::ResearchGame;
using ipc::ResearchHeader;

constexpr double kMostSeconds = 1e6;

int64_t Nanoseconds(double seconds) {
  if (std::isnan(seconds)) throw nb::value_error("timeout: must be a number of seconds");
  return static_cast<int64_t>(std::clamp(seconds, 0.0, kMostSeconds) * 1e9);
}

std::span<float> ActionArray(nb::handle array) {
  return {CheckedArray<float>("action", array, {ipc::kResearchActionColumns}, "float32"),
          ipc::kResearchActionColumns};
}

std::span<uint8_t> Frame(nb::handle array, int width, int height) {
  const auto w = static_cast<size_t>(width);
  const auto h = static_cast<size_t>(height);
  return {CheckedArray<uint8_t>("pixels", array, {h, w, 3}, "uint8"), h * w * 3};
}

nb::dict CountersOf(const ipc::ResearchCounters& counters) {
  nb::dict counts;
  counts["observations"] = counters.observations;
  counts["actions"] = counters.actions;
  counts["resets"] = counters.resets;
  counts["torn"] = counters.torn;
  counts["repeated"] = counters.repeated;
  counts["lost"] = counters.lost;
  return counts;
}

std::unique_ptr<ResearchAgent> OpenAgent(const std::string& path, bool bottom_up) {
  std::unique_ptr<ResearchAgent> agent;
  RaiseUnlessOk(ResearchAgent::Open(path, bottom_up, &agent));
  return agent;
}

nb::tuple WaitForObservation(ResearchAgent& agent, double timeout, nb::handle pixels) {
  const std::span<uint8_t> frame = Frame(pixels, agent.width(), agent.height());
  const int64_t nanoseconds = Nanoseconds(timeout);
  ResearchHeader header = {};
  ResearchEvent event;
  {
    const nb::gil_scoped_release release;
    event = agent.Wait(nanoseconds, &header, frame);
  }
  return nb::make_tuple(static_cast<int>(event), header.reward, header.done != 0, header.step,
                        header.time_ms);
}

std::unique_ptr<ResearchGame> CreateGame(const std::string& path, int width, int height,
                                         bool bottom_up) {
  std::unique_ptr<ResearchGame> game;
  RaiseUnlessOk(ResearchGame::Create(path, width, height, bottom_up, &game));
  return game;
}

// A game as Python holds it: with the size that its frames must have.
class ResearchGameHandle {
 public:
  ResearchGameHandle(const std::string& path, int width, int height, bool bottom_up)
      : game_(CreateGame(path, width, height, bottom_up)), width_(width), height_(height) {}

  bool Publish(nb::handle pixels, float reward, bool done, int step, int time_ms) {
    const std::span<uint8_t> frame = Frame(pixels, width_, height_);
    const ResearchHeader header = {0, ipc::kResearchLocks, reward, done, step, time_ms, 0, 0};
    const nb::gil_scoped_release release;
    return game_->Publish(header, frame);
  }
  int Wait(double timeout, nb::handle action) {
    const std::span<float> to = ActionArray(action);
    const int64_t nanoseconds = Nanoseconds(timeout);
    const nb::gil_scoped_release release;
    return static_cast<int>(game_->Wait(nanoseconds, to));
  }
  bool agent() const { return game_->agent(); }
  nb::dict counters() const { return CountersOf(game_->counters()); }

 private:
  std::unique_ptr<ResearchGame> game_;
  int width_;
  int height_;
};

}  // namespace

void BindResearchShm(nb::module_& core) {
  nb::module_ module = core.def_submodule("ipc");
  nb::class_<ResearchAgent>(
      module, "ResearchAgent",
      "The agent's end of ResearchPlugin's shared memory. One thread at a time.")
      .def(nb::new_(&OpenAgent), nb::arg("path"), nb::arg("bottom_up") = true,
           "Raises ValueError if there is no such file, its game is dead, or an agent has it.")
      .def("wait", &WaitForObservation, nb::arg("timeout"), nb::arg("pixels"),
           "Waits for a new observation at most `timeout` seconds and copies its frame into pixels "
           "uint8 [height, width, 3]. Returns event, reward, done, step, time_ms; events are "
           "ResearchEvent's numbers.")
      .def(
          "act",
          [](ResearchAgent& agent, nb::handle action) { return agent.Act(ActionArray(action)); },
          nb::arg("action"), "Answers the observation; float32 [6]. False if it cannot be written.")
      .def("reset", &ResearchAgent::Reset, "Asks for a new episode. False if it cannot be written.")
      .def_prop_ro("width", &ResearchAgent::width)
      .def_prop_ro("height", &ResearchAgent::height)
      .def_prop_ro("fills", &ResearchAgent::fills,
                   "Whether the game says that it fills reward and done.")
      .def("counters", [](const ResearchAgent& agent) { return CountersOf(agent.counters()); });
  nb::class_<ResearchGameHandle>(
      module, "ResearchGame",
      "The game's end of ResearchPlugin's shared memory. One thread at a time.")
      .def(nb::init<const std::string&, int, int, bool>(), nb::arg("path"), nb::arg("width"),
           nb::arg("height"), nb::arg("bottom_up") = true,
           "Raises ValueError if a living game has the file or it cannot be made.")
      .def("publish", &ResearchGameHandle::Publish, nb::arg("pixels"), nb::arg("reward"),
           nb::arg("done"), nb::arg("step"), nb::arg("time_ms"),
           "Shows an observation, pixels uint8 [height, width, 3]. False if it cannot be written.")
      .def("wait", &ResearchGameHandle::Wait, nb::arg("timeout"), nb::arg("action"),
           "Waits for the agent's answer at most `timeout` seconds, writes action float32 [6] and "
           "returns the event.")
      .def("agent", &ResearchGameHandle::agent, "Whether an agent that locks is there.")
      .def("counters", &ResearchGameHandle::counters);
}

}  // namespace metabonk::bindings
