// Fuzzes everything that reads a peer's bytes without a socket: any bytes, cut anywhere, are
// messages or an error that stays; what a message carries is read or refused, with a reason; memory
// stays within its bound. The first byte of an input says whose bytes they are, what is spoken and
// how they are cut.
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "link/control.h"
#include "link/inbox.h"
#include "link/states.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::link {
namespace {

constexpr Limits kLimits = {.state_bytes = 32768, .frame_bytes = 65536};

void Require(bool so) {
  if (!so) std::abort();
}

void Reasoned(const Status& status) {
  Require(status.ok() || (status.where[0] != '\0' && status.what[0] != '\0'));
}

// A state that was read is written to bytes that are read to the same state.
void Again(const GameState& state, const StateTrailers& trailers) {
  static Bytes room(kStateBytesMax);
  static const auto back = std::make_unique<GameState>();
  size_t size = 0;
  Require(EncodeState(state, trailers, Axes::kOurs, room, &size).ok());
  StateTrailers found;
  Require(DecodeState({room.data(), size}, Axes::kOurs, back.get(), &found).ok());
  Require(found.extra == trailers.extra && found.input.has_value() == trailers.input.has_value());
  if (trailers.extra) Require(std::memcmp(back.get(), &state, sizeof state) == 0);
}

void ReadFrame(const Message& message) {
  FrameView view;
  const Status status = message.version == kVersion1 ? DecodeFrameV1(message.payload, &view)
                                                     : DecodeFrameV2(message.payload, &view);
  Reasoned(status);
  if (!status.ok() || view.format == PixelFormat::kJpeg) return;
  static Bytes upright;
  upright.resize(size_t{view.width} * view.height * 3);
  Require(CopyUpright(view, upright).ok());
  static Bytes room;
  size_t size = 0;
  room.resize(FrameBytesV1(view));
  Require(EncodeFrameV1(view, room, &size).ok() && size == room.size());
  FrameView back;
  Require(DecodeFrameV1(room, &back).ok() && back.width == view.width);
}

void ReadAction(const Message& message) {
  Action action;
  uint64_t answers = 0;
  Reasoned(message.version == kVersion1 ? DecodeActionV1(message.payload, {640, 360}, &action)
                                        : DecodeActionV2(message.payload, &action, &answers));
}

void ReadHello(const Message& message) {
  Hello hello, answer;
  const Status status = DecodeHello(message.payload, &hello);
  Reasoned(status);
  if (!status.ok()) return;
  uint8_t room[kHelloBytesMax];
  size_t size = 0;
  Require(EncodeHello(hello, room, &size).ok());
  if (Negotiate({.capabilities = kCapabilities, .machine = 1, .ring = "ring"}, hello, &answer)
          .ok()) {
    Require((answer.capabilities & ~hello.capabilities) == 0);
    Require(answer.limits.frame_bytes <= hello.limits.frame_bytes);
  }
}

void Read(const Message& message, Inbox* inbox) {
  static const auto state = std::make_unique<GameState>();
  StateTrailers trailers;
  ResetMessage reset;
  Pong pong;
  Bye bye;
  switch (message.type) {
    case MessageType::kState: {
      const Status status = DecodeState(message.payload, Axes::kOurs, state.get(), &trailers);
      Reasoned(status);
      if (status.ok()) Again(*state, trailers);
      Require(inbox->TakeState(message, 1).ok() == status.ok());
      return;
    }
    case MessageType::kFrame:
      ReadFrame(message);
      Reasoned(inbox->TakeFrame(message));
      return;
    case MessageType::kAction:
      return ReadAction(message);
    case MessageType::kHello:
    case MessageType::kHelloAck:
      return ReadHello(message);
    case MessageType::kReset:
      return Reasoned(DecodeReset(message.payload, &reset));
    case MessageType::kPong:
      return Reasoned(DecodePong(message.payload, &pong));
    case MessageType::kBye:
      return Reasoned(DecodeBye(message.payload, &bye));
    case MessageType::kPing:
      return;
    default:
      std::abort();
  }
}

Bytes GameV1() {
  const auto state = std::make_unique<GameState>();
  FillState(5, state.get());
  Bytes bytes;
  StateTrailers trailers;
  trailers.input = {{0.5f, -1.0f}, {0.25f, 0.0f}, 1, 0, 1, 0, {0.125f, 0.75f}};
  AppendTick(EncodedState(*state, trailers), JpegHead(640, 360), &bytes);
  trailers.extra = true;
  trailers.announcement = {2, 2, kCapabilities};
  Bytes raw = {'M', 'B', 'R', 'F', 4, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0};
  raw.resize(16 + 36);
  AppendTick(EncodedState(*state, trailers), raw, &bytes);
  return bytes;
}

Bytes HelloBytes(const char* ring) {
  Bytes room(kHelloBytesMax);
  size_t size = 0;
  const Hello hello{.capabilities = kCapabilities, .machine = 1, .token = "secret", .ring = ring};
  if (!EncodeHello(hello, room, &size).ok()) std::abort();
  room.resize(size);
  return room;
}

Bytes GameV2() {
  const auto state = std::make_unique<GameState>();
  FillState(9, state.get());
  Bytes bytes;
  AppendV2(MessageType::kHelloAck, 1, HelloBytes("ring"), &bytes);
  Bytes frame = {2, 1, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 12, 0, 0, 0};
  frame.resize(16 + 36);
  AppendV2(MessageType::kFrame, 1, frame, &bytes);
  StateTrailers trailers{.extra = true};
  trailers.step = {1.0f, 1, 0, 0, 3, 1};
  AppendV2(MessageType::kState, 1, EncodedState(*state, trailers), &bytes);
  AppendV2(MessageType::kPong, 2, Bytes(kPongBytes, 1), &bytes);
  AppendV2(MessageType::kBye, 3, {2, 0, 3, 'b', 'y', 'e'}, &bytes);
  return bytes;
}

Bytes Agent(bool v2) {
  Bytes bytes;
  if (v2) {
    AppendV2(MessageType::kHello, 1, HelloBytes(""), &bytes);
    AppendV2(MessageType::kAction, 1, Bytes(kActionV2Bytes, 3), &bytes);
    AppendV2(MessageType::kReset, 2, Bytes(kResetBytes, 1), &bytes);
    AppendV2(MessageType::kPing, 3, {}, &bytes);
    return bytes;
  }
  Append(int32_t{20}, &bytes);
  AppendAll(FromHex("0000003f000080bf000000000000000001000000"), &bytes);
  Append(int32_t{28}, &bytes);
  AppendAll(FromHex("0000003f000080bf000000000000000000000101a00000005a000000"), &bytes);
  return bytes;
}

}  // namespace
}  // namespace metabonk::link

