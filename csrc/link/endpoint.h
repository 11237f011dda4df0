// Endpoint: where a BonkLink listens. Knows how such places are written and no sockets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "metabonk/status.h"

namespace metabonk::link {

// tcp://HOST:PORT (HOST a name, an address or [an IPv6 address]), unix:///PATH, or pipe://NAME: the
// Unix socket as which .NET on Linux makes the named pipe NAME, ${TMPDIR:-/tmp}/CoreFxPipe_NAME.
struct Endpoint {
  enum class Kind : uint8_t { kTcp, kUnix };
  Kind kind = Kind::kTcp;
  std::string host = "127.0.0.1";
  uint16_t port = 5555;
  std::string path;  // kUnix

  // Whether only this machine can reach it; false for names, which may resolve to anything.
  bool local() const;
};

// pipe_folder: where pipe:// sockets lie, ${TMPDIR:-/tmp}.
Status ParseEndpoint(std::string_view text, std::string_view pipe_folder, Endpoint* endpoint);
std::string EndpointText(const Endpoint& endpoint);

}  // namespace metabonk::link
