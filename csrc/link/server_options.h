// What a server is told, and what it hands out of an agent's actions.
#pragma once

#include <cstdint>
#include <string>

#include "link/endpoint.h"
#include "link/hello.h"
#include "link/message.h"
#include "link/state.h"
#include "metabonk/records.h"

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
  int64_t idle = 30'000'000'000;
  int64_t spin = 0;  // as the client's
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

}  // namespace metabonk::link
