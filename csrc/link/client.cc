#include "link/client.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <mutex>
#include <utility>

#include "link/connection.h"
#include "link/inbox.h"
#include "link/machine.h"
#include "link/press.h"
#include "link/reply.h"
#include "link/sockets.h"

namespace metabonk::link {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// A sender that never pauses must not keep a caller from what was read, nor from its deadline.
constexpr int kFillsMax = 1024;

}  // namespace

class Client::Session {
 public:
  explicit Session(ClientOptions options)
      : options_(std::move(options)),
        connection_(Sender::kGame,
                    options_.protocol == Protocol::kV1 ? Protocol::kV1 : Protocol::kAuto,
                    options_.limits, &counters_),
        pause_(options_.pause_first),
        inbox_(options_.axes, &counters_) {}

  Status Poll(int64_t timeout_ns, bool* fresh);
  uint64_t Send(const Action& action);
  Status SendReset(const ResetMessage& reset);
  void RefuseRing();
  void Disconnect();

  const Tick& tick() const { return inbox_.tick(); }
  bool connected() const { return version_.load(std::memory_order_relaxed) != 0; }
  int64_t flushed_ns() const { return connection_.flushed_ns(); }
  uint16_t version() const { return version_.load(std::memory_order_relaxed); }
  const Hello& agreed() const { return agreed_; }
  const std::string& ring() const { return ring_; }
  const std::string& peer_name() const { return peer_name_; }
  const ClockRelation& clock() const { return connection_.clock(); }
  const Counters& counters() const { return counters_; }
  std::string last_error() const {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    return last_error_;
  }
  void Wake() { waker_.Wake(); }

 private:
  enum class Stage : uint8_t { kApart, kConnecting, kTalking };

  void Advance(int64_t now);
  void Expire(int64_t now);
  int64_t NextDue() const;
  bool Wait(int64_t until, int64_t now);
  void Connect(int64_t now);
  void Connected();
  void Lose(const std::string& why, const Status* error = nullptr);
  void Note(const std::string& error) {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    last_error_ = error;
  }
  void SayHello();
  void ReadAll();
  Status Take(const Message& message);
  Status TakeState(const Message& message);
  Status TakeHelloAck(const Message& message);
  Status TakeBye(const Message& message);

  const ClientOptions options_;
  Counters counters_;
  Connection connection_;
  Waker waker_;
  Stage stage_ = Stage::kApart;
  std::atomic<uint16_t> version_{0};
  Status final_;

  // The connection.
  uint64_t attempts_ = 0;
  int64_t next_attempt_ = 0, pause_;
  int64_t hello_said_ = 0;  // when; 0: not in this connection
  bool acknowledged_ = false;
  bool refuses_ring_ = false;
  Hello agreed_;  // texts are kept below
  std::string ring_, peer_name_;
  uint64_t actions_sent_ = 0;  // over all connections
  Action waiting_ = {};        // the last one given, while the outbox has it
  Inbox inbox_;

  mutable std::mutex error_mutex_;
  std::string last_error_;
};

Status Client::Session::Poll(int64_t timeout_ns, bool* fresh) {
  *fresh = false;
  inbox_.Release();
  int64_t now = MonotonicNs();
  const int64_t deadline = timeout_ns < 0 || timeout_ns > kNever - now ? kNever : now + timeout_ns;
  for (;;) {
    Advance(now);
    const bool woken = final_.ok() && Wait(std::min(deadline, NextDue()), now);
    Expire(MonotonicNs());
    if (!final_.ok()) return final_;
    if (inbox_.fresh()) {
      inbox_.HandOut();
      *fresh = true;
      return Status::Ok();
    }
    now = MonotonicNs();
    if (woken || now >= deadline) return Status::Ok();
  }
}

// What time itself brings: attempts to connect and PINGs.
void Client::Session::Advance(int64_t now) {
  if (stage_ == Stage::kApart && now >= next_attempt_) Connect(now);
  if (stage_ == Stage::kTalking && acknowledged_) connection_.PingIfDue(now, options_.ping_every);
}

