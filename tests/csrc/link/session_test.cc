// Who is connected, over real sockets: negotiation, tokens, one agent at a time, strangers, ends
// that go away and come back.
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "check.h"
#include "link/ends.h"

namespace metabonk::link {
namespace {

TEST(link_auto_becomes_v2) {
  auto server = Serve(At(Somewhere()));
  Client client(To(server->endpoint()));
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  CHECK_EQ(server->version(), kVersion1);
  CHECK_EQ(SendState(server.get(), 5.0f), uint64_t{1});
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  CHECK_EQ(client.tick().state.position[0], 5.0f);
  CHECK_EQ(client.tick().version, kVersion1);
  CHECK(client.tick().trailers.announcement.has_value());
  CHECK_EQ(server->version(), kVersion2);
  CHECK_EQ(client.peer_name(), std::string("metabonk"));
  const Bytes pixels(640 * 360 * 3, 7);
  const GameState sent = SomeState(6.0f, 200);
  uint64_t sequence = 0;
  CHECK(server->Send(sent, {}, Picture(pixels, 640, 360), 123, &sequence).ok());
  CHECK_EQ(sequence, uint64_t{2});
  CHECK(Until(&client, server.get(), [&] { return client.tick().sequence == 2; }));
  const Tick& tick = client.tick();
  CHECK(std::memcmp(&tick.state, &sent, sizeof sent) == 0);
  CHECK_EQ(tick.capture_ns, int64_t{123});
  CHECK_EQ(tick.frame.width, 640u);
  CHECK(Bytes(tick.frame.pixels.begin(), tick.frame.pixels.end()) == pixels);
  Action action = NoAction();
  action.jump = 1.0f, action.choice = 7.0f;
  client.Send(action);
  ActionArrival arrival;
  CHECK(Until(nullptr, server.get(), [&] { return server->TakeAction(&arrival); }));
  CHECK(std::memcmp(&arrival.action, &action, sizeof action) == 0);
  CHECK_EQ(arrival.answers, uint64_t{2});
  CHECK(arrival.round_trip_ns > 0);
  CHECK(client.SendReset({.seed = 42, .has_seed = true}).ok());
  ResetMessage reset;
  CHECK(Until(nullptr, server.get(), [&] { return server->TakeReset(&reset); }));
  CHECK(reset.has_seed && reset.seed == 42);
}

TEST(link_v1_at_either_end) {
  for (const bool game : {true, false}) {
    ServerOptions at = At(Somewhere());
    if (game) at.protocol = Protocol::kV1;
    auto server = Serve(at);
    ClientOptions to = To(server->endpoint());
    if (!game) to.protocol = Protocol::kV1;
    Client client(to);
    CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
    const Bytes pixels(4 * 2 * 3, 9);
    SendState(server.get(), 2.0f, {}, Picture(pixels, 4, 2));
    CHECK(Until(&client, server.get(), [&] { return client.version() != 0; }));
    CHECK_EQ(client.tick().frame.height, 2u);
    Action action = NoAction();
    action.fire = 1.0f, action.jump = 1.0f, action.click[0] = action.click[1] = 0.6f;
    client.Send(action);
    ActionArrival arrival;
    CHECK(Until(&client, server.get(), [&] { return server->TakeAction(&arrival); }));
    CHECK(arrival.action.fire == 1.0f && arrival.action.jump == 0.0f);
    CHECK_NEAR(arrival.action.click[0], 0.625f, 1e-6);  // the middle of pixel 2 of 4
    CHECK_NEAR(arrival.action.click[1], 0.75f, 1e-6);
    CHECK_EQ(client.counters().inputs_lost.value(), uint64_t{1});
    CHECK(Exchange(&client, server.get(), 3.0f));
    CHECK_EQ(client.version(), kVersion1);
    CHECK_EQ(server->version(), kVersion1);
    CHECK(!client.SendReset({}).ok());
  }
}

TEST(link_v2_at_once) {
  ServerOptions at = At(Somewhere());
  at.protocol = Protocol::kV2;
  auto server = Serve(at);
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  CHECK(Exchange(&client, server.get(), 3.0f));
  // Somebody who says nothing replaces nobody; after a while it is shown out.
  std::string error;
  const Fd scanner = StartConnect(server->endpoint(), 0, &error);
  CHECK(Exchange(&client, server.get(), 4.0f));
  CHECK_EQ(server->connection(), uint64_t{1});
}

TEST(link_tokens) {
  ServerOptions at = At(Somewhere());
  at.token = "secret";
  auto server = Serve(at);
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  to.token = "secret";
  Client friendly(to);
  CHECK(Until(&friendly, server.get(), [&] { return friendly.version() == kVersion2; }));
  to.token = "secreT";
  Client hostile(to);
  bool fresh = false;
  Status refused;
  CHECK(Until(nullptr, server.get(), [&] {
    refused = hostile.Poll(kMs, &fresh);
    return !refused.ok();
  }));
  CHECK_EQ(std::string(refused.where), std::string("token"));
  CHECK(!hostile.Poll(0, &fresh).ok());  // for good
  CHECK(Exchange(&friendly, server.get(), 3.0f));
  CHECK_EQ(server->connection(), uint64_t{1});
  CHECK_EQ(server->counters().refused.value(), uint64_t{1});
  // Nothing is sent to who has not said it, v1 or not.
  to.protocol = Protocol::kAuto;
  Client silent(to);
  for (int i = 0; i < 20; ++i) {
    SendState(server.get(), 5.0f);
    server->Poll(kMs / 4, &fresh);
    silent.Poll(kMs / 4, &fresh);
  }
  CHECK_EQ(silent.counters().bytes_in.value(), uint64_t{0});
}

TEST(link_beyond_this_machine_wants_a_token) {
  ServerOptions at;
  at.endpoint = {.kind = Endpoint::Kind::kTcp, .host = "0.0.0.0", .port = 0, .path = {}};
  std::unique_ptr<Server> server;
  const Status status = Server::Listen(at, &server);
  CHECK(!status.ok() && std::string(status.where) == "token" && !server);
}

TEST(link_the_newest_connection_replaces_the_old_one) {
  for (const Protocol protocol : {Protocol::kV2, Protocol::kV1}) {
    auto server = Serve(At(Somewhere()));
    ClientOptions to = To(server->endpoint());
    to.protocol = protocol;
    to.pause_first = to.pause_max = 1000'000 * kMs;  // v1 cannot be told to stay away
    Client first(to), second(to);
    CHECK(Until(&first, server.get(), [&] { return server->connected(); }));
    SendState(server.get(), 1.0f);
    CHECK(Until(&first, server.get(), [&] { return first.connected(); }));
    CHECK(Until(&second, server.get(), [&] { return server->connection() == 2; }));
    CHECK(Exchange(&second, server.get(), 2.0f));
    bool fresh = false;
    Status status;
    CHECK(Until(nullptr, server.get(), [&] {
      status = first.Poll(kMs, &fresh);
      return !first.connected();
    }));
    CHECK_EQ(status.ok(), protocol == Protocol::kV1);
    CHECK_EQ(server->counters().replaced.value(), uint64_t{1});
    CHECK(Exchange(&second, server.get(), 3.0f));
  }
}

TEST(link_reconnects_when_the_game_comes_back) {
  const Endpoint endpoint = Somewhere();
  Client client(To(endpoint));
  bool fresh = false;
  for (int i = 0; i < 5; ++i) CHECK(client.Poll(2 * kMs, &fresh).ok());
  CHECK(!client.connected());
  CHECK(client.counters().refused.value() > 0);
  CHECK(client.last_error().find(endpoint.path) != std::string::npos);
  for (int round = 1; round <= 3; ++round) {
    auto server = Serve(At(endpoint));
    CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
    const float x = static_cast<float>(round);
    CHECK(Exchange(&client, server.get(), x));
    CHECK(client.tick().first || round == 1);
    CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
    CHECK_EQ(client.counters().connections.value(), static_cast<uint64_t>(round));
    server.reset();
    CHECK(Until(&client, nullptr, [&] { return !client.connected(); }));
    CHECK(access(endpoint.path.c_str(), F_OK) != 0);  // nothing is left behind
    client.Send(NoAction());
  }
  CHECK_EQ(client.counters().losses.value(), uint64_t{3});
  CHECK_EQ(client.counters().actions_unsent.value(), uint64_t{3});
}

TEST(link_an_answer_to_a_connection_that_ended_is_not_sent) {
  auto server = Serve(At(Somewhere()));
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  for (int i = 1; i <= 5; ++i) CHECK(Exchange(&client, server.get(), static_cast<float>(i)));
  client.Disconnect();
  CHECK(Until(&client, server.get(), [&] { return server->connection() == 2; }));
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  client.Send(NoAction());  // it answers state 5 of the first connection
  CHECK_EQ(client.counters().actions_unsent.value(), uint64_t{1});
  CHECK(Exchange(&client, server.get(), 6.0f));
  client.Send(NoAction());
  ActionArrival arrival;
  CHECK(Until(nullptr, server.get(), [&] { return server->TakeAction(&arrival); }));
  CHECK_EQ(arrival.answers, uint64_t{1});
  CHECK_EQ(server->counters().actions.value(), uint64_t{1});
}

TEST(link_one_listens_at_a_path) {
  const Endpoint endpoint = Somewhere();
  auto server = Serve(At(endpoint));
  std::unique_ptr<Server> second;
  CHECK(!Server::Listen(At(endpoint), &second).ok());
  CHECK(access(endpoint.path.c_str(), F_OK) == 0);
}

TEST(link_strangers_are_shown_out) {
  auto server = Serve(At(Somewhere()));
  std::string error;
  Bytes wrong = {'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P'};
  for (int round = 1; round <= 3; ++round) {
    if (round == 2) {  // a v2 message before HELLO
      wrong.clear();
      AppendV2(MessageType::kAction, 1, Bytes(kActionV2Bytes, 0), &wrong);
    }
    if (round == 3) wrong[8] = wrong[9] = wrong[10] = wrong[11] = 0xFF;
    const Fd stranger = StartConnect(server->endpoint(), 0, &error);
    size_t sent = 0;
    SendSome(stranger, {{iovec{wrong.data(), wrong.size()}}}, &sent);
    const auto count = static_cast<uint64_t>(round);
    CHECK(Until(nullptr, server.get(),
                [&] { return server->counters().protocol_errors.value() == count; }));
    CHECK(!server->connected());
    CHECK(!server->last_error().empty());
  }
  Client client(To(server->endpoint()));
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  CHECK(Exchange(&client, server.get(), 1.0f));
}

TEST(link_a_game_that_sends_nonsense_is_left) {
  Fd listener;
  Endpoint bound;
  CHECK(ListenAt(Somewhere(), &listener, &bound).ok());
  Client client(To(bound));
  for (uint64_t round = 1; round <= 2; ++round) {
    Fd game;
    CHECK(Until(&client, nullptr, [&] {
      if (!game.open()) game = AcceptFrom(listener);
      return game.open();
    }));
    Bytes bytes;
    AppendTick(round == 1 ? Bytes(10, 1) : EncodedState(SomeState(1.0f), {}), {}, &bytes);
    if (round == 2) bytes[3] = 0x7F;  // a length of two billion
    size_t sent = 0;
    SendSome(game, {{iovec{bytes.data(), bytes.size()}}}, &sent);
    CHECK(Until(&client, nullptr,
                [&] { return client.counters().protocol_errors.value() == round; }));
    CHECK(!client.last_error().empty());
  }
  unlink(bound.path.c_str());
}

TEST(link_a_game_that_falls_silent_is_left) {
  auto server = Serve(At(Somewhere()));
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  to.ping_every = 5 * kMs;
  Client patient(to);
  CHECK(Until(&patient, server.get(), [&] { return patient.counters().pongs.value() >= 3; }));
  CHECK_EQ(patient.counters().idle_losses.value(), uint64_t{0});
  // Both ends read one clock here, so the offset is no more than may be wrong.
  const int64_t now = MonotonicNs();
  CHECK(patient.clock().known());
  CHECK(std::abs(patient.clock().Offset(now)) <= patient.clock().Uncertainty(now));
  to.idle = 20 * kMs;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  CHECK(Until(&client, nullptr, [&] { return client.counters().idle_losses.value() > 0; }));
}

TEST(link_a_process_without_descriptors_left_recovers) {
  auto server = Serve(At(Somewhere()));
  std::string error;
  Fd agent = StartConnect(server->endpoint(), 0, &error);
  CHECK(agent.open());
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const int free = dup(agent.get());  // the lowest that is free
  close(free);
  const rlimit none{static_cast<rlim_t>(free), before.rlim_max};
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  bool fresh = false;
  CHECK(server->Poll(20 * kMs, &fresh).ok());
  setrlimit(RLIMIT_NOFILE, &before);
  CHECK(!server->connected());
  CHECK_EQ(server->counters().refused.value(), uint64_t{1});  // and not as often as it could ask
  CHECK(server->last_error().find("ulimit") != std::string::npos);
  CHECK(Until(nullptr, server.get(), [&] { return server->connected(); }));
}

TEST(link_poll_can_be_woken) {
  Client client(To(Somewhere()));
  bool fresh = false;
  client.Wake();
  CHECK(client.Poll(-1, &fresh).ok());  // would wait for ever
  auto server = Serve(At(Somewhere()));
  server->Wake();
  CHECK(server->Poll(-1, &fresh).ok());
}

TEST(link_threads_may_wake_and_ask) {
  auto server = Serve(At(Somewhere()));
  Client client(To(server->endpoint()));
  std::atomic<bool> done{false};
  std::thread other([&] {
    uint64_t seen = 0;
    while (!done.load()) {
      client.Wake();
      server->Wake();
      const uint64_t now = client.counters().states.value();
      CHECK(now >= seen && client.version() <= kVersion2);
      seen = now;
      CHECK(client.last_error().size() < 1000 && server->last_error().size() < 1000);
    }
  });
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  for (int i = 1; i <= 200; ++i) CHECK(Exchange(&client, server.get(), static_cast<float>(i)));
  server.get()->Wake();
  client.Disconnect();
  CHECK(Until(nullptr, server.get(), [&] { return !server->connected(); }));
  done.store(true);
  other.join();
}

TEST(link_tcp_and_a_port_that_is_free) {
  ServerOptions at;
  at.endpoint = {.kind = Endpoint::Kind::kTcp, .host = "127.0.0.1", .port = 0, .path = {}};
  auto server = Serve(at);
  CHECK(server->endpoint().port != 0);
  Client client(To(server->endpoint()));
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  CHECK(Exchange(&client, server.get(), 1.0f));
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
}

}  // namespace
}  // namespace metabonk::link
