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
#include "link/state.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::link {

struct ServerOptions {
  Endpoint endpoint;  // port 0: one that is free
  Protocol protocol = Protocol::kAuto;
  Limits limits;
  Axes axes = Axes::kOurs;  // of v1's part
  bool extra_in_v1 = true;  // MBX2 after v1's states too; readers of v1 pass over it
  // With a token, an agent must say it in HELLO before anything is sent to it or it replaces
  // another: v1 cannot. Required beyond this machine.
  std::string token;
  std::string name = "metabonk";
  uint32_t capabilities = kTakesJpeg | kTakesRgb | kTakesRgba | kTakesBottomUp | kTakesExtra |
                          kTakesInput | kTakesStep | kResets;
  uint16_t width = 0, height = 0, rate = 0;  // of frames and states
  std::string ring;                          // with kTakesRing: where frames also are
  // Nanoseconds.
  int64_t handshake = 2'000'000'000;  // a connection that owes HELLO is dropped after this
  int64_t ping_every = 250'000'000;
  int64_t idle = 5'000'000'000;
};

// An action as it came.
struct ActionArrival {
  Action action;
  uint64_t sequence = 0;  // its own
  uint64_t answers = 0;   // sequence of the state that it answers; 0 in v1
  int64_t made_ns = 0;    // the agent's clock; 0 in v1
  int64_t received_ns = 0;
  // From the state's leaving to this arrival, on our clock; 0 if not known.
  int64_t round_trip_ns = 0;
};

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
  // kOutOfRange if they exceed the limits agreed upon, with nothing sent.
  Status Send(const GameState& state, const StateTrailers& trailers, const FrameView& frame,
              int64_t capture_ns, uint64_t* sequence);

  // The newest action that was not taken yet.
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
