// Server: the game's end of a link. Listens, talks to one agent at a time (the newest connection
// replaces the old one), sends states and frames, takes actions. One thread at a time; Wake and
// counters may be used from others. Knows no game and starts no thread.
//
// A slow agent holds nothing up: what is half sent is finished, of what waits behind it the newest
// state and the newest frame are kept and the rest is counted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "link/action.h"
#include "link/clock.h"
#include "link/control.h"
#include "link/counters.h"
#include "link/endpoint.h"
#include "link/frame.h"
#include "link/hello.h"
#include "link/message.h"
#include "link/server_options.h"
#include "link/state.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::link {

class Server {
 public:
  static Status Listen(const ServerOptions& options, std::unique_ptr<Server>* server);
  ~Server();  // says BYE; takes a Unix socket's file away
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Accepts, reads, sends what waits. Returns when an action or a reset came (*fresh) that was not
  // there before, at a Wake, or after timeout_ns (0: does not wait, < 0: for ever).
  Status Poll(int64_t timeout_ns, bool* fresh);

  // Sends a state and, where frame is not empty, its picture: raw pictures as they are in v2, from
  // the bottom up in v1. Returns the state's sequence through *sequence; 0 if nobody is connected.
  // kOutOfRange for a frame above this end's own limit, with nothing sent; one above the agent's is
  // left out and counted.
  Status Send(const GameState& state, const StateTrailers& trailers, const FrameView& frame,
              int64_t capture_ns, uint64_t* sequence);

  // What Send will give the next state; 0 while nobody is there.
  uint64_t next_sequence() const;
  // The newest one that was not taken yet.
  bool TakeAction(ActionArrival* arrival);
  bool TakeReset(ResetMessage* reset);

  bool connected() const;         // somebody is there and may be sent to
  uint64_t connection() const;    // counts from 1: a change means another agent
  uint16_t version() const;       // spoken now: 1, 2, or 0 while nobody is there
  uint32_t capabilities() const;  // agreed upon; 0 in v1
  bool uses_ring() const;         // frames need not be sent
  bool pending() const;           // something waits to be sent
  const std::string& peer_name() const;
  const Endpoint& endpoint() const;  // with the port that was chosen
  const ClockRelation& clock() const;
  const Counters& counters() const;
  std::string last_error() const;
  void Wake();

 private:
  class Session;
  explicit Server(std::unique_ptr<Session> session);
  std::unique_ptr<Session> session_;
};

}  // namespace metabonk::link