size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  using namespace metabonk::link;  // NOLINT(google-build-using-namespace)
  static const Bytes seeds[] = {GameV1(), GameV2(), Agent(false), Agent(true)};
  // The mode of its kind: bit 0 whose bytes, bits 1-2 what is spoken, the rest how they are cut.
  static constexpr uint8_t kModes[] = {4, 4 | 8, 1 | 4 | 16, 1 | 4};
  out->assign(1, kModes[index]);
  AppendAll(seeds[index], out);
  return 4;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace metabonk::link;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const Sender sender = data[0] & 1 ? Sender::kAgent : Sender::kGame;
  const auto protocol = static_cast<Protocol>(std::min(data[0] >> 1 & 3, 2));
  const size_t piece = size_t{1} << (data[0] >> 3 & 15);
  Decoder decoder(sender, protocol, kLimits);
  Counters counters;
  Inbox inbox(Axes::kOurs, &counters);
  size_t messages = 0;
  for (size_t at = 1; at < size;) {
    inbox.KeepFrame();
    const size_t fed = decoder.Feed({data + at, std::min(piece, size - at)});
    Require(fed > 0 && decoder.capacity() <= decoder.capacity_max());
    at += fed;
    for (;;) {
      Message message;
      const metabonk::Status status = decoder.Next(&message);
      if (!status.ok()) {
        Reasoned(status);
        Require(decoder.Next(&message).code == status.code);
        return 0;
      }
      if (message.type == MessageType::kNone) break;
      Require(++messages <= size);
      Read(message, &inbox);
    }
  }
  if (inbox.fresh()) inbox.HandOut();
  return 0;
}
