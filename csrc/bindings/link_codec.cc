// metabonk._core.link: the codec of BonkLink. Bytes in, bytes out; conversion and nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/link.h"
#include "bindings/rooms.h"
#include "link/action.h"
#include "link/clock.h"
#include "link/decoder.h"
#include "link/hello.h"

namespace nb = nanobind;

namespace metabonk::bindings {

using Raw = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

namespace {

nb::bytes EncodeStateBytes(const Packed& packed, bool extra, const std::optional<InputTuple>& input,
                           const std::optional<AnnouncementTuple>& announcement,
                           const std::optional<StepTuple>& step, const std::string& axes) {
  const auto state = std::make_unique<GameState>();
  StateFrom(packed, state.get());
  std::vector<uint8_t> room(link::kStateBytesMax);
  size_t size = 0;
  RaiseLink(link::EncodeState(*state, TrailersFrom(input, announcement, step, extra),
                              AxesFrom(axes), room, &size));
  return ToBytes({room.data(), size});
}

nb::tuple DecodeStateBytes(const nb::bytes& bytes, const std::string& axes) {
  uint8_t* data = nullptr;
  nb::object packed = NewArray<uint8_t>({sizeof(GameState)}, &data);
  const auto state = std::make_unique<GameState>();
  link::StateTrailers trailers;
  RaiseLink(link::DecodeState(BytesOf(bytes), AxesFrom(axes), state.get(), &trailers));
  std::memcpy(data, state.get(), sizeof *state);
  return nb::make_tuple(packed, TrailersTo(trailers));
}

nb::tuple EncodeActionV1Bytes(const Row& row, const std::optional<Packed>& packed, int32_t width,
                              int32_t height) {
  const auto state = packed ? std::make_unique<GameState>() : nullptr;
  if (packed) StateFrom(*packed, state.get());
  std::array<uint8_t, link::kActionV1BytesMax> room;
  size_t size = 0;
  uint32_t lost = 0;
  RaiseLink(
      link::EncodeActionV1(ActionFrom(row), state.get(), {width, height}, room, &size, &lost));
  return nb::make_tuple(ToBytes({room.data(), size}), lost);
}

nb::object DecodeActionV1Row(const nb::bytes& bytes, int32_t width, int32_t height) {
  Action action;
  RaiseLink(link::DecodeActionV1(BytesOf(bytes), {width, height}, &action));
  return RowOf(action);
}

nb::bytes EncodeActionV2Bytes(const Row& row, uint64_t answers) {
  std::array<uint8_t, link::kActionV2Bytes> room;
  size_t size = 0;
  RaiseLink(link::EncodeActionV2(ActionFrom(row), answers, room, &size));
  return ToBytes(room);
}

nb::tuple DecodeActionV2Row(const nb::bytes& bytes) {
  Action action;
  uint64_t answers = 0;
  RaiseLink(link::DecodeActionV2(BytesOf(bytes), &action, &answers));
  return nb::make_tuple(RowOf(action), answers);
}

nb::bytes EncodeFrameBytes(int version, nb::handle frame, bool bottom_up) {
  const link::FrameView view = FrameFrom(frame, bottom_up);
  if (view.empty()) throw nb::value_error("frame: is empty");
  const bool v1 = version == link::kVersion1;
  std::vector<uint8_t> room(v1 ? link::FrameBytesV1(view) : link::FrameBytesV2(view));
  size_t size = 0;
  RaiseLink(v1 ? link::EncodeFrameV1(view, room, &size)
               : link::EncodeFrameV2(view, view.row_order, room, &size));
  return ToBytes({room.data(), size});
}

nb::tuple DecodeFrameBytes(int version, const nb::bytes& bytes) {
  link::FrameView view;
  RaiseLink(version == link::kVersion1 ? link::DecodeFrameV1(BytesOf(bytes), &view)
                                       : link::DecodeFrameV2(BytesOf(bytes), &view));
  return FrameTo(view);
}

using HelloTuple = std::tuple<uint16_t, uint16_t, uint32_t, uint32_t, uint32_t, uint16_t, uint16_t,
                              uint16_t, uint64_t, std::string, std::string, std::string>;

nb::bytes EncodeHelloBytes(const HelloTuple& told) {
  const auto& [lowest, highest, capabilities, state_bytes, frame_bytes, width, height, rate,
               machine, token, ring, name] = told;
  link::Hello hello{.lowest_version = lowest, .highest_version = highest};
  hello.capabilities = capabilities;
  hello.limits = {.state_bytes = state_bytes, .frame_bytes = frame_bytes};
  hello.width = width;
  hello.height = height;
  hello.rate = rate;
  hello.machine = machine;
  hello.token = token;
  hello.ring = ring;
  hello.name = name;
  std::array<uint8_t, link::kHelloBytesMax> room;
  size_t size = 0;
  RaiseLink(link::EncodeHello(hello, room, &size));
  return ToBytes({room.data(), size});
}

nb::tuple DecodeHelloBytes(const nb::bytes& bytes) {
  link::Hello is;
  RaiseLink(link::DecodeHello(BytesOf(bytes), &is));
  // What a peer calls itself may be anything.
  const auto text = [](std::string_view view) {
    return nb::steal<nb::str>(
        PyUnicode_DecodeUTF8(view.data(), static_cast<Py_ssize_t>(view.size()), "replace"));
  };
  return nb::make_tuple(is.lowest_version, is.highest_version, is.capabilities,
                        is.limits.state_bytes, is.limits.frame_bytes, is.width, is.height, is.rate,
                        is.machine, text(is.token), text(is.ring), text(is.name));
}

nb::bytes EncodeMessage(uint16_t type, const nb::bytes& payload, uint64_t sequence,
                        int64_t time_ns) {
  std::vector<uint8_t> message(link::kHeaderBytes + payload.size());
  link::WriteHeader(static_cast<link::MessageType>(type), payload.size(), sequence, time_ns,
                    message.data());
  std::memcpy(message.data() + link::kHeaderBytes, payload.data(), payload.size());
  return ToBytes(message);
}

void MakeDecoder(link::Decoder* decoder, const std::string& sender, const std::string& protocol,
                 uint32_t state_bytes, uint32_t frame_bytes) {
  if (sender != "game" && sender != "agent") {
    throw nb::value_error("sender: one of game, agent");
  }
  new (decoder) link::Decoder(sender == "game" ? link::Sender::kGame : link::Sender::kAgent,
                              ProtocolFrom(protocol),
                              {.state_bytes = state_bytes, .frame_bytes = frame_bytes});
}

// Feeds all of it and hands every message to `take`.
template <typename Taker>
void FeedAll(link::Decoder& decoder, std::span<const uint8_t> bytes, const Taker& take) {
  do {
    bytes = bytes.subspan(decoder.Feed(bytes));
    for (;;) {
      link::Message message;
      RaiseLink(decoder.Next(&message));
      if (message.type == link::MessageType::kNone) break;
      take(message);
    }
  } while (!bytes.empty());
}

nb::list Feed(link::Decoder& decoder, const Raw& bytes) {
  nb::list messages;
  FeedAll(decoder, {bytes.data(), bytes.size()}, [&](const link::Message& m) {
    messages.append(nb::make_tuple(static_cast<int>(m.type), m.version, m.sequence, m.time_ns,
                                   ToBytes(m.payload)));
  });
  return messages;
}

nb::tuple Newest(link::Decoder& decoder, const Raw& bytes, link::MessageType type) {
  uint64_t count = 0;
  std::vector<uint8_t> kept;
  std::span<const uint8_t> newest;
  bool found = false;
  {
    const nb::gil_scoped_release release;
    std::span<const uint8_t> left(bytes.data(), bytes.size());
    Status status;
    do {
      if (found) kept.assign(newest.begin(), newest.end()), newest = kept;
      left = left.subspan(decoder.Feed(left));
      link::Message message;
      while ((status = decoder.Next(&message)).ok() && message.type != link::MessageType::kNone) {
        if (message.type != type) continue;
        ++count;
        newest = message.payload;
        found = true;
      }
    } while (status.ok() && !left.empty());
    if (!status.ok()) {
      const nb::gil_scoped_acquire acquire;
      RaiseLink(status);
    }
  }
  return nb::make_tuple(count, found ? nb::object(ToBytes(newest)) : nb::object(nb::none()));
}

void BindDecoder(nb::module_& module) {
  nb::class_<link::Decoder>(module, "Decoder",
                            "Bytes of one connection into messages; see csrc/link/decoder.h.")
      .def("__init__", &MakeDecoder, nb::arg("sender"), nb::arg("protocol"), nb::arg("state_bytes"),
           nb::arg("frame_bytes"), "sender: game or agent. protocol: v1, v2 or auto.")
      .def("feed", &Feed, nb::arg("data"),
           "Takes all bytes; (type, version, sequence, time_ns, payload) of every message that is "
           "whole. Raises ValueError at a violation of the protocol, for good.")
      .def(
          "newest_state",
          [](link::Decoder& decoder, const Raw& data) {
            return Newest(decoder, data, link::MessageType::kState);
          },
          nb::arg("data"),
          "Takes all bytes; how many states came, and the newest one's bytes or None.")
      .def("reset", &link::Decoder::Reset)
      .def_prop_ro("version", &link::Decoder::version)
      .def_prop_ro("buffered", &link::Decoder::buffered)
      .def_prop_ro("capacity", &link::Decoder::capacity)
      .def_prop_ro("capacity_max", &link::Decoder::capacity_max)
      .def_prop_ro("unknown", &link::Decoder::unknown);
}

void BindClock(nb::module_& module) {
  nb::class_<link::ClockRelation>(module, "ClockRelation", "See metabonk/link/clock.py.")
      .def(nb::init<>())
      .def("add", &link::ClockRelation::Add, nb::arg("t0"), nb::arg("t1"), nb::arg("t2"),
           nb::arg("t3"))
      .def("offset", &link::ClockRelation::Offset, nb::arg("now"))
      .def("uncertainty", &link::ClockRelation::Uncertainty, nb::arg("now"))
      .def("reset", &link::ClockRelation::Reset)
      .def_prop_ro("known", &link::ClockRelation::known)
      .def_prop_ro("round_trip", &link::ClockRelation::round_trip);
}

}  // namespace

void BindLink(nb::module_& core) {
  nb::module_ module = core.def_submodule("link", "BonkLink: its codec and its two ends.");
  module.def("encode_state", &EncodeStateBytes, nb::arg("packed").noconvert(), nb::arg("extra"),
             nb::arg("input").none(), nb::arg("announcement").none(), nb::arg("step").none(),
             nb::arg("axes"), "A v1 state and the trailers asked for.");
  module.def("decode_state", &DecodeStateBytes, nb::arg("data"), nb::arg("axes"),
             "(packed uint8 [16376], (input, announcement, step, extra)). Raises ValueError.");
  module.def("encode_action_v1", &EncodeActionV1Bytes, nb::arg("row").noconvert(),
             nb::arg("packed").noconvert().none(), nb::arg("width"), nb::arg("height"),
             "(20 or 28 bytes, how many parts could not be said).");
  module.def("decode_action_v1", &DecodeActionV1Row, nb::arg("data"), nb::arg("width"),
             nb::arg("height"), "float32 [12].");
  module.def("encode_action_v2", &EncodeActionV2Bytes, nb::arg("row").noconvert(),
             nb::arg("answers"));
  module.def("decode_action_v2", &DecodeActionV2Row, nb::arg("data"), "(float32 [12], answers).");
  module.def("encode_frame", &EncodeFrameBytes, nb::arg("version"), nb::arg("frame"),
             nb::arg("bottom_up"));
  module.def("decode_frame", &DecodeFrameBytes, nb::arg("version"), nb::arg("data"),
             "(format, width, height, bytes of a JPEG or uint8 [H, W, 3] from the top down).");
  module.def("encode_hello", &EncodeHelloBytes, nb::arg("hello"),
             "Versions, capabilities, limits, width, height, rate, machine, token, ring, name.");
  module.def("decode_hello", &DecodeHelloBytes, nb::arg("data"));
  module.def("encode_message", &EncodeMessage, nb::arg("type"), nb::arg("payload"),
             nb::arg("sequence"), nb::arg("time_ns"), "A v2 message, header and payload.");
  BindDecoder(module);
  BindClock(module);
  BindLinkEnds(module);
}

}  // namespace metabonk::bindings
