// Decoder: the bytes of one connection, in pieces of any size, into whole messages. No sockets, no
// clock. Memory is bounded by the limits and grows only as bytes arrive, never by what a length
// field promises; once it has met the largest message it allocates no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "link/message.h"
#include "metabonk/status.h"

namespace metabonk::link {

// Whose bytes these are.
enum class Sender : uint8_t { kGame, kAgent };

class Decoder {
 public:
  // protocol: kV1 refuses v2's magic, kV2 refuses v1; kAuto takes v1 and follows a sender that
  // changes to v2, which nothing changes back.
  Decoder(Sender sender, Protocol protocol, const Limits& limits);

  // Where the next bytes may be written (recv), never empty after Next returned kNone; Commit says
  // how many were. Messages handed out before Room are gone after it.
  std::span<uint8_t> Room();
  void Commit(size_t size);
  // The same by copying: takes as many of `bytes` as fit and returns how many. Takes some whenever
  // Next has returned kNone.
  size_t Feed(std::span<const uint8_t> bytes);

  // The next whole message, or type kNone if more bytes are needed. Views stay valid until the next
  // Room or Feed. A violation of the protocol is final: every later call returns it again.
  //   kCorrupt          a length outside its limits, a wrong magic
  //   kVersionMismatch  v1 where v2 is demanded or the reverse, or a version from the future
  Status Next(Message* message);

  // Forgets everything: a new connection.
  void Reset();

  uint16_t version() const { return version_; }      // of the last message; 0 before the first
  size_t buffered() const { return end_ - begin_; }  // bytes not yet handed out
  size_t capacity() const { return capacity_; }      // memory held
  size_t capacity_max() const { return capacity_max_; }
  uint64_t unknown() const { return unknown_; }  // v2 messages of a type from the future, skipped

 private:
  Status NextV1(Message* message);
  Status NextV2(Message* message);
  Status TickV1(Message* message);
  Status ActionV1(Message* message);
  Status Fail(Code code, const char* where, const char* what);
  void Grow();

  const Sender sender_;
  const Protocol protocol_;
  const Limits limits_;
  const size_t capacity_max_;
  std::unique_ptr<uint8_t[]> memory_;
  size_t capacity_ = 0;
  size_t begin_ = 0, end_ = 0;
  size_t wanted_ = 0;  // bytes that the message at begin_ is known to have
  uint16_t version_ = 0;
  uint64_t sequence_ = 0;  // of v1's last tick or action
  // v1 lays a tick's state before its frame, and the frame is handed out first.
  bool frame_given_ = false;
  uint64_t unknown_ = 0;
  Status failed_;
};

// Writes v2's header; room must have kHeaderBytes.
void WriteHeader(MessageType type, size_t payload_bytes, uint64_t sequence, int64_t time_ns,
                 uint8_t* room);

}  // namespace metabonk::link
