// Fuzzes the two ends behind real sockets: whatever a peer sends, a turn ends, nothing leaks, and
// the next peer is served. The first byte of an input says which end is sent the rest.
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "link/client.h"
#include "link/server.h"
#include "link/sockets.h"
#include "link/states.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::link {
namespace {

void Require(bool so) {
  if (!so) std::abort();
}

Endpoint Somewhere(const char* name) {
  Endpoint endpoint{.kind = Endpoint::Kind::kUnix, .host = {}, .port = 0, .path = {}};
  endpoint.path = "/tmp/metabonk-fuzz-" + std::to_string(getpid()) + name;
  return endpoint;
}

void SendAll(const Fd& fd, const uint8_t* data, size_t size) {
  size_t sent = 0;  // what does not fit is not sent: the inputs are small
  if (size > 0) SendSome(fd, {{iovec{const_cast<uint8_t*>(data), size}}}, &sent);
}

// A stranger speaks to a game that goes on sending.
void AttackServer(const uint8_t* data, size_t size, bool token) {
  static std::unique_ptr<Server> servers[2];
  std::unique_ptr<Server>& server = servers[token];
  if (!server) {
    ServerOptions options;
    options.endpoint = Somewhere(token ? "-token" : "-open");
    options.limits = {.state_bytes = 32768, .frame_bytes = 65536};
    if (token) options.token = "secret";
    Require(Server::Listen(options, &server).ok());
  }
  std::string error;
  const Fd stranger = StartConnect(server->endpoint(), 0, &error);
  Require(stranger.open());
  bool fresh = false;
  Require(server->Poll(0, &fresh).ok());
  SendAll(stranger, data, size);
  GameState state{};
  uint64_t sequence = 0;
  for (int turn = 0; turn < 3; ++turn) {
    Require(server->Poll(0, &fresh).ok());
    Require(server->Send(state, {}, {}, 1, &sequence).ok());
    ActionArrival arrival;
    ResetMessage reset;
    server->TakeAction(&arrival);
    server->TakeReset(&reset);
  }
}

// A game that says anything to an agent that goes on acting.
void AttackClient(const uint8_t* data, size_t size, Protocol protocol) {
  static struct Place {
    ~Place() { unlink(bound.path.c_str()); }
    Endpoint bound;
  } place;
  static Fd listener;
  Endpoint& bound = place.bound;
  static std::unique_ptr<Client> clients[3];
  if (!listener.open()) Require(ListenAt(Somewhere("-game"), &listener, &bound).ok());
  std::unique_ptr<Client>& client = clients[static_cast<int>(protocol)];
  if (!client) {
    ClientOptions options;
    options.endpoint = bound;
    options.protocol = protocol;
    options.limits = {.state_bytes = 32768, .frame_bytes = 65536};
    options.pause_first = options.pause_max = 0;
    client = std::make_unique<Client>(options);
  }
  bool fresh = false;
  Status status = client->Poll(0, &fresh);
  Fd game = AcceptFrom(listener);
  if (game.open()) SendAll(game, data, size);
  for (int turn = 0; turn < 3 && status.ok(); ++turn) {
    status = client->Poll(0, &fresh);
    client->Send(NoAction());
    Require(!fresh || client->tick().state.entity_count <= kMaxEntities);
  }
  game.Close();
  if (status.ok()) status = client->Poll(0, &fresh);
  if (status.ok()) {
    client->Disconnect();
  } else {
    Require(client->Poll(-1, &fresh).code == status.code);  // final: it does not wait
    client.reset();
  }
  while (AcceptFrom(listener).open()) {
  }
}

Bytes Spoken(bool hello) {
  Bytes payload(kHelloBytesMax), bytes;
  size_t size = 0;
  const Hello is{.capabilities = kCapabilities, .token = "secret", .ring = "r", .name = "n"};
  Require(EncodeHello(is, payload, &size).ok());
  payload.resize(size);
  const auto state = std::make_unique<GameState>();
  FillState(3, state.get());
  StateTrailers trailers{.extra = true};
  trailers.announcement = {2, 2, kCapabilities};
  trailers.step = {.reward = 1.0f,
                   .is_first = 1,
                   .terminated = 0,
                   .truncated = 0,
                   .action_sequence = 3,
                   .episode = 1,
                   .returned = 1.0};
  if (hello) {
    AppendV2(MessageType::kHello, 1, payload, &bytes);
    AppendV2(MessageType::kPing, 2, {}, &bytes);
    AppendV2(MessageType::kAction, 1, Bytes(kActionV2Bytes, 1), &bytes);
    AppendV2(MessageType::kHello, 3, payload, &bytes);
    AppendV2(MessageType::kReset, 4, Bytes(kResetBytes, 1), &bytes);
  } else {
    AppendTick(EncodedState(*state, trailers), JpegHead(64, 48), &bytes);
    AppendV2(MessageType::kHelloAck, 1, payload, &bytes);
    AppendV2(MessageType::kPing, 2, {}, &bytes);
    AppendV2(MessageType::kState, 2, EncodedState(*state, {.extra = true}), &bytes);
    AppendV2(MessageType::kBye, 3, {0, 0, 0}, &bytes);
  }
  return bytes;
}

}  // namespace
}  // namespace metabonk::link

size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  using namespace metabonk::link;  // NOLINT(google-build-using-namespace)
  static const Bytes seeds[] = {Spoken(true), Spoken(false)};
  out->assign(1, static_cast<uint8_t>(index));
  AppendAll(seeds[index < 2 ? 0 : 1], out);
  return 5;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace metabonk::link;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const int mode = data[0] % 5;
  if (mode < 2) {
    AttackServer(data + 1, size - 1, mode == 1);
  } else {
    AttackClient(data + 1, size - 1, static_cast<Protocol>(mode - 2));
  }
  return 0;
}