// The end of patience; asked after what came was read, for the caller may have been away for long.
void Client::Session::Expire(int64_t now) {
  if (stage_ == Stage::kConnecting && now - connection_.opened_ns() > options_.connect_timeout) {
    counters_.refused.Add();
    Lose("no connection within the time allowed");
  }
  if (stage_ != Stage::kTalking || hello_said_ == 0) return;
  if (!acknowledged_) {
    if (now - hello_said_ > options_.connect_timeout) {
      Lose("HELLO was not answered; a game that speaks v1 only wants protocol auto");
    }
  } else if (options_.idle > 0 && now - connection_.heard_ns() > options_.idle) {
    connection_.SayBye(ByeReason::kIdle, {});
    counters_.idle_losses.Add();
    Lose("nothing was heard from the game for too long");
  }
}

int64_t Client::Session::NextDue() const {
  if (stage_ == Stage::kApart) return next_attempt_;
  if (stage_ == Stage::kConnecting) return connection_.opened_ns() + options_.connect_timeout;
  if (hello_said_ == 0) return kNever;
  if (!acknowledged_) return hello_said_ + options_.connect_timeout;
  int64_t due = options_.ping_every > 0 ? connection_.next_ping(options_.ping_every) : kNever;
  if (options_.idle > 0) due = std::min(due, connection_.heard_ns() + options_.idle + 1);
  return due;
}

// Waits for the connection until a time and deals with what came; true if another thread woke us.
bool Client::Session::Wait(int64_t until, int64_t now) {
  std::array<pollfd, 2> fds = {pollfd{waker_.fd(), POLLIN, 0}, pollfd{-1, 0, 0}};
  if (stage_ != Stage::kApart) fds[1].fd = connection_.fd();
  fds[1].events = stage_ == Stage::kConnecting ? int16_t{POLLOUT} : connection_.events();
  if (WaitFor(fds, now, until, options_.spin) <= 0) return false;
  const bool woken = fds[0].revents != 0;
  if (woken) waker_.Drain();
  if (fds[1].revents == 0) return woken;
  if (stage_ == Stage::kConnecting) {
    Connected();
    return woken;
  }
  if ((fds[1].revents & POLLOUT) && connection_.Flush() == Transfer::kEnded) {
    // What the game said before it went is still to be read.
    fds[1].revents = POLLIN;
  }
  if (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) ReadAll();
  return woken;
}

void Client::Session::Connect(int64_t now) {
  std::string error;
  Fd fd = StartConnect(options_.endpoint, attempts_++, &error);
  if (!fd.open()) {
    counters_.refused.Add();
    Lose(EndpointText(options_.endpoint) + ": " + error);
    return;
  }
  connection_.Open(std::move(fd), now);
  stage_ = Stage::kConnecting;
}

void Client::Session::Connected() {
  const int error = ConnectError(connection_.fd());
  if (error != 0) {
    counters_.refused.Add();
    Lose(EndpointText(options_.endpoint) + ": " + ErrorText(error));
    return;
  }
  stage_ = Stage::kTalking;
  counters_.connections.Add();
  hello_said_ = 0;
  acknowledged_ = refuses_ring_ = false;
  agreed_ = {};
  ring_.clear();
  peer_name_.clear();
  inbox_.Begin();
  if (options_.protocol == Protocol::kV2) SayHello();
}

// error: one that no new attempt will mend.
void Client::Session::Lose(const std::string& why, const Status* error) {
  if (stage_ == Stage::kTalking) counters_.losses.Add();
  // A link that has worked is tried again soon.
  if (version() != 0) pause_ = options_.pause_first;
  next_attempt_ = MonotonicNs() + pause_;
  pause_ = std::min(2 * pause_, options_.pause_max);
  connection_.Close();
  stage_ = Stage::kApart;
  version_.store(0, std::memory_order_relaxed);
  Note(why);
  if (error != nullptr) final_ = *error;
}

