// Agent: the connection of one agent as the game's end sees it: which version is spoken, what was
// agreed upon, its newest action, what waits to be sent to it. Knows one connection; who may
// connect and who is replaced is the server's.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "link/action.h"
#include "link/connection.h"
#include "link/frame.h"
#include "link/server_options.h"

namespace metabonk::link {

class Agent {
 public:
  Agent(const ServerOptions& options, Counters* counters, Fd fd, int64_t now);

  // Reads and sends what can be; events as of poll. Not ok: the connection is over, kUnavailable
  // without anybody's fault.
  Status Serve(int events);
  // Says BYE where the agent knows the word.
  void Leave(ByeReason reason);

  Status Send(const GameState& state, const StateTrailers& trailers, const FrameView& frame,
              int64_t capture_ns, uint64_t* sequence);
  bool TakeNews() { return std::exchange(news_, false); }
  bool TakeAction(ActionArrival* arrival);
  bool TakeReset(ResetMessage* reset);

  bool admitted() const { return said_hello_; }
  uint16_t version() const { return version_; }
  uint64_t next_sequence() const { return sequence_ + 1; }
  uint32_t capabilities() const { return agreed_.capabilities; }
  const std::string& name() const { return name_; }
  bool pending() const { return !connection_.outbox().empty(); }
  int fd() const { return connection_.fd(); }
  int16_t events() const { return connection_.events(); }
  int64_t opened_ns() const { return connection_.opened_ns(); }
  int64_t heard_ns() const { return connection_.heard_ns(); }
  int64_t next_ping(int64_t every) const { return connection_.next_ping(every); }
  void PingIfDue(int64_t now, int64_t every) { connection_.PingIfDue(now, every); }
  const ClockRelation& clock() const { return connection_.clock(); }

 private:
  static constexpr size_t kRemembered = 256;  // states whose leaving is timed

  Status Read();
  Status Take(const Message& message);
  Status TakeHello(const Message& message);
  Status TakeActionMessage(const Message& message);
  StateTrailers Trailers(const StateTrailers& wanted) const;
  // What of a frame can be sent in the version spoken; 0: none of it.
  size_t FrameBytes(const FrameView& frame) const;
  Status PutState(const GameState& state, const StateTrailers& trailers, int64_t capture_ns);
  Status PutFrame(const FrameView& frame, size_t bytes, int64_t capture_ns);

  const ServerOptions& options_;
  Counters* const counters_;
  Connection connection_;
  uint16_t version_ = kVersion1;
  bool said_hello_ = false;
  Hello agreed_;  // without texts
  std::string name_;
  uint64_t sequence_ = 0;
  std::array<int64_t, kRemembered> left_ns_{};  // of the state of that sequence
  CaptureSize capture_;
  bool news_ = false, has_action_ = false, has_reset_ = false;
  ActionArrival action_;
  ResetMessage reset_;
};

}  // namespace metabonk::link
