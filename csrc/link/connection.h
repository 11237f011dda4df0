// Connection: what both ends do with an open connection: fill the decoder, send from the outbox,
// say PING and answer it. Knows no states and no actions.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "link/clock.h"
#include "link/control.h"
#include "link/counters.h"
#include "link/decoder.h"
#include "link/message.h"
#include "link/outbox.h"
#include "link/sockets.h"

namespace metabonk::link {

class Connection {
 public:
  // peer: who is at the other end. The counters outlive the connection.
  Connection(Sender peer, Protocol protocol, const Limits& limits, Counters* counters)
      : decoder_(peer, protocol, limits), counters_(counters) {}

  void Open(Fd fd, int64_t now);
  void Close();  // what was not sent is lost
  bool open() const { return fd_.open(); }
  int fd() const { return fd_.get(); }
  // What to wait for (poll).
  int16_t events() const;

  // Reads once; messages seen before are gone. kEnded: the other end is.
  Transfer Fill();
  // The next message that is not about the connection itself: PING is answered, PONG taken.
  Status Next(Message* message);
  // Whether the last Fill took everything there was: it left room.
  bool drained() const { return drained_; }

  // Queues a v2 control message and sends what can be sent.
  bool Say(MessageType type, std::span<const uint8_t> payload);
  void SayBye(ByeReason reason, std::string_view text);
  Outbox* outbox() { return &outbox_; }
  const Outbox& outbox() const { return outbox_; }
  // kEnded: nothing can be sent any more.
  Transfer Flush();
  // When the outbox had last been emptied by that; 0 while something waits in it.
  int64_t flushed_ns() const { return outbox_.empty() ? flushed_ns_ : 0; }

  void PingIfDue(int64_t now, int64_t every);
  int64_t next_ping(int64_t every) const { return ping_sent_ + every; }
  int64_t opened_ns() const { return opened_ns_; }
  int64_t heard_ns() const { return heard_ns_; }  // when the last bytes came
  const ClockRelation& clock() const { return clock_; }

 private:
  Status AnswerPing(const Message& ping);
  Status TakePong(const Message& message);

  Fd fd_;
  Decoder decoder_;
  Outbox outbox_;
  bool drained_ = false;
  ClockRelation clock_;
  Counters* counters_;
  uint64_t unknown_seen_ = 0;
  uint64_t said_ = 0;  // control messages, which count apart from states and actions
  uint64_t ping_sequence_ = 0;
  int64_t ping_sent_ = 0;
  int64_t opened_ns_ = 0, heard_ns_ = 0, flushed_ns_ = 0;
};

}  // namespace metabonk::link
