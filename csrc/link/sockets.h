// Sockets that never wait: listening, connecting, reading, writing, waking a thread that polls.
// Knows endpoints and bytes, no BonkLink.
#pragma once

#include <poll.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "link/endpoint.h"
#include "metabonk/status.h"

namespace metabonk::link {

// A file descriptor that is closed by whoever has it.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { Close(); }

  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

int64_t MonotonicNs();

// Listens with room for a few who wait; *bound is where, with the port that was chosen. A Unix
// socket is its owner's only, and one that a dead process left is taken over.
Status ListenAt(const Endpoint& endpoint, Fd* fd, Endpoint* bound);
// *full: somebody waits and this process has no descriptor left for them.
Fd AcceptFrom(const Fd& listener, bool* full = nullptr);
// Begins to connect; may resolve a name, which waits. Done once the socket can be written and
// ConnectError gives 0. On failure *error says why. A name of several addresses is tried at another
// one with every attempt.
Fd StartConnect(const Endpoint& endpoint, uint64_t attempt, std::string* error);
int ConnectError(int fd);
std::string ErrorText(int error);

enum class Transfer : uint8_t { kSome, kLater, kEnded };
// kSome: *size bytes, at least one. kLater: none now. kEnded: the other end is gone.
Transfer ReceiveSome(const Fd& fd, std::span<uint8_t> room, size_t* size);
Transfer SendSome(const Fd& fd, std::span<const iovec> parts, size_t* size);

// As ppoll: how many of `fds` are ready at `until` at the latest (INT64_MAX: no end); the first
// `spin` nanoseconds it looks instead of sleeping.
int WaitFor(std::span<pollfd> fds, int64_t now, int64_t until, int64_t spin);

// A descriptor that becomes readable when another thread says so.
class Waker {
 public:
  Waker();
  void Wake() const;
  void Drain() const;
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
};

}  // namespace metabonk::link