void Client::Session::SayHello() {
  Hello hello{.capabilities = options_.capabilities, .limits = options_.limits};
  if (refuses_ring_) hello.capabilities &= ~uint32_t{kTakesRing};
  hello.width = options_.width;
  hello.height = options_.height;
  hello.rate = options_.rate;
  hello.machine = MachineId();
  hello.token = options_.token;
  hello.name = options_.name;
  std::array<uint8_t, kHelloBytesMax> payload;
  size_t size = 0;
  const Status status = EncodeHello(hello, payload, &size);
  if (!status.ok()) return Lose(status.what, &status);
  hello_said_ = MonotonicNs();
  acknowledged_ = false;
  connection_.Say(MessageType::kHello, {payload.data(), size});
}

void Client::Session::ReadAll() {
  for (int fills = 0; fills < kFillsMax; ++fills) {
    inbox_.KeepFrame();
    const Transfer transfer = connection_.Fill();
    if (transfer == Transfer::kLater) return;
    if (transfer == Transfer::kEnded) {
      const bool asked = hello_said_ != 0 && !acknowledged_;
      return Lose(asked ? "closed after HELLO; a game that speaks v1 only wants protocol auto"
                        : "the game closed the connection");
    }
    for (;;) {
      Message message;
      Status status = connection_.Next(&message);
      if (status.ok() && message.type == MessageType::kNone) break;
      if (status.ok()) status = Take(message);
      if (stage_ != Stage::kTalking) return;
      if (!status.ok()) {
        if (hello_said_ != 0) connection_.SayBye(ByeReason::kProtocol, status.where);
        counters_.protocol_errors.Add();
        return Lose(std::string(status.where) + ": " + status.what);
      }
    }
    if (connection_.drained()) return;
  }
}

Status Client::Session::Take(const Message& message) {
  switch (message.type) {
    case MessageType::kState:
      return TakeState(message);
    case MessageType::kFrame:
      if (const Status refused = inbox_.TakeFrame(message); !refused.ok()) {
        Note(std::string(refused.where) + ": " + refused.what);
      }
      return Status::Ok();
    case MessageType::kHelloAck:
      return TakeHelloAck(message);
    case MessageType::kBye:
      return TakeBye(message);
    default:
      return {Code::kCorrupt, "type", "not one that a game sends"};
  }
}

Status Client::Session::TakeState(const Message& message) {
  const Status status = inbox_.TakeState(message, connection_.heard_ns());
  if (!status.ok()) return status;
  const bool first = version() == 0;
  if (version() != kVersion2) version_.store(message.version, std::memory_order_relaxed);
  const auto& announced = inbox_.tick().trailers.announcement;
  const bool invited = first && announced && announced->lowest_version <= kVersion2 &&
                       announced->highest_version >= kVersion2;
  if (invited && options_.protocol == Protocol::kAuto && hello_said_ == 0) SayHello();
  return status;
}

Status Client::Session::TakeHelloAck(const Message& message) {
  if (hello_said_ == 0) return {Code::kCorrupt, "HELLO_ACK", "came without a HELLO"};
  Hello answer;
  const Status status = DecodeHello(message.payload, &answer);
  if (!status.ok()) return status;
  if (answer.highest_version != kVersion2) {
    return {Code::kVersionMismatch, "HELLO_ACK", "must name version 2"};
  }
  ring_ = answer.ring;
  peer_name_ = answer.name;
  agreed_ = answer;
  agreed_.token = agreed_.ring = agreed_.name = {};
  acknowledged_ = true;
  pause_ = options_.pause_first;
  version_.store(kVersion2, std::memory_order_relaxed);
  return status;
}

