// metabonk._core.link: the two ends of a link, see link/client.h and link/server.h. They wait
// without the GIL; what they hand out is copied.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "bindings/arrays.h"
#include "bindings/hold.h"
#include "bindings/link.h"
#include "bindings/rooms.h"
#include "link/client.h"
#include "link/server.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

constexpr double kSecondsMax = 1e6;

int64_t Nanoseconds(double seconds, const char* name) {
  if (std::isnan(seconds)) {
    throw nb::value_error((std::string(name) + ": must be a number of seconds").c_str());
  }
  return static_cast<int64_t>(std::clamp(seconds, 0.0, kSecondsMax) * 1e9);
}

link::Endpoint EndpointFrom(const std::string& address, const std::string& pipe_folder) {
  link::Endpoint endpoint;
  RaiseLink(link::ParseEndpoint(address, pipe_folder, &endpoint));
  return endpoint;
}

// What a peer calls itself may be anything.
nb::object Text(const std::string& text) {
  return nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

nb::dict CountsOf(const link::Counters& counters) {
  nb::dict counts;
#define METABONK_LINK_COUNT(name, meaning) counts[#name] = counters.name.value();
  METABONK_LINK_COUNTERS(METABONK_LINK_COUNT)
#undef METABONK_LINK_COUNT
  return counts;
}

// One caller at a time of each end; Wake and what is counted may be asked by any.
struct Client {
  Client(link::ClientOptions options) : end(new link::Client(std::move(options))) {}
  std::unique_ptr<link::Client> end;
  Gate gate;
  link::Client& Open() const {
    if (!end) throw std::runtime_error("link: was closed");
    return *end;
  }
};

struct Server {
  std::unique_ptr<link::Server> end;
  Gate gate;
  link::Server& Open() const {
    if (!end) throw std::runtime_error("link: was closed");
    return *end;
  }
};

link::Limits LimitsOf(uint32_t state_bytes, uint32_t frame_bytes) {
  if (state_bytes < link::kStateBytesMax || state_bytes > link::kStateBytesCeiling) {
    throw nb::value_error("state_bytes: must be 24576, which holds any state, to 16777216");
  }
  if (frame_bytes > link::kFrameBytesCeiling) {
    throw nb::value_error("frame_bytes: must be at most 268435456");
  }
  return {.state_bytes = state_bytes, .frame_bytes = frame_bytes};
}

void MakeClient(Client* self, const std::string& address, const std::string& pipe_folder,
                const std::string& protocol, const std::string& token, const std::string& name,
                uint32_t capabilities, uint32_t state_bytes, uint32_t frame_bytes,
                const std::string& axes, uint16_t width, uint16_t height, uint16_t rate,
                double connect_timeout, double pause, double pause_max, double ping_every,
                double idle, double spin) {
  link::ClientOptions options;
  options.endpoint = EndpointFrom(address, pipe_folder);
  options.protocol = ProtocolFrom(protocol);
  options.token = token;
  options.name = name;
  options.capabilities = capabilities;
  options.limits = LimitsOf(state_bytes, frame_bytes);
  options.axes = AxesFrom(axes);
  options.width = width;
  options.height = height;
  options.rate = rate;
  options.connect_timeout = Nanoseconds(connect_timeout, "connect_timeout");
  options.pause_first = Nanoseconds(pause, "pause");
  options.pause_max = Nanoseconds(pause_max, "pause_max");
  options.ping_every = Nanoseconds(ping_every, "ping_every");
  options.idle = Nanoseconds(idle, "idle");
  options.spin = Nanoseconds(spin, "spin");
  new (self) Client(std::move(options));
}

// None, or (packed state, trailers, sequence, version, capture_ns, received_ns, skipped, first,
// frame or None, its sequence, its capture_ns).
nb::object PollClient(Client& self, double timeout, bool frames) {
  const Hold hold(self.gate);
  link::Client& client = self.Open();
  const int64_t limit = Nanoseconds(timeout, "timeout");
  bool fresh = false;
  Status status;
  {
    const nb::gil_scoped_release release;
    status = client.Poll(limit, &fresh);
  }
  RaiseLink(status);
  if (!fresh) return nb::none();
  const link::Tick& tick = client.tick();
  auto* state = new GameState(tick.state);
  const nb::capsule owner(state,
                          [](void* memory) noexcept { delete static_cast<GameState*>(memory); });
  const size_t shape[1] = {sizeof(GameState)};
  const nb::object packed =
      nb::cast(nb::ndarray<nb::numpy, uint8_t>(reinterpret_cast<uint8_t*>(state), 1, shape, owner));
  nb::object frame = nb::none();
  if (frames && !tick.frame.empty()) frame = FrameTo(tick.frame);
  return nb::make_tuple(packed, TrailersTo(tick.trailers), tick.sequence, tick.version,
                        tick.capture_ns, tick.received_ns, tick.skipped, tick.first, frame,
                        tick.frame_sequence, tick.frame_capture_ns);
}

uint64_t SendAction(Client& self, const Row& row) {
  const Hold hold(self.gate);
  return self.Open().Send(ActionFrom(row));
}

void SendReset(Client& self, std::optional<uint64_t> seed) {
  const Hold hold(self.gate);
  RaiseLink(self.Open().SendReset({.seed = seed.value_or(0), .has_seed = seed.has_value()}));
}

// (known, theirs minus ours, how wrong that may be, round trip), in nanoseconds.
nb::tuple ClockOf(const link::ClockRelation& clock, int64_t now) {
  return nb::make_tuple(clock.known(), clock.Offset(now), clock.Uncertainty(now),
                        clock.round_trip());
}

void BindClient(nb::module_& module) {
  nb::class_<Client>(module, "Client", "See metabonk/link/bonklink.py.")
      .def("__init__", &MakeClient, nb::arg("address"), nb::arg("pipe_folder"), nb::arg("protocol"),
           nb::arg("token"), nb::arg("name"), nb::arg("capabilities"), nb::arg("state_bytes"),
           nb::arg("frame_bytes"), nb::arg("axes"), nb::arg("width"), nb::arg("height"),
           nb::arg("rate"), nb::arg("connect_timeout"), nb::arg("pause"), nb::arg("pause_max"),
           nb::arg("ping_every"), nb::arg("idle"), nb::arg("spin"))
      .def("poll", &PollClient, nb::arg("timeout"), nb::arg("frames"))
      .def("send", &SendAction, nb::arg("row").noconvert())
      .def("send_reset", &SendReset, nb::arg("seed").none())
      .def("refuse_ring",
           [](Client& self) {
             const Hold hold(self.gate);
             self.Open().RefuseRing();
           })
      .def("disconnect",
           [](Client& self) {
             const Hold hold(self.gate);
             self.Open().Disconnect();
           })
      .def("close",
           [](Client& self) {
             const Hold hold(self.gate);
             self.end.reset();
           })
      .def("wake", [](Client& self) { self.Open().Wake(); })
      .def("clock",
           [](Client& self, int64_t now) {
             const Hold hold(self.gate);
             return ClockOf(self.Open().clock(), now);
           })
      .def("counters", [](Client& self) { return CountsOf(self.Open().counters()); })
      .def_prop_ro("closed", [](Client& self) { return !self.end; })
      .def_prop_ro("connected", [](Client& self) { return self.Open().connected(); })
      .def_prop_ro("version", [](Client& self) { return self.Open().version(); })
      .def_prop_ro("capabilities", [](Client& self) { return self.Open().capabilities(); })
      .def_prop_ro("ring", [](Client& self) { return Text(self.Open().ring()); })
      .def_prop_ro("peer", [](Client& self) { return Text(self.Open().peer_name()); })
      .def_prop_ro("last_error", [](Client& self) { return Text(self.Open().last_error()); });
}

void MakeServer(Server* self, const std::string& address, const std::string& pipe_folder,
                const std::string& protocol, const std::string& token, const std::string& name,
                uint32_t capabilities, uint32_t state_bytes, uint32_t frame_bytes,
                const std::string& axes, bool extra_in_v1, uint16_t width, uint16_t height,
                uint16_t rate, const std::string& ring, double handshake, double ping_every,
                double idle, double spin) {
  link::ServerOptions options;
  options.endpoint = EndpointFrom(address, pipe_folder);
  options.protocol = ProtocolFrom(protocol);
  options.token = token;
  options.name = name;
  options.capabilities = capabilities;
  options.limits = LimitsOf(state_bytes, frame_bytes);
  options.axes = AxesFrom(axes);
  options.extra_in_v1 = extra_in_v1;
  options.width = width;
  options.height = height;
  options.rate = rate;
  options.ring = ring;
  options.handshake = Nanoseconds(handshake, "handshake");
  options.ping_every = Nanoseconds(ping_every, "ping_every");
  options.idle = Nanoseconds(idle, "idle");
  options.spin = Nanoseconds(spin, "spin");
  std::unique_ptr<link::Server> end;
  RaiseLink(link::Server::Listen(options, &end));
  new (self) Server{std::move(end), {}};
}

bool PollServer(Server& self, double timeout) {
  const Hold hold(self.gate);
  link::Server& server = self.Open();
  const int64_t limit = Nanoseconds(timeout, "timeout");
  bool fresh = false;
  Status status;
  {
    const nb::gil_scoped_release release;
    status = server.Poll(limit, &fresh);
  }
  RaiseLink(status);
  return fresh;
}

uint64_t SendMoment(Server& self, const Packed& packed, nb::handle frame, bool bottom_up,
                    const std::optional<InputTuple>& input, const std::optional<StepTuple>& step,
                    int64_t capture_ns) {
  const Hold hold(self.gate);
  link::Server& server = self.Open();
  const auto state = std::make_unique<GameState>();
  StateFrom(packed, state.get());
  const link::FrameView view = FrameFrom(frame, bottom_up);
  const link::StateTrailers trailers = TrailersFrom(input, std::nullopt, step, true);
  uint64_t sequence = 0;
  Status status;
  {
    const nb::gil_scoped_release release;
    status = server.Send(*state, trailers, view, capture_ns, &sequence);
  }
  RaiseLink(status);
  return sequence;
}

// None, or (row, sequence, answers, made_ns, received_ns, round_trip_ns).
nb::object TakeAction(Server& self) {
  const Hold hold(self.gate);
  link::ActionArrival arrival;
  if (!self.Open().TakeAction(&arrival)) return nb::none();
  return nb::make_tuple(RowOf(arrival.action), arrival.sequence, arrival.answers, arrival.made_ns,
                        arrival.received_ns, arrival.round_trip_ns);
}

// None, or a tuple of the seed or None.
nb::object TakeReset(Server& self) {
  const Hold hold(self.gate);
  link::ResetMessage reset;
  if (!self.Open().TakeReset(&reset)) return nb::none();
  if (!reset.has_seed) return nb::make_tuple(nb::none());
  return nb::make_tuple(reset.seed);
}

void BindServer(nb::module_& module) {
  nb::class_<Server>(module, "Server", "See metabonk/link/bonklink.py.")
      .def("__init__", &MakeServer, nb::arg("address"), nb::arg("pipe_folder"), nb::arg("protocol"),
           nb::arg("token"), nb::arg("name"), nb::arg("capabilities"), nb::arg("state_bytes"),
           nb::arg("frame_bytes"), nb::arg("axes"), nb::arg("extra_in_v1"), nb::arg("width"),
           nb::arg("height"), nb::arg("rate"), nb::arg("ring"), nb::arg("handshake"),
           nb::arg("ping_every"), nb::arg("idle"), nb::arg("spin"))
      .def("poll", &PollServer, nb::arg("timeout"))
      .def("send", &SendMoment, nb::arg("packed").noconvert(), nb::arg("frame").none(),
           nb::arg("bottom_up"), nb::arg("input").none(), nb::arg("step").none(),
           nb::arg("capture_ns"))
      .def("take_action", &TakeAction)
      .def("take_reset", &TakeReset)
      .def("close",
           [](Server& self) {
             const Hold hold(self.gate);
             self.end.reset();
           })
      .def("wake", [](Server& self) { self.Open().Wake(); })
      .def("clock",
           [](Server& self, int64_t now) {
             const Hold hold(self.gate);
             return ClockOf(self.Open().clock(), now);
           })
      .def("counters", [](Server& self) { return CountsOf(self.Open().counters()); })
      .def_prop_ro("closed", [](Server& self) { return !self.end; })
      .def_prop_ro("connected", [](Server& self) { return self.Open().connected(); })
      .def_prop_ro("connection", [](Server& self) { return self.Open().connection(); })
      .def_prop_ro("version", [](Server& self) { return self.Open().version(); })
      .def_prop_ro("capabilities", [](Server& self) { return self.Open().capabilities(); })
      .def_prop_ro("uses_ring", [](Server& self) { return self.Open().uses_ring(); })
      .def_prop_ro("pending", [](Server& self) { return self.Open().pending(); })
      .def_prop_ro("next_sequence", [](Server& self) { return self.Open().next_sequence(); })
      .def_prop_ro("peer", [](Server& self) { return Text(self.Open().peer_name()); })
      .def_prop_ro("address", [](Server& self) { return EndpointText(self.Open().endpoint()); })
      .def_prop_ro("last_error", [](Server& self) { return Text(self.Open().last_error()); });
}

nb::dict CounterMeanings() {
  nb::dict meanings;
#define METABONK_LINK_MEANING(name, meaning) meanings[#name] = meaning;
  METABONK_LINK_COUNTERS(METABONK_LINK_MEANING)
#undef METABONK_LINK_MEANING
  return meanings;
}

}  // namespace

void BindLinkEnds(nb::module_& module) {
  BindClient(module);
  BindServer(module);
  module.def("counter_meanings", &CounterMeanings, "What each counter of an end counts.");
}

}  // namespace metabonk::bindings
