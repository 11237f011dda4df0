#include "link/server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "link/agent.h"
#include "link/machine.h"
#include "link/sockets.h"

namespace metabonk::link {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int kAcceptsMax = 16;      // in one turn
constexpr size_t kKnockingMax = 16;  // who owe HELLO at once
// How long nobody is listened to after one could not be let in, who goes on knocking.
constexpr int64_t kDeaf = 100'000'000;

}  // namespace

class Server::Session {
 public:
  Session(const ServerOptions& options, Fd listener, const Endpoint& bound)
      : options_(options), endpoint_(bound), listener_(std::move(listener)) {}
  ~Session();

  Status Poll(int64_t timeout_ns, bool* fresh);
  Status Send(const GameState& state, const StateTrailers& trailers, const FrameView& frame,
              int64_t capture_ns, uint64_t* sequence);
  bool TakeAction(ActionArrival* arrival);
  bool TakeReset(ResetMessage* reset);

  const Agent* agent() const { return active_.get(); }
  uint64_t connection() const { return connection_; }
  const Endpoint& endpoint() const { return endpoint_; }
  const Counters& counters() const { return counters_; }
  const ClockRelation& clock() const { return active_ ? active_->clock() : no_clock_; }
  const std::string& peer_name() const { return active_ ? active_->name() : no_name_; }
  std::string last_error() const {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    return last_error_;
  }
  void Wake() { waker_.Wake(); }

 private:
  void Note(const std::string& error) {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    last_error_ = error;
  }
  void Expire(int64_t now);
  int64_t NextDue() const;
  bool Wait(int64_t until, int64_t now);
  void Accept();
  void Adopt(std::unique_ptr<Agent> agent);
  // Deals with an agent that may be read or written; drops it if it is gone.
  void Serve(std::unique_ptr<Agent>* agent, int events);
  // The same for one who owes HELLO; whether it still does.
  bool StillOwes(size_t which, int events);
  void Dismiss(size_t which, const std::string& why);
  void Drop(std::unique_ptr<Agent>* agent, const std::string& why);

  const ServerOptions options_;
  const Endpoint endpoint_;
  const Fd listener_;
  Waker waker_;
  Counters counters_;
  std::unique_ptr<Agent> active_;
  std::vector<std::unique_ptr<Agent>> knocking_;  // owe HELLO, the oldest first
  uint64_t connection_ = 0;
  int64_t deaf_until_ = 0;
  bool changed_ = false;  // another agent is there since Poll returned last
  const ClockRelation no_clock_;
  const std::string no_name_;
  mutable std::mutex error_mutex_;
  std::string last_error_;
};

Server::Session::~Session() {
  if (active_) active_->Leave(ByeReason::kLeaving);
  if (endpoint_.kind == Endpoint::Kind::kUnix) unlink(endpoint_.path.c_str());
}

Status Server::Session::Poll(int64_t timeout_ns, bool* fresh) {
  int64_t now = MonotonicNs();
  const int64_t deadline = timeout_ns < 0 || timeout_ns > kNever - now ? kNever : now + timeout_ns;
  for (;;) {
    if (active_ && active_->version() == kVersion2) active_->PingIfDue(now, options_.ping_every);
    const bool woken = Wait(std::min(deadline, NextDue()), now);
    Expire(MonotonicNs());
    *fresh = std::exchange(changed_, false);
    if (active_ && active_->TakeNews()) *fresh = true;
    if (*fresh) return Status::Ok();
    now = MonotonicNs();
    if (woken || now >= deadline) return Status::Ok();
  }
}

// The end of patience; asked after what came was read, for the caller may have been away for long.
void Server::Session::Expire(int64_t now) {
  while (!knocking_.empty() && now - knocking_.front()->opened_ns() > options_.handshake) {
    Dismiss(0, "an agent did not say HELLO in the time allowed");
  }
  if (!active_ || active_->version() != kVersion2) return;
  if (options_.idle > 0 && now - active_->heard_ns() > options_.idle) {
    active_->Leave(ByeReason::kIdle);
    counters_.idle_losses.Add();
    Drop(&active_, "nothing was heard from the agent for too long");
  }
}

int64_t Server::Session::NextDue() const {
  int64_t due = kNever;
  if (!knocking_.empty()) due = knocking_.front()->opened_ns() + options_.handshake + 1;
  if (!active_ || active_->version() != kVersion2) return due;
  if (options_.ping_every > 0) due = std::min(due, active_->next_ping(options_.ping_every));
  if (options_.idle > 0) due = std::min(due, active_->heard_ns() + options_.idle + 1);
  return due;
}

bool Server::Session::Wait(int64_t until, int64_t now) {
  const bool deaf = now < deaf_until_;
  if (deaf) until = std::min(until, deaf_until_);
  std::array<pollfd, 3 + kKnockingMax> fds = {pollfd{waker_.fd(), POLLIN, 0},
                                              pollfd{deaf ? -1 : listener_.get(), POLLIN, 0},
                                              pollfd{-1, 0, 0}};
  if (active_) fds[2] = {active_->fd(), active_->events(), 0};
  size_t count = 3;
  for (const auto& agent : knocking_) fds[count++] = {agent->fd(), agent->events(), 0};
  if (WaitFor({fds.data(), count}, now, until, options_.spin) <= 0) return false;
  if (fds[0].revents) waker_.Drain();
  if (fds[2].revents) Serve(&active_, fds[2].revents);
  size_t which = 0;
  for (size_t i = 3; i < count; ++i) {
    if (fds[i].revents == 0 || StillOwes(which, fds[i].revents)) ++which;
  }
  if (fds[1].revents) Accept();
  return fds[0].revents != 0;
}

