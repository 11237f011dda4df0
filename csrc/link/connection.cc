#include "link/connection.h"

#include <poll.h>

#include <array>
#include <cstring>
#include <utility>

namespace metabonk::link {

void Connection::Open(Fd fd, int64_t now) {
  fd_ = std::move(fd);
  decoder_.Reset();
  outbox_.Clear();
  clock_.Reset();
  ping_sent_ = 0;
  opened_ns_ = heard_ns_ = flushed_ns_ = now;
}

void Connection::Close() {
  fd_.Close();
  outbox_.Clear();
}

int16_t Connection::events() const {
  return static_cast<int16_t>(POLLIN | (outbox_.empty() ? 0 : POLLOUT));
}

Transfer Connection::Fill() {
  size_t size = 0;
  const std::span<uint8_t> room = decoder_.Room();
  const Transfer transfer = ReceiveSome(fd_, room, &size);
  drained_ = size < room.size();
  if (transfer == Transfer::kSome) {
    decoder_.Commit(size);
    counters_->bytes_in.Add(size);
    heard_ns_ = MonotonicNs();
  }
  return transfer;
}

Status Connection::Next(Message* message) {
  for (;;) {
    Status status = decoder_.Next(message);
    counters_->unknown_messages.Add(decoder_.unknown() -
                                    std::exchange(unknown_seen_, decoder_.unknown()));
    if (!status.ok()) return status;
    if (message->type == MessageType::kPing) {
      status = AnswerPing(*message);
    } else if (message->type == MessageType::kPong) {
      status = TakePong(*message);
    } else {
      return status;
    }
    if (!status.ok()) return status;
  }
}

Status Connection::AnswerPing(const Message& ping) {
  std::array<uint8_t, kPongBytes> payload;
  size_t size = 0;
  const Pong pong{ping.sequence, ping.time_ns, heard_ns_};
  const Status status = EncodePong(pong, payload, &size);
  if (!status.ok()) return status;
  if (Say(MessageType::kPong, payload)) return status;
  return {Code::kUnavailable, "PING", "they come faster than their answers are read"};
}

Status Connection::TakePong(const Message& message) {
  Pong pong;
  const Status status = DecodePong(message.payload, &pong);
  if (!status.ok()) return status;
  // An answer to what was not asked last says nothing about the clocks.
  if (pong.ping_sequence == ping_sequence_ && pong.ping_ns == ping_sent_ &&
      clock_.Add(pong.ping_ns, pong.received_ns, message.time_ns, heard_ns_)) {
    counters_->pongs.Add();
  }
  return status;
}

bool Connection::Say(MessageType type, std::span<const uint8_t> payload) {
  std::array<uint8_t, kHeaderBytes + 1024> message;
  if (payload.size() > message.size() - kHeaderBytes) return false;
  const int64_t now = MonotonicNs();
  if (type == MessageType::kPing) {
    ping_sent_ = now;
    ping_sequence_ = said_ + 1;
  }
  WriteHeader(type, payload.size(), ++said_, now, message.data());
  if (!payload.empty()) std::memcpy(message.data() + kHeaderBytes, payload.data(), payload.size());
  if (!outbox_.Append({message.data(), kHeaderBytes + payload.size()})) return false;
  Flush();
  return true;
}

void Connection::SayBye(ByeReason reason, std::string_view text) {
  std::array<uint8_t, kByeBytesMax> payload;
  size_t size = 0;
  if (EncodeBye({reason, text}, payload, &size).ok()) {
    Say(MessageType::kBye, {payload.data(), size});
  }
}

Transfer Connection::Flush() {
  uint64_t sent = 0;
  const Transfer transfer = outbox_.Flush(fd_, &sent);
  if (sent > 0) flushed_ns_ = MonotonicNs();
  counters_->bytes_out.Add(sent);
  return transfer;
}

void Connection::PingIfDue(int64_t now, int64_t every) {
  if (every > 0 && now >= next_ping(every)) Say(MessageType::kPing, {});
}

}  // namespace metabonk::link
