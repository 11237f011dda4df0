#include "link/decoder.h"

#include <algorithm>
#include <cstring>

#include "link/bytes.h"

namespace metabonk::link {
namespace {

constexpr size_t kFirstCapacity = 64 << 10;
constexpr size_t kChunk = 4096;  // worth a system call
constexpr size_t kLength = 4;    // v1's length fields

template <typename T>
T At(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

bool SentBy(MessageType type, Sender sender) {
  switch (type) {
    case MessageType::kHello:
    case MessageType::kAction:
    case MessageType::kReset:
      return sender == Sender::kAgent;
    case MessageType::kHelloAck:
    case MessageType::kState:
    case MessageType::kFrame:
      return sender == Sender::kGame;
    default:
      return true;
  }
}

Limits Bounded(const Limits& limits) {
  return {.state_bytes = std::min(limits.state_bytes, kStateBytesCeiling),
          .frame_bytes = std::min(limits.frame_bytes, kFrameBytesCeiling)};
}

// The largest message of a sender, in either framing.
size_t MessageBytesMax(Sender sender, const Limits& limits) {
  const size_t control = kHeaderBytes + kControlBytesMax;
  if (sender == Sender::kAgent) return control;
  return std::max(control, kHeaderBytes + limits.state_bytes + limits.frame_bytes);
}

}  // namespace

Decoder::Decoder(Sender sender, Protocol protocol, const Limits& limits)
    : sender_(sender),
      protocol_(protocol),
      limits_(Bounded(limits)),
      capacity_max_(MessageBytesMax(sender, limits_) + kFirstCapacity) {}

void Decoder::Reset() {
  begin_ = end_ = wanted_ = 0;
  version_ = 0;
  sequence_ = 0;
  frame_given_ = false;
  failed_ = Status::Ok();
}

void Decoder::Grow() {
  const size_t capacity = std::min(capacity_max_, std::max(kFirstCapacity, 2 * capacity_));
  std::unique_ptr<uint8_t[]> memory(new uint8_t[capacity]);
  if (end_ > begin_) std::memcpy(memory.get(), memory_.get() + begin_, end_ - begin_);
  memory_ = std::move(memory);
  capacity_ = capacity;
  end_ -= begin_;
  begin_ = 0;
}

std::span<uint8_t> Decoder::Room() {
  if (capacity_ == 0) Grow();
  if (begin_ == end_) begin_ = end_ = 0;
  const bool tight = capacity_ - end_ < kChunk || wanted_ > capacity_ - begin_;
  if (begin_ > 0 && tight) {
    std::memmove(memory_.get(), memory_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // What a length promises is not believed: memory doubles once the bytes before it are there.
  if (wanted_ > capacity_ && capacity_ - end_ < kChunk) Grow();
  return {memory_.get() + end_, capacity_ - end_};
}

void Decoder::Commit(size_t size) { end_ += std::min(size, capacity_ - end_); }

size_t Decoder::Feed(std::span<const uint8_t> bytes) {
  const std::span<uint8_t> room = Room();
  const size_t size = std::min(room.size(), bytes.size());
  if (size > 0) std::memcpy(room.data(), bytes.data(), size);
  Commit(size);
  return size;
}

Status Decoder::Fail(Code code, const char* where, const char* what) {
  return failed_ = {code, where, what};
}

Status Decoder::Next(Message* message) {
  message->type = MessageType::kNone;
  message->payload = {};
  if (!failed_.ok()) return failed_;
  wanted_ = kLength;
  if (buffered() < kLength) return Status::Ok();
  if (version_ == kVersion2) return NextV2(message);
  const bool magic = At<uint32_t>(memory_.get() + begin_) == kMagic;
  if (magic && protocol_ == Protocol::kV1) {
    return Fail(Code::kVersionMismatch, "message", "v2 where v1 is spoken; use protocol auto");
  }
  if (!magic && protocol_ == Protocol::kV2) {
    return Fail(Code::kVersionMismatch, "message", "v1 where v2 is demanded; use protocol auto");
  }
  return magic ? NextV2(message) : NextV1(message);
}

Status Decoder::NextV1(Message* message) {
  message->version = kVersion1;
  message->time_ns = 0;
  return sender_ == Sender::kGame ? TickV1(message) : ActionV1(message);
}

Status Decoder::TickV1(Message* message) {
  const uint8_t* at = memory_.get() + begin_;
  const auto state_bytes = At<int32_t>(at);
  if (state_bytes < 1 || static_cast<uint32_t>(state_bytes) > limits_.state_bytes) {
    return Fail(Code::kCorrupt, "state length", "outside 1..limits.state_bytes");
  }
  const size_t frame_at = kLength + static_cast<size_t>(state_bytes) + kLength;
  wanted_ = frame_at;
  if (buffered() < frame_at) return Status::Ok();
  const auto frame_bytes = At<int32_t>(at + frame_at - kLength);
  if (frame_bytes < 0 || static_cast<uint32_t>(frame_bytes) > limits_.frame_bytes) {
    return Fail(Code::kCorrupt, "frame length", "outside 0..limits.frame_bytes");
  }
  wanted_ = frame_at + static_cast<size_t>(frame_bytes);
  if (buffered() < wanted_) return Status::Ok();
  version_ = kVersion1;
  message->sequence = sequence_ + 1;
  if (frame_bytes > 0 && !frame_given_) {
    frame_given_ = true;
    message->type = MessageType::kFrame;
    message->payload = {at + frame_at, static_cast<size_t>(frame_bytes)};
    return Status::Ok();
  }
  message->type = MessageType::kState;
  message->payload = {at + kLength, static_cast<size_t>(state_bytes)};
  frame_given_ = false;
  ++sequence_;
  begin_ += wanted_;
  return Status::Ok();
}

Status Decoder::ActionV1(Message* message) {
  const uint8_t* at = memory_.get() + begin_;
  const auto bytes = At<int32_t>(at);
  if (bytes < 1 || static_cast<uint32_t>(bytes) > kActionBytesMax) {
    return Fail(Code::kCorrupt, "action length", "outside 1..1023");
  }
  wanted_ = kLength + static_cast<size_t>(bytes);
  if (buffered() < wanted_) return Status::Ok();
  version_ = kVersion1;
  message->type = MessageType::kAction;
  message->sequence = ++sequence_;
  message->payload = {at + kLength, static_cast<size_t>(bytes)};
  begin_ += wanted_;
  return Status::Ok();
}

Status Decoder::NextV2(Message* message) {
  for (;;) {
    wanted_ = kHeaderBytes;
    if (buffered() < kHeaderBytes) return Status::Ok();
    ByteReader header({memory_.get() + begin_, kHeaderBytes});
    if (header.Get<uint32_t>() != kMagic) {
      return Fail(Code::kCorrupt, "magic", "a v2 message begins with BNK2");
    }
    if (header.Get<uint16_t>() != kVersion2) {
      return Fail(Code::kVersionMismatch, "version", "of a message must be 2");
    }
    const auto number = header.Get<uint16_t>();
    const auto bytes = header.Get<uint32_t>();
    const auto type = static_cast<MessageType>(number);
    if (number == 0 || !SentBy(type, sender_)) {
      return Fail(Code::kCorrupt, "type", "not one that this end sends");
    }
    const uint32_t most = type == MessageType::kState    ? limits_.state_bytes
                          : type == MessageType::kFrame  ? limits_.frame_bytes
                          : type == MessageType::kAction ? kActionBytesMax
                                                         : kControlBytesMax;
    if (bytes > most) return Fail(Code::kCorrupt, "payload length", "above its limit");
    wanted_ = kHeaderBytes + bytes;
    if (buffered() < wanted_) return Status::Ok();
    const size_t payload_at = begin_ + kHeaderBytes;
    begin_ += wanted_;
    version_ = kVersion2;
    if (number >= static_cast<uint16_t>(MessageType::kCount)) {
      ++unknown_;
      continue;
    }
    message->type = type;
    message->version = kVersion2;
    message->sequence = header.Get<uint64_t>();
    message->time_ns = header.Get<int64_t>();
    message->payload = {memory_.get() + payload_at, bytes};
    return Status::Ok();
  }
}

void WriteHeader(MessageType type, size_t payload_bytes, uint64_t sequence, int64_t time_ns,
                 uint8_t* room) {
  ByteWriter header({room, kHeaderBytes});
  header.Put(kMagic);
  header.Put(kVersion2);
  header.Put(static_cast<uint16_t>(type));
  header.Put(static_cast<uint32_t>(payload_bytes));
  header.Put(sequence);
  header.Put(time_ns);
}

}  // namespace metabonk::link
