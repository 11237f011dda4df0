#include "link/endpoint.h"

#include <charconv>

namespace metabonk::link {
namespace {

constexpr size_t kPathMax = 107;  // sockaddr_un::sun_path without its zero
constexpr std::string_view kTcp = "tcp://", kUnix = "unix://", kPipe = "pipe://";

constexpr Status Refused(const char* what) { return {Code::kInvalidArgument, "endpoint", what}; }

Status ParseTcp(std::string_view text, Endpoint* endpoint) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return Refused("tcp:// wants HOST:PORT");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return Refused("the port must be 0..65535");
  }
  if (host.empty()) return Refused("tcp:// wants HOST:PORT");
  *endpoint = {.kind = Endpoint::Kind::kTcp, .host = std::string(host), .port = number, .path = {}};
  return Status::Ok();
}

Status UsePath(std::string path, Endpoint* endpoint) {
  if (path.empty() || path.size() > kPathMax || path.find('\0') != std::string::npos) {
    return Refused("a Unix socket's path must have 1..107 bytes");
  }
  *endpoint = {.kind = Endpoint::Kind::kUnix, .host = {}, .port = 0, .path = std::move(path)};
  return Status::Ok();
}

}  // namespace

bool Endpoint::local() const {
  return kind == Kind::kUnix || host.starts_with("127.") || host == "::1" || host == "localhost";
}

Status ParseEndpoint(std::string_view text, std::string_view pipe_folder, Endpoint* endpoint) {
  if (text.starts_with(kTcp)) return ParseTcp(text.substr(kTcp.size()), endpoint);
  if (text.starts_with(kUnix)) return UsePath(std::string(text.substr(kUnix.size())), endpoint);
  if (text.starts_with(kPipe)) {
    const std::string_view name = text.substr(kPipe.size());
    if (name.empty() || name.find('/') != std::string_view::npos) {
      return Refused("pipe:// wants a NAME without slashes");
    }
    std::string path(pipe_folder);
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return UsePath(path + "/CoreFxPipe_" + std::string(name), endpoint);
  }
  return Refused("must begin with tcp://, unix:// or pipe://");
}

std::string EndpointText(const Endpoint& endpoint) {
  if (endpoint.kind == Endpoint::Kind::kUnix) return std::string(kUnix) + endpoint.path;
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + endpoint.host + "]" : endpoint.host;
  return std::string(kTcp) + host + ":" + std::to_string(endpoint.port);
}

}  // namespace metabonk::link
