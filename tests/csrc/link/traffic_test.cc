// What crosses a link, over real sockets: the newest state and frame, slow ends, limits, rings,
// presses that are overtaken.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>

#include "check.h"
#include "link/ends.h"

namespace metabonk::link {
namespace {

TEST(link_drains_to_the_newest) {
  auto server = Serve(At(Somewhere()));
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  const Bytes pixels(8 * 8 * 3, 3);
  StateTrailers trailers;
  for (int i = 1; i <= 50; ++i) {
    trailers.step = {.reward = 0.5f,
                     .is_first = static_cast<uint8_t>(i == 10),
                     .terminated = 0,
                     .truncated = 0,
                     .action_sequence = 0,
                     .episode = 1};
    SendState(server.get(), static_cast<float>(i), trailers,
              i == 20 || i == 30 ? Picture(pixels, 8, 8) : FrameView{});
  }
  CHECK(Until(&client, server.get(), [&] { return client.tick().sequence == 50; }));
  CHECK_EQ(client.tick().state.position[0], 50.0f);
  CHECK_EQ(client.tick().skipped, uint64_t{49});
  CHECK_EQ(client.tick().trailers.step->reward, 25.0f);
  CHECK_EQ(client.tick().trailers.step->is_first, 1);
  CHECK_EQ(client.tick().frame_sequence, uint64_t{30});
  CHECK(Bytes(client.tick().frame.pixels.begin(), client.tick().frame.pixels.end()) == pixels);
  CHECK_EQ(client.counters().states_skipped.value(), uint64_t{49});
  CHECK_EQ(client.counters().frames_skipped.value(), uint64_t{1});
  CHECK_EQ(client.counters().states.value(), uint64_t{50});
}

TEST(link_a_slow_agent_holds_nothing_up) {
  for (const Protocol protocol : {Protocol::kV1, Protocol::kV2}) {
    auto server = Serve(At(Somewhere()));
    ClientOptions to = To(server->endpoint());
    to.protocol = protocol;
    Client client(to);
    CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
    if (protocol == Protocol::kV2) {
      CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
    }
    Bytes pixels(320 * 180 * 3);
    size_t before = 0;
    uint64_t sequence = 0;
    for (int i = 1; i <= 300; ++i) {
      if (i == 100) before = check::Allocations();
      std::fill(pixels.begin(), pixels.end(), static_cast<uint8_t>(i));
      sequence = SendState(server.get(), static_cast<float>(i), {}, Picture(pixels, 320, 180));
    }
    CHECK_EQ(check::Allocations() - before, size_t{0});
    CHECK(server->pending());
    CHECK(server->counters().states_skipped.value() > 200);
    CHECK_EQ(server->counters().states_skipped.value(), server->counters().frames_skipped.value());
    CHECK(Until(&client, server.get(), [&] { return client.tick().state.position[0] == 300.0f; }));
    CHECK_EQ(sequence, uint64_t{300});
    CHECK_EQ(client.tick().frame.pixels[0], 300 % 256);
    CHECK_EQ(client.counters().protocol_errors.value(), uint64_t{0});
    // What was overtaken on either side and what arrived are all there were.
    const auto& there = server->counters();
    const auto& here = client.counters();
    CHECK_EQ(there.states.value(), uint64_t{300});
    CHECK_EQ(here.states.value() + there.states_skipped.value(), uint64_t{300});
  }
}

TEST(link_a_game_that_sends_byte_by_byte) {
  Fd listener;
  Endpoint bound;
  CHECK(ListenAt(Somewhere(), &listener, &bound).ok());
  Client client(To(bound));
  bool fresh = false;
  Fd game;
  CHECK(Until(&client, nullptr, [&] {
    if (!game.open()) game = AcceptFrom(listener);
    return game.open();
  }));
  Bytes bytes;
  for (int i = 0; i < 3; ++i) {
    const GameState state = SomeState(static_cast<float>(i));
    AppendTick(EncodedState(state, {}), i == 1 ? JpegHead(64, 48) : Bytes{}, &bytes);
  }
  int ticks = 0, frames = 0;
  for (uint8_t& byte : bytes) {
    size_t sent = 0;
    SendSome(game, {{iovec{&byte, 1}}}, &sent);
    CHECK(client.Poll(0, &fresh).ok());
    ticks += fresh;
    frames += fresh && !client.tick().frame.empty();
  }
  CHECK(Until(&client, nullptr, [&] { return client.tick().sequence == 3; }) || ticks == 3);
  CHECK_EQ(frames, 1);
  CHECK_EQ(client.version(), kVersion1);  // nobody announced v2
  // Enemies keep their ids although v1 has none.
  CHECK(client.tick().state.entities[1].id != 0);
  game.Close();
  CHECK(Until(&client, nullptr, [&] { return !client.connected(); }));
  unlink(bound.path.c_str());
}

TEST(link_a_frame_above_the_limit_is_an_error_and_loses_nothing) {
  ServerOptions at = At(Somewhere());
  at.limits.frame_bytes = 1000;
  auto server = Serve(at);
  Client client(To(server->endpoint()));
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  const Bytes pixels(32 * 32 * 3, 1);
  uint64_t sequence = 9;
  const Status status = server->Send(SomeState(1.0f), {}, Picture(pixels, 32, 32), 0, &sequence);
  CHECK(status.code == Code::kOutOfRange);
  CHECK_EQ(sequence, uint64_t{0});
  CHECK(Exchange(&client, server.get(), 2.0f));
  CHECK_EQ(client.tick().sequence, uint64_t{1});
}

TEST(link_a_frame_above_the_agents_limit_is_left_out) {
  auto server = Serve(At(Somewhere()));
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  to.limits.frame_bytes = 1000;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  const Bytes pixels(32 * 32 * 3, 1);
  SendState(server.get(), 1.0f, {}, Picture(pixels, 32, 32));
  CHECK(Until(&client, server.get(), [&] { return client.tick().sequence == 1; }));
  CHECK(client.tick().frame.empty());
  CHECK_EQ(server->counters().frames_refused.value(), uint64_t{1});
}

TEST(link_rows_that_have_no_room_are_counted_for_every_state) {
  Fd listener;
  Endpoint bound;
  CHECK(ListenAt(Somewhere(), &listener, &bound).ok());
  Client client(To(bound));
  Fd game;
  CHECK(Until(&client, nullptr, [&] {
    if (!game.open()) game = AcceptFrom(listener);
    return game.open();
  }));
  GameState state = SomeState(1.0f);
  state.offer_count = 0;
  Bytes eleven = EncodedState(state, {});
  eleven.resize(eleven.size() - sizeof(int32_t));
  Append(int32_t{11}, &eleven);
  for (int i = 0; i < 11; ++i) AppendAll({1, 'a'}, &eleven);
  Bytes bytes;
  for (int i = 0; i < 2; ++i) AppendTick(eleven, {}, &bytes);  // one that is overtaken, too
  size_t sent = 0;
  SendSome(game, {{iovec{bytes.data(), bytes.size()}}}, &sent);
  CHECK(Until(&client, nullptr, [&] { return client.counters().states.value() == 2; }));
  CHECK_EQ(client.tick().state.offer_count, kMaxOffers);
  CHECK_EQ(client.counters().rows_cut.value(), 2u * (11 - kMaxOffers));
  unlink(bound.path.c_str());
}

TEST(link_a_reset_that_finds_no_room_is_an_error) {
  ServerOptions at = At(Somewhere());
  at.capabilities |= kResets;
  auto server = Serve(at);
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  Status status = Status::Ok();
  int sent = 0;  // to a game that reads nothing
  while (status.ok() && sent < 100'000) sent += (status = client.SendReset({})).ok();
  CHECK(status.code == Code::kUnavailable);
  CHECK_EQ(std::string(status.where), std::string("reset"));
  ResetMessage reset;
  CHECK(Until(&client, server.get(), [&] { return server->TakeReset(&reset); }));
  CHECK(client.SendReset({}).ok());  // it reads again
}

TEST(link_what_hello_overtakes_is_counted) {
  auto server = Serve(At(Somewhere()));
  Fd agent;
  std::string error;
  agent = StartConnect(server->endpoint(), 0, &error);
  CHECK(Until(nullptr, server.get(), [&] { return server->connected(); }));
  // Until a tick of v1 waits behind one that is half sent.
  const Bytes pixels(320 * 180 * 3, 7);
  const auto waits = [&] { return server->counters().states_skipped.value() > 0; };
  for (int i = 1; !waits(); ++i) {
    SendState(server.get(), static_cast<float>(i), {}, Picture(pixels, 320, 180));
  }
  const uint64_t states = server->counters().states_skipped.value();
  const uint64_t frames = server->counters().frames_skipped.value();
  std::array<uint8_t, kHeaderBytes + kHelloBytesMax> hello;
  size_t size = 0, sent = 0;
  CHECK(EncodeHello({.name = "late"}, std::span(hello).subspan(kHeaderBytes), &size).ok());
  WriteHeader(MessageType::kHello, size, 1, 0, hello.data());
  SendSome(agent, {{iovec{hello.data(), kHeaderBytes + size}}}, &sent);
  CHECK(Until(nullptr, server.get(), [&] { return server->peer_name() == "late"; }));
  CHECK_EQ(server->counters().states_skipped.value(), states + 1);
  CHECK_EQ(server->counters().frames_skipped.value(), frames + 1);
}

TEST(link_rings_are_offered_and_refused) {
  ServerOptions at = At(Somewhere());
  at.capabilities |= kTakesRing;
  at.ring = "somewhere";
  auto server = Serve(at);
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  CHECK_EQ(client.ring(), std::string("somewhere"));
  CHECK(server->uses_ring());
  const Bytes pixels(8 * 8 * 3, 1);
  SendState(server.get(), 1.0f, {}, Picture(pixels, 8, 8));
  CHECK(Until(&client, server.get(), [&] { return client.tick().sequence == 1; }));
  CHECK(client.tick().frame.empty());
  client.RefuseRing();
  CHECK(Until(&client, server.get(), [&] { return !server->uses_ring(); }));
  SendState(server.get(), 2.0f, {}, Picture(pixels, 8, 8));
  CHECK(Until(&client, server.get(), [&] { return client.tick().sequence == 2; }));
  CHECK(!client.tick().frame.empty() && client.ring().empty());
}

// Actions until one has to wait, because the game reads nothing.
void FillUp(Client* client) {
  const uint64_t before = client->counters().actions_skipped.value();
  for (int i = 0; client->counters().actions_skipped.value() == before; ++i) {
    if (i == 1'000'000) return check::Fail(__FILE__, __LINE__, "everything that is sent leaves");
    client->Send(NoAction());
  }
}

// The action that moves to `x`, which the game reads after all that were sent before.
Action Arrived(Client* client, Server* server, float x) {
  ActionArrival arrival;
  CHECK(Until(client, server,
              [&] { return server->TakeAction(&arrival) && arrival.action.move[0] == x; }));
  return arrival.action;
}

Action Move(float x, float choice = 0.0f) {
  Action action = NoAction();
  action.move[0] = x;
  action.choice = choice;
  return action;
}

TEST(link_a_press_that_is_overtaken_leaves_with_the_newer_action) {
  auto server = Serve(At(Somewhere()));
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV2;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
  CHECK(Exchange(&client, server.get(), 1.0f));
  FillUp(&client);
  client.Send(Move(0.125f, 5.0f));
  client.Send(Move(0.25f));
  client.Send(Move(0.5f));
  CHECK_EQ(Arrived(&client, server.get(), 0.5f).choice, 5.0f);
  client.Send(Move(0.75f));  // and does not leave again
  CHECK_EQ(Arrived(&client, server.get(), 0.75f).choice, 0.0f);
  FillUp(&client);
  client.Send(Move(0.125f, 5.0f));
  client.Send(Move(0.25f, 3.0f));
  client.Send(Move(0.625f));
  CHECK_EQ(Arrived(&client, server.get(), 0.625f).choice, 3.0f);  // of two the newer
}

TEST(link_a_choice_that_waits_in_v1_is_a_click_on_what_was_shown_then) {
  auto server = Serve(At(Somewhere()));
  ClientOptions to = To(server->endpoint());
  to.protocol = Protocol::kV1;
  Client client(to);
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  const Bytes pixels(4 * 2 * 3, 9);
  GameState state = SomeState(1.0f);
  state.widgets[2].x0 = 0.0f, state.widgets[2].x1 = 0.25f;
  uint64_t sequence = 0;
  CHECK(server->Send(state, {}, Picture(pixels, 4, 2), 0, &sequence).ok());
  CHECK(Until(&client, server.get(), [&] { return client.tick().sequence == 1; }));
  FillUp(&client);
  client.Send(Move(0.125f, 3.0f));
  SendState(server.get(), 2.0f);  // the widget is somewhere else now
  CHECK(Until(&client, nullptr, [&] { return client.tick().sequence == 2; }));
  client.Send(Move(0.25f));
  client.Send(Move(0.5f));
  const Action arrived = Arrived(&client, server.get(), 0.5f);
  CHECK_NEAR(arrived.click[0], 0.125f, 1e-6);
  client.Send(Move(0.75f, 3.0f));  // the control: chosen now it is a click elsewhere
  CHECK_NEAR(Arrived(&client, server.get(), 0.75f).click[0], 0.625f, 1e-6);
}

}  // namespace
}  // namespace metabonk::link
