#include "link/sockets.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>
#include <memory>

namespace metabonk::link {
namespace {

constexpr int kBacklog = 8;
constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

sockaddr_un UnixAddress(const Endpoint& endpoint) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, endpoint.path.data(),
              std::min(endpoint.path.size(), sizeof address.sun_path - 1));
  return address;
}

const sockaddr* Generic(const void* address) { return static_cast<const sockaddr*>(address); }

// Small messages leave at once.
void SendAtOnce(const Fd& fd) {
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Whether the socket file at the address was left by a process that is gone.
bool Abandoned(const sockaddr_un& address) {
  struct stat info{};
  if (lstat(address.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  const Fd probe(socket(AF_UNIX, kType, 0));
  return connect(probe.get(), Generic(&address), sizeof address) != 0 && errno == ECONNREFUSED;
}

constexpr Status Unheard(const char* remedy) { return {Code::kUnavailable, "address", remedy}; }

// Why no socket listens at a path, and what to do.
Status NoPath(int error) {
  if (error == EADDRINUSE) {
    return Unheard("its path is taken: end who listens there, or give another path or pipe");
  }
  return Unheard("no socket can be made at its path: give one in a folder that can be written");
}

// The same of a host and a port.
Status NoPort(int error) {
  switch (error) {
    case EADDRINUSE:
      return Unheard("its port is taken: end who listens there, or give another, 0 for a free one");
    case EADDRNOTAVAIL:
      return Unheard("its host is not this machine's: give an address that is, as 127.0.0.1");
    case EACCES:
      return Unheard("its port is not for every user: give one from 1024 on, 0 for a free one");
    default:
      return Unheard("the system refuses to listen there: give another host or port");
  }
}

Status ListenUnix(const Endpoint& endpoint, Fd* fd) {
  const sockaddr_un address = UnixAddress(endpoint);
  Fd made(socket(AF_UNIX, kType, 0));
  if (Abandoned(address)) unlink(address.sun_path);
  // The file is made with the socket's own mode, so that there is no moment with a wider one.
  fchmod(made.get(), S_IRUSR | S_IWUSR);
  if (bind(made.get(), Generic(&address), sizeof address) != 0) return NoPath(errno);
  chmod(address.sun_path, S_IRUSR | S_IWUSR);
  if (listen(made.get(), kBacklog) != 0) return NoPath(errno);
  *fd = std::move(made);
  return Status::Ok();
}

struct Free {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, Free>;

Addresses Resolve(const Endpoint& endpoint, int flags, int* error) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const std::string port = std::to_string(endpoint.port);
  *error = getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &list);
  return Addresses(*error == 0 ? list : nullptr);
}

uint16_t PortOf(const Fd& fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  if (address.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

Status ListenTcp(const Endpoint& endpoint, Fd* fd, Endpoint* bound) {
  int error = 0;
  const Addresses list = Resolve(endpoint, AI_PASSIVE, &error);
  if (!list) return Unheard("its host's name is not known here: give a number, as 127.0.0.1");
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    Fd made(socket(at->ai_family, kType, 0));
    const int on = 1;
    setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(made.get(), at->ai_addr, at->ai_addrlen) != 0 || listen(made.get(), kBacklog) != 0) {
      error = errno;
      continue;
    }
    bound->port = PortOf(made);
    *fd = std::move(made);
    return Status::Ok();
  }
  return NoPort(error);
}

}  // namespace

void Fd::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

int64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Status ListenAt(const Endpoint& endpoint, Fd* fd, Endpoint* bound) {
  *bound = endpoint;
  return endpoint.kind == Endpoint::Kind::kUnix ? ListenUnix(endpoint, fd)
                                                : ListenTcp(endpoint, fd, bound);
}

Fd AcceptFrom(const Fd& listener, bool* full) {
  Fd fd(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (full != nullptr) *full = !fd.open() && (errno == EMFILE || errno == ENFILE);
  if (fd.open()) SendAtOnce(fd);
  return fd;
}

Fd StartConnect(const Endpoint& endpoint, uint64_t attempt, std::string* error) {
  const auto begin = [error](Fd fd, const void* address, socklen_t size) {
    if (connect(fd.get(), Generic(address), size) == 0 || errno == EINPROGRESS) return fd;
    *error = ErrorText(errno);
    return Fd();
  };
  if (endpoint.kind == Endpoint::Kind::kUnix) {
    const sockaddr_un address = UnixAddress(endpoint);
    return begin(Fd(socket(AF_UNIX, kType, 0)), &address, sizeof address);
  }
  int failed = 0;
  const Addresses list = Resolve(endpoint, 0, &failed);
  if (!list) {
    *error = gai_strerror(failed);
    return Fd();
  }
  uint64_t count = 0;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) ++count;
  const addrinfo* chosen = list.get();
  for (uint64_t i = attempt % count; i > 0; --i) chosen = chosen->ai_next;
  Fd fd(socket(chosen->ai_family, kType, 0));
  SendAtOnce(fd);
  return begin(std::move(fd), chosen->ai_addr, chosen->ai_addrlen);
}

int ConnectError(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

std::string ErrorText(int error) {
  char text[128] = {};
  return strerror_r(error, text, sizeof text);
}

Transfer ReceiveSome(const Fd& fd, std::span<uint8_t> room, size_t* size) {
  for (;;) {
    const ssize_t got = recv(fd.get(), room.data(), room.size(), 0);
    if (got > 0) {
      *size = static_cast<size_t>(got);
      return Transfer::kSome;
    }
    if (got == 0) return Transfer::kEnded;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Transfer::kLater;
    if (errno != EINTR) return Transfer::kEnded;
  }
}

Transfer SendSome(const Fd& fd, std::span<const iovec> parts, size_t* size) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  for (;;) {
    const ssize_t sent = sendmsg(fd.get(), &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      *size = static_cast<size_t>(sent);
      return sent > 0 ? Transfer::kSome : Transfer::kLater;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Transfer::kLater;
    if (errno != EINTR) return Transfer::kEnded;
  }
}

int WaitFor(std::span<pollfd> fds, int64_t now, int64_t until, int64_t spin) {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max(), kSpinMax = 1'000'000;
  const int64_t spin_end = std::min(until, now + std::min(spin, kSpinMax));
  const timespec none{};
  while (now < spin_end) {
    const int ready = ppoll(fds.data(), fds.size(), &none, nullptr);
    if (ready != 0) return ready;
    now = MonotonicNs();
  }
  if (until == kNever) return ppoll(fds.data(), fds.size(), nullptr, nullptr);
  const int64_t left = std::max<int64_t>(until - now, 0);
  const timespec limit{left / 1'000'000'000, left % 1'000'000'000};
  return ppoll(fds.data(), fds.size(), &limit, nullptr);
}

Waker::Waker() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void Waker::Wake() const {
  const uint64_t one = 1;
  // Can only fail by being full, and then the thread is awake already.
  [[maybe_unused]] const ssize_t written = write(fd_.get(), &one, sizeof one);
}

void Waker::Drain() const {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(fd_.get(), &count, sizeof count);
}

}  // namespace metabonk::link
