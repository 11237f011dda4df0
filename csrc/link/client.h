// Client: the agent's end of a link. Connects, reads until the newest state, sends actions,
// reconnects with growing pauses. One thread at a time; Wake and counters may be used from others.
// Does not decode JPEG, knows no policy and starts no thread.
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
#include "link/tick.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::link {

struct ClientOptions {
  Endpoint endpoint;
  Protocol protocol = Protocol::kAuto;
  Limits limits;
  Axes axes = Axes::kOurs;  // of v1's states; a state with MBX2 is ours
  // What HELLO says.
  std::string token;
  std::string name = "metabonk";
  uint32_t capabilities = kTakesJpeg | kTakesRgb | kTakesRgba | kTakesBottomUp | kTakesExtra |
                          kTakesInput | kTakesStep | kTakesRing | kStepped | kResets;
  uint16_t width = 0, height = 0, rate = 0;
  CaptureSize capture;  // of v1's clicks; 0: that of the last frame
  // Nanoseconds.
  int64_t connect_timeout = 2'000'000'000;
  int64_t pause_first = 50'000'000;  // before the second attempt; doubles from there
  int64_t pause_max = 2'000'000'000;
  int64_t ping_every = 250'000'000;  // v2
  int64_t idle = 30'000'000'000;  // v2: a link that says nothing for so long is dropped; 0: never
  // A wait looks so long before it sleeps, a millisecond at most: a wake-up saved where each end
  // has a processor of its own, time stolen from the other end where they share one.
  int64_t spin = 0;
};

class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Connects if it is time to, sends what waits, reads everything there is. Returns as soon as a
  // state came that is newer than tick() (*fresh), at a Wake, or after timeout_ns (0: does not
  // wait, < 0: waits for ever). A lost connection is no error: it is counted, said by last_error(),
  // and tried again. Errors are final and returned from then on: a wrong token, no version in
  // common, v1 spoken where v2 is demanded.
  Status Poll(int64_t timeout_ns, bool* fresh);
  const Tick& tick() const;

  // The answer to tick(). Replaces an action that still waits for room on the way, but for what
  // that pressed; an answer to a tick of a connection that has ended is counted and not sent.
  // Returns its own sequence, which goes on over connections; 0: it was not sent. A game that says
  // the newest action that it took (STEP) says after a break by it whether this one arrived.
  uint64_t Send(const Action& action);
  // When the connection had taken everything that it was to send; 0: something waits for room.
  int64_t flushed_ns() const;
  // v2 only: kUnavailable where the game does not reset, or so many messages wait for it to read
  // that this one was not sent.
  Status SendReset(const ResetMessage& reset);
  // Says HELLO anew, without the capability of rings: theirs could not be opened from here.
  void RefuseRing();
  // Ends the connection with BYE; the next Poll connects anew.
  void Disconnect();

  bool connected() const;           // and has read a state or an answer to HELLO
  uint16_t version() const;         // spoken now: 1, 2, or 0 before anything was read
  uint32_t capabilities() const;    // of HELLO_ACK; 0 in v1
  const std::string& ring() const;  // of HELLO_ACK; empty: frames come over the socket
  const std::string& peer_name() const;
  const ClockRelation& clock() const;
  const Counters& counters() const;
  std::string last_error() const;  // why the last connection ended, or was not made
  // Makes a Poll that waits return now. Any thread.
  void Wake();

 private:
  class Session;
  std::unique_ptr<Session> session_;
};

}  // namespace metabonk::link
