// A connection that breaks between an action and its answer: the agent that comes back is told
// which action the game took last, in the first state that it reads, v1 before HELLO or v2.
#include <memory>
#include <string>

#include "check.h"
#include "link/ends.h"

namespace metabonk::link {
namespace {

StateTrailers Taken(uint64_t action, float reward = 0.0f) {
  StateTrailers trailers;
  trailers.step = {.reward = reward,
                   .is_first = 0,
                   .terminated = 0,
                   .truncated = 0,
                   .action_sequence = action,
                   .episode = 1,
                   .returned = 0.0};
  return trailers;
}

// Breaks the connection and shows the first state of the next one, which is at x.
void ComeBack(Client* client, Server* server, float x, const StateTrailers& trailers) {
  const uint64_t before = server->connection();
  client->Disconnect();
  CHECK(Until(client, server, [&] { return server->connection() == before + 1; }));
  SendState(server, x, trailers);
  CHECK(Until(client, server, [&] { return client->tick().state.position[0] == x; }));
  CHECK(client->tick().first);
}

TEST(link_actions_are_numbered_over_all_connections) {
  for (const Protocol protocol : {Protocol::kAuto, Protocol::kV2}) {
    ServerOptions at = At(Somewhere());
    at.protocol = protocol;
    auto server = Serve(at);
    ClientOptions to = To(server->endpoint());
    to.protocol = protocol;
    Client client(to);
    CHECK_EQ(client.Send(NoAction()), uint64_t{0});  // to nobody
    CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
    SendState(server.get(), 0.5f);
    CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
    CHECK(Exchange(&client, server.get(), 0.75f));
    uint64_t sent = 0;
    for (uint64_t round = 1; round <= 3; ++round) {
      CHECK_EQ(client.Send(NoAction()), round);
      ActionArrival arrival;
      CHECK(Until(&client, server.get(), [&] { return server->TakeAction(&arrival); }));
      CHECK_EQ(arrival.sequence, round);
      ComeBack(&client, server.get(), static_cast<float>(round), Taken(arrival.sequence));
      CHECK(client.tick().trailers.step.has_value());
      CHECK_EQ(client.tick().trailers.step->action_sequence, round);
      sent = round;
      CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
    }
    // One that is lost on the way is missing in what the game says.
    const uint64_t lost = client.Send(NoAction());
    CHECK_EQ(lost, sent + 1);
    ComeBack(&client, server.get(), -1.0f, Taken(sent));
    CHECK(client.tick().trailers.step->action_sequence != lost);
  }
}

TEST(link_the_state_that_announces_v2_tells_the_step_and_no_other_of_v1) {
  for (const Protocol protocol : {Protocol::kAuto, Protocol::kV1}) {
    ServerOptions at = At(Somewhere());
    at.protocol = protocol;
    at.extra_in_v1 = false;
    auto server = Serve(at);
    ClientOptions to = To(server->endpoint());
    to.protocol = Protocol::kV1;  // says no HELLO: all states are v1's
    Client client(to);
    CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
    for (int n = 1; n <= 3; ++n) {
      SendState(server.get(), static_cast<float>(n), Taken(7));
      CHECK(Until(&client, server.get(),
                  [&] { return client.tick().sequence == static_cast<uint64_t>(n); }));
      const bool announces = n == 1 && protocol == Protocol::kAuto;
      CHECK_EQ(client.tick().trailers.step.has_value(), announces);
      CHECK_EQ(client.tick().trailers.announcement.has_value(), announces);
    }
  }
}

// A game that speaks v1 alone says what it always has, byte for byte.
TEST(link_v1_is_the_same_whatever_the_game_knows) {
  ServerOptions at = At(Somewhere());
  at.protocol = Protocol::kV1;
  at.extra_in_v1 = false;
  auto server = Serve(at);
  std::string error;
  const Fd agent = StartConnect(server->endpoint(), 0, &error);
  CHECK(Until(nullptr, server.get(), [&] { return server->connected(); }));
  Bytes expected, heard(1 << 16);
  for (int n = 1; n <= 3; ++n) {
    SendState(server.get(), static_cast<float>(n), Taken(7, 2.0f));
    AppendTick(EncodedState(SomeState(static_cast<float>(n)), {}), {}, &expected);
  }
  size_t size = 0;
  CHECK(ReceiveSome(agent, heard, &size) == Transfer::kSome);
  heard.resize(size);
  CHECK(heard == expected);
}

TEST(link_a_first_state_that_was_overtaken_still_tells_the_step) {
  auto server = Serve(At(Somewhere()));
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV1;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  SendState(server.get(), 1.0f, Taken(9));
  SendState(server.get(), 2.0f, Taken(10));  // without STEP: it announces nothing
  CHECK(Until(&client, server.get(), [&] { return client.tick().sequence == 2; }));
  CHECK_EQ(client.tick().skipped, uint64_t{1});
  CHECK(client.tick().trailers.step.has_value());
  CHECK_EQ(client.tick().trailers.step->action_sequence, uint64_t{9});
}

}  // namespace
}  // namespace metabonk::link