Status Client::Session::TakeBye(const Message& message) {
  Bye bye;
  const Status status = DecodeBye(message.payload, &bye);
  if (!status.ok()) return status;
  const Status error = ByeError(bye.reason);
  if (bye.reason == ByeReason::kToken) counters_.refused.Add();
  std::string why = std::string("the game said BYE: ") + ByeText(bye.reason);
  if (!bye.text.empty()) why += " (" + std::string(bye.text) + ")";
  Lose(why, error.ok() ? nullptr : &error);
  return status;
}

uint64_t Client::Session::Send(const Action& action) {
  const bool v2 = hello_said_ != 0;
  const bool silent = options_.protocol == Protocol::kAuto && version() == 0;
  // An answer to a state of a connection that has ended would be taken for another's here.
  if (stage_ != Stage::kTalking || (silent && !v2) || inbox_.outlived()) {
    counters_.actions_unsent.Add();
    return 0;
  }
  Outbox* outbox = connection_.outbox();
  Action sent = action;
  if (outbox->waiting(0) > 0) {
    counters_.actions_skipped.Add();
    KeepPress(waiting_, &sent);
  }
  CaptureSize capture = options_.capture;
  if (capture.width == 0) capture = inbox_.frame_size();
  if (capture.width == 0) capture = {options_.width, options_.height};
  const uint16_t spoken = v2 ? kVersion2 : kVersion1;
  counters_.inputs_lost.Add(
      PutReply(sent, inbox_.tick(), spoken, capture, ++actions_sent_, outbox));
  waiting_ = sent;
  if (!v2) PlaceChoice(inbox_.tick().state, &waiting_);  // it is a click, of this state's widgets
  counters_.actions.Add();
  connection_.Flush();  // a link that broke is noticed by reading
  return actions_sent_;
}

Status Client::Session::SendReset(const ResetMessage& reset) {
  if (!(agreed_.capabilities & kResets) || stage_ != Stage::kTalking) {
    return {Code::kUnavailable, "reset", "the game does not start episodes on demand"};
  }
  std::array<uint8_t, kResetBytes> payload;
  size_t size = 0;
  const Status status = EncodeReset(reset, payload, &size);
  if (!status.ok() || connection_.Say(MessageType::kReset, payload)) return status;
  return {Code::kUnavailable, "reset",
          "the game reads nothing, and no more can wait for it: ask again once it answers"};
}

void Client::Session::RefuseRing() {
  refuses_ring_ = true;
  if (stage_ == Stage::kTalking && hello_said_ != 0) SayHello();
}

void Client::Session::Disconnect() {
  if (stage_ == Stage::kApart) return;
  if (hello_said_ != 0) connection_.SayBye(ByeReason::kLeaving, {});
  Lose("left");
  next_attempt_ = 0;
}

Client::Client(ClientOptions options) : session_(new Session(std::move(options))) {}
Client::~Client() { session_->Disconnect(); }

Status Client::Poll(int64_t timeout_ns, bool* fresh) { return session_->Poll(timeout_ns, fresh); }
const Tick& Client::tick() const { return session_->tick(); }
uint64_t Client::Send(const Action& action) { return session_->Send(action); }
Status Client::SendReset(const ResetMessage& reset) { return session_->SendReset(reset); }
void Client::RefuseRing() { session_->RefuseRing(); }
void Client::Disconnect() { session_->Disconnect(); }
bool Client::connected() const { return session_->connected(); }
int64_t Client::flushed_ns() const { return session_->flushed_ns(); }
uint16_t Client::version() const { return session_->version(); }
uint32_t Client::capabilities() const { return session_->agreed().capabilities; }
const std::string& Client::ring() const { return session_->ring(); }
const std::string& Client::peer_name() const { return session_->peer_name(); }
const ClockRelation& Client::clock() const { return session_->clock(); }
const Counters& Client::counters() const { return session_->counters(); }
std::string Client::last_error() const { return session_->last_error(); }
void Client::Wake() { session_->Wake(); }

}  // namespace metabonk::link
