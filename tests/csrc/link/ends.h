// Both ends of a link over a real socket, turned by hand in one thread.
#pragma once

#include <unistd.h>

#include <functional>
#include <memory>
#include <string>

#include "check.h"
#include "link/client.h"
#include "link/server.h"
#include "link/sockets.h"
#include "link/states.h"

namespace metabonk::link {

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kHang = 20'000 * kMs;  // nothing here takes so long unless it hangs

inline Endpoint Somewhere() {
  static int count = 0;
  Endpoint endpoint{.kind = Endpoint::Kind::kUnix, .host = {}, .port = 0, .path = {}};
  endpoint.path = "/tmp/metabonk-link-" + std::to_string(getpid()) + "-" + std::to_string(count++);
  return endpoint;
}

inline std::unique_ptr<Server> Serve(ServerOptions options) {
  std::unique_ptr<Server> server;
  const Status status = Server::Listen(options, &server);
  CHECK(status.ok());
  return server;
}

inline ServerOptions At(const Endpoint& endpoint) {
  ServerOptions options;
  options.endpoint = endpoint;
  return options;
}

inline ClientOptions To(const Endpoint& endpoint) {
  ClientOptions options;
  options.endpoint = endpoint;
  options.pause_first = kMs;
  options.pause_max = 10 * kMs;
  return options;
}

// Turns both ends until it is so; false if it never comes.
inline bool Until(Client* client, Server* server, const std::function<bool()>& so) {
  const int64_t end = MonotonicNs() + kHang;
  while (!so()) {
    bool fresh = false;
    if (server != nullptr) server->Poll(kMs / 4, &fresh);
    if (client != nullptr) client->Poll(kMs / 4, &fresh);
    if (MonotonicNs() > end) return false;
  }
  return true;
}

inline GameState SomeState(float x, int things = 3) {
  GameState state;
  FillState(things, &state);
  state.position[0] = x;
  return state;
}

inline uint64_t SendState(Server* server, float x, const StateTrailers& trailers = {},
                          const FrameView& frame = {}) {
  uint64_t sequence = 0;
  CHECK(server->Send(SomeState(x), trailers, frame, MonotonicNs(), &sequence).ok());
  return sequence;
}

inline FrameView Picture(const Bytes& pixels, uint32_t width, uint32_t height) {
  return {.format = PixelFormat::kRgb,
          .width = width,
          .height = height,
          .stride = 3 * width,
          .pixels = pixels};
}

// One more state there and back.
inline bool Exchange(Client* client, Server* server, float x) {
  if (SendState(server, x) == 0) return false;
  return Until(client, server, [&] { return client->tick().state.position[0] == x; });
}

}  // namespace metabonk::link