void Server::Session::Accept() {
  const bool owes_hello = !options_.token.empty() || options_.protocol == Protocol::kV2;
  for (int i = 0; i < kAcceptsMax; ++i) {
    bool full = false;
    Fd fd = AcceptFrom(listener_, &full);
    if (full) {
      counters_.refused.Add();
      Note("no descriptor is left for an agent who waits: raise `ulimit -n`");
      deaf_until_ = MonotonicNs() + kDeaf;
    }
    if (!fd.open()) return;
    auto agent = std::make_unique<Agent>(options_, &counters_, std::move(fd), MonotonicNs());
    if (!owes_hello) {
      Adopt(std::move(agent));
      continue;
    }
    // Strangers who come one after the other push out each other, not who is about to say HELLO.
    if (knocking_.size() == kKnockingMax) {
      Dismiss(0, "newer connections came before HELLO was said");
    }
    knocking_.push_back(std::move(agent));
  }
}

void Server::Session::Adopt(std::unique_ptr<Agent> agent) {
  if (active_) {
    active_->Leave(ByeReason::kReplaced);
    counters_.replaced.Add();
    Drop(&active_, "a newer connection replaced this one");
  }
  active_ = std::move(agent);
  counters_.connections.Add();
  ++connection_;
  changed_ = true;
}

void Server::Session::Serve(std::unique_ptr<Agent>* agent, int events) {
  const Status status = (*agent)->Serve(events);
  if (!status.ok()) {
    const bool left = status.code == Code::kUnavailable;
    if (!left) counters_.protocol_errors.Add();
    Drop(agent, std::string(status.where) + ": " + status.what);
  }
}

bool Server::Session::StillOwes(size_t which, int events) {
  Serve(&knocking_[which], events);
  if (knocking_[which] && !knocking_[which]->admitted()) return true;
  std::unique_ptr<Agent> agent = std::move(knocking_[which]);
  knocking_.erase(knocking_.begin() + static_cast<std::ptrdiff_t>(which));
  if (agent) Adopt(std::move(agent));
  return false;
}

void Server::Session::Dismiss(size_t which, const std::string& why) {
  counters_.refused.Add();
  Drop(&knocking_[which], why);
  knocking_.erase(knocking_.begin() + static_cast<std::ptrdiff_t>(which));
}

void Server::Session::Drop(std::unique_ptr<Agent>* agent, const std::string& why) {
  if (agent == &active_) {
    counters_.losses.Add();
    changed_ = true;
  }
  agent->reset();
  Note(why);
}

Status Server::Session::Send(const GameState& state, const StateTrailers& trailers,
                             const FrameView& frame, int64_t capture_ns, uint64_t* sequence) {
  *sequence = 0;
  return active_ ? active_->Send(state, trailers, frame, capture_ns, sequence) : Status::Ok();
}

bool Server::Session::TakeAction(ActionArrival* arrival) {
  return active_ && active_->TakeAction(arrival);
}

bool Server::Session::TakeReset(ResetMessage* reset) {
  return active_ && active_->TakeReset(reset);
}

Status Server::Listen(const ServerOptions& options, std::unique_ptr<Server>* server) {
  if (options.token.empty() && !options.endpoint.local()) {
    return {Code::kInvalidArgument, "token",
            "is needed to listen beyond this machine; or listen on 127.0.0.1"};
  }
  if (options.protocol == Protocol::kV1 && !options.token.empty()) {
    return {Code::kInvalidArgument, "token", "cannot be said in v1; use protocol v2 or auto"};
  }
  if (options.limits.state_bytes < kStateBytesMax) {
    return {Code::kOutOfRange, "limits.state_bytes",
            "must be 24576 at least, which any state fits"};
  }
  for (const std::string* text : {&options.token, &options.name, &options.ring}) {
    if (text->size() > kHelloTextMax) {
      return {Code::kInvalidArgument, "token, ring, name", "at most 255 bytes each"};
    }
  }
  Fd listener;
  Endpoint bound;
  const Status status = ListenAt(options.endpoint, &listener, &bound);
  if (!status.ok()) return status;
  server->reset(new Server(std::make_unique<Session>(options, std::move(listener), bound)));
  return status;
}

Server::Server(std::unique_ptr<Session> session) : session_(std::move(session)) {}
Server::~Server() = default;

Status Server::Poll(int64_t timeout_ns, bool* fresh) { return session_->Poll(timeout_ns, fresh); }
Status Server::Send(const GameState& state, const StateTrailers& trailers, const FrameView& frame,
                    int64_t capture_ns, uint64_t* sequence) {
  return session_->Send(state, trailers, frame, capture_ns, sequence);
}
uint64_t Server::next_sequence() const {
  return session_->agent() ? session_->agent()->next_sequence() : 0;
}
bool Server::TakeAction(ActionArrival* arrival) { return session_->TakeAction(arrival); }
bool Server::TakeReset(ResetMessage* reset) { return session_->TakeReset(reset); }
bool Server::connected() const { return session_->agent() != nullptr; }
uint64_t Server::connection() const { return session_->connection(); }
uint16_t Server::version() const {
  return session_->agent() ? session_->agent()->version() : uint16_t{0};
}
uint32_t Server::capabilities() const {
  return session_->agent() ? session_->agent()->capabilities() : 0;
}
bool Server::uses_ring() const { return (capabilities() & kTakesRing) != 0; }
bool Server::pending() const { return session_->agent() && session_->agent()->pending(); }
const std::string& Server::peer_name() const { return session_->peer_name(); }
const Endpoint& Server::endpoint() const { return session_->endpoint(); }
const ClockRelation& Server::clock() const { return session_->clock(); }
const Counters& Server::counters() const { return session_->counters(); }
std::string Server::last_error() const { return session_->last_error(); }
void Server::Wake() { session_->Wake(); }

}  // namespace metabonk::link
