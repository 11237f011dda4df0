#include "link/agent.h"

#include <poll.h>

#include <cstring>
#include <utility>

#include "link/machine.h"
#include "link/press.h"

namespace metabonk::link {
namespace {

constexpr int kFillsMax = 64;  // in one turn: an agent that never pauses holds nobody up
constexpr size_t kLength = sizeof(int32_t);
constexpr Status kGone = {Code::kUnavailable, "agent", "closed the connection"};

}  // namespace

Agent::Agent(const ServerOptions& options, Counters* counters, Fd fd, int64_t now)
    : options_(options),
      counters_(counters),
      connection_(Sender::kAgent, options.token.empty() ? options.protocol : Protocol::kV2,
                  options.limits, counters),
      capture_{options.width, options.height} {
  connection_.Open(std::move(fd), now);
  agreed_.limits = options.limits;
}

Status Agent::Serve(int events) {
  if ((events & POLLOUT) && connection_.Flush() == Transfer::kEnded) events |= POLLIN;
  return events & (POLLIN | POLLHUP | POLLERR) ? Read() : Status::Ok();
}

Status Agent::Read() {
  for (int fills = 0; fills < kFillsMax; ++fills) {
    const Transfer transfer = connection_.Fill();
    if (transfer == Transfer::kLater) return Status::Ok();
    if (transfer == Transfer::kEnded) return kGone;
    for (;;) {
      Message message;
      Status status = connection_.Next(&message);
      if (status.ok() && message.type == MessageType::kNone) break;
      if (status.ok()) status = Take(message);
      if (status.ok()) continue;
      if (status.code != Code::kUnavailable) Leave(ByeReason::kProtocol);
      return status;
    }
    if (connection_.drained()) return Status::Ok();
  }
  return Status::Ok();
}

Status Agent::Take(const Message& message) {
  if (!said_hello_ && message.version == kVersion2 && message.type != MessageType::kHello) {
    return {Code::kCorrupt, "HELLO", "must be the first v2 message"};
  }
  switch (message.type) {
    case MessageType::kHello:
      return TakeHello(message);
    case MessageType::kAction:
      return TakeActionMessage(message);
    case MessageType::kReset:
      news_ = has_reset_ = true;
      return DecodeReset(message.payload, &reset_);
    case MessageType::kBye:
      return {Code::kUnavailable, "agent", "said BYE"};
    default:
      return {Code::kCorrupt, "type", "not one that an agent sends"};
  }
}

Status Agent::TakeHello(const Message& message) {
  Hello asked, answer;
  Status status = DecodeHello(message.payload, &asked);
  if (!status.ok()) return status;
  if (!SameToken(asked.token, options_.token) && !options_.token.empty()) {
    counters_->refused.Add();
    connection_.SayBye(ByeReason::kToken, {});
    return {Code::kUnavailable, "token", "an agent's was wrong or missing"};
  }
  Hello offered{.capabilities = options_.capabilities, .limits = options_.limits};
  offered.width = options_.width;
  offered.height = options_.height;
  offered.rate = options_.rate;
  offered.machine = MachineId();
  offered.ring = options_.ring;
  offered.name = options_.name;
  status = Negotiate(offered, asked, &answer);
  if (!status.ok()) {
    counters_->refused.Add();
    const bool version = status.code == Code::kVersionMismatch;
    connection_.SayBye(version ? ByeReason::kVersion : ByeReason::kProtocol, status.what);
    return {Code::kUnavailable, status.where, status.what};
  }
  std::array<uint8_t, kHelloBytesMax> payload;
  size_t size = 0;
  status = EncodeHello(answer, payload, &size);
  if (!status.ok()) return status;
  if (!said_hello_) {
    // v1's messages end where HELLO_ACK begins.
    Outbox* outbox = connection_.outbox();
    if (outbox->waiting(0) > 0) counters_->states_skipped.Add();
    if (outbox->waiting(1) > kLength) counters_->frames_skipped.Add();
    outbox->DropWaiting();
  }
  said_hello_ = true;
  version_ = kVersion2;
  name_ = asked.name;
  agreed_ = answer;
  agreed_.token = agreed_.ring = agreed_.name = {};
  if (connection_.Say(MessageType::kHelloAck, {payload.data(), size})) return status;
  return {Code::kUnavailable, "HELLO", "they come faster than their answers are read"};
}

Status Agent::TakeActionMessage(const Message& message) {
  ActionArrival arrival;
  const Status status = message.version == kVersion1
                            ? DecodeActionV1(message.payload, capture_, &arrival.action)
                            : DecodeActionV2(message.payload, &arrival.action, &arrival.answers);
  if (!status.ok()) return status;
  arrival.sequence = message.sequence;
  arrival.made_ns = message.time_ns;
  arrival.received_ns = connection_.heard_ns();
  if (arrival.answers > sequence_) {  // of a connection before this one
    counters_->actions_skipped.Add();
    return status;
  }
  const bool known = arrival.answers > 0 && sequence_ - arrival.answers < kRemembered;
  if (known) arrival.round_trip_ns = arrival.received_ns - left_ns_[arrival.answers % kRemembered];
  if (has_action_) {
    counters_->actions_skipped.Add();
    KeepPress(action_.action, &arrival.action);
  }
  counters_->actions.Add();
  action_ = arrival;
  news_ = has_action_ = true;
  return status;
}

bool Agent::TakeAction(ActionArrival* arrival) {
  if (!std::exchange(has_action_, false)) return false;
  *arrival = action_;
  return true;
}

bool Agent::TakeReset(ResetMessage* reset) {
  if (!std::exchange(has_reset_, false)) return false;
  *reset = reset_;
  return true;
}

void Agent::Leave(ByeReason reason) {
  if (version_ == kVersion2) connection_.SayBye(reason, {});
}

// The trailers that this agent is sent.
StateTrailers Agent::Trailers(const StateTrailers& wanted) const {
  StateTrailers trailers = wanted;
  if (version_ == kVersion2) {
    trailers.extra = (agreed_.capabilities & kTakesExtra) != 0;
    trailers.announcement.reset();
    if (!(agreed_.capabilities & kTakesInput)) trailers.input.reset();
    if (!(agreed_.capabilities & kTakesStep)) trailers.step.reset();
    return trailers;
  }
  trailers.extra = options_.extra_in_v1 && options_.axes == Axes::kOurs;
  const bool announces = options_.protocol == Protocol::kAuto && sequence_ == 1;
  trailers.announcement.reset();
  if (announces) {
    // With STEP, by which an agent that comes back knows whether its last action was taken: while
    // the game waits for an answer there is no other state to say it in.
    trailers.announcement = {kVersion2, kVersion2, options_.capabilities};
  } else {
    trailers.step.reset();
  }
  return trailers;
}

size_t Agent::FrameBytes(const FrameView& frame) const {
  if (frame.empty() || (agreed_.capabilities & kTakesRing)) return 0;
  if (version_ == kVersion1) return FrameBytesV1(frame);
  const uint32_t needed = frame.format == PixelFormat::kJpeg  ? kTakesJpeg
                          : frame.format == PixelFormat::kRgb ? kTakesRgb
                                                              : kTakesRgba;
  if (!(agreed_.capabilities & needed)) {
    counters_->frames_refused.Add();
    return 0;
  }
  return FrameBytesV2(frame);
}

Status Agent::Send(const GameState& state, const StateTrailers& trailers, const FrameView& frame,
                   int64_t capture_ns, uint64_t* sequence) {
  size_t frame_bytes = FrameBytes(frame);
  if (frame_bytes > options_.limits.frame_bytes) {
    counters_->frames_refused.Add();
    return {Code::kOutOfRange, "frame", "larger than this end's limit frame_bytes; raise it"};
  }
  if (frame_bytes > agreed_.limits.frame_bytes) {  // what the agent asked for is no fault of ours
    counters_->frames_refused.Add();
    frame_bytes = 0;
  }
  ++sequence_;
  Status status = PutState(state, trailers, capture_ns);
  if (status.ok()) status = PutFrame(frame, frame_bytes, capture_ns);
  if (!status.ok()) {
    connection_.outbox()->DropWaiting();
    --sequence_;
    return status;
  }
  counters_->states.Add();
  if (frame_bytes > 0) {
    counters_->frames.Add();
    capture_ = {static_cast<int32_t>(frame.width), static_cast<int32_t>(frame.height)};
  }
  left_ns_[sequence_ % kRemembered] = MonotonicNs();
  *sequence = sequence_;
  connection_.Flush();  // a link that broke is noticed by reading
  return status;
}

Status Agent::PutState(const GameState& state, const StateTrailers& trailers, int64_t capture_ns) {
  Outbox* outbox = connection_.outbox();
  const bool v1 = version_ == kVersion1;
  const size_t lane = v1 ? 0 : 1, head = v1 ? kLength : kHeaderBytes;
  if (outbox->waiting(lane) > 0) counters_->states_skipped.Add();
  uint8_t* room = outbox->Room(lane, head + kStateBytesMax);
  size_t size = 0;
  const Status status = EncodeState(state, Trailers(trailers), v1 ? options_.axes : Axes::kOurs,
                                    {room + head, kStateBytesMax}, &size);
  if (!status.ok()) return status;
  if (v1) {
    const auto length = static_cast<int32_t>(size);
    std::memcpy(room, &length, kLength);
  } else {
    WriteHeader(MessageType::kState, size, sequence_, capture_ns, room);
  }
  outbox->Cut(lane, head + size);
  return status;
}

Status Agent::PutFrame(const FrameView& frame, size_t bytes, int64_t capture_ns) {
  Outbox* outbox = connection_.outbox();
  const bool v1 = version_ == kVersion1;
  const size_t lane = v1 ? 1 : 0, head = v1 ? kLength : kHeaderBytes;
  const bool waits = outbox->waiting(lane) > head || (!v1 && outbox->waiting(lane) > 0);
  if (bytes == 0) {
    // A frame that still waits goes with this state; v1 says that there is none.
    if (v1 && !waits) std::memset(outbox->Room(lane, kLength), 0, kLength);
    return Status::Ok();
  }
  if (waits) counters_->frames_skipped.Add();
  uint8_t* room = outbox->Room(lane, head + bytes);
  size_t size = 0;
  if (v1) {
    const auto length = static_cast<int32_t>(bytes);
    std::memcpy(room, &length, kLength);
    return EncodeFrameV1(frame, {room + head, bytes}, &size);
  }
  const bool turn = !(agreed_.capabilities & kTakesBottomUp);
  WriteHeader(MessageType::kFrame, bytes, sequence_, capture_ns, room);
  return EncodeFrameV2(frame, turn ? RowOrder::kTopDown : frame.row_order, {room + head, bytes},
                       &size);
}

}  // namespace metabonk::link
