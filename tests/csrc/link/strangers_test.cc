// Who connects and says nothing, or half of something: descriptors and memory stay bounded, who
// plays goes on, and who is about to say HELLO is let in.
#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "link/ends.h"

namespace metabonk::link {
namespace {

size_t OpenDescriptors() {
  size_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

ClientOptions WithToken(const Endpoint& endpoint) {
  ClientOptions to = To(endpoint);
  to.protocol = Protocol::kV2;
  to.token = "secret";
  return to;
}

std::unique_ptr<Server> Guarded(int64_t handshake = 1'000'000 * kMs) {
  ServerOptions at;  // TCP, whose connections wait for nobody to accept them
  at.endpoint = {.kind = Endpoint::Kind::kTcp, .host = "127.0.0.1", .port = 0, .path = {}};
  at.token = "secret";
  at.handshake = handshake;
  return Serve(at);
}

void Say(const Fd& to, const Bytes& bytes) {
  size_t sent = 0;
  CHECK(SendSome(to, {{iovec{const_cast<uint8_t*>(bytes.data()), bytes.size()}}}, &sent) ==
        Transfer::kSome);
  CHECK_EQ(sent, bytes.size());
}

Bytes HelloWithToken() {
  Bytes payload(kHelloBytesMax), message;
  size_t size = 0;
  CHECK(EncodeHello({.token = "secret", .name = "late"}, payload, &size).ok());
  payload.resize(size);
  AppendV2(MessageType::kHello, 1, payload, &message);
  return message;
}

TEST(link_ten_thousand_strangers_hold_nobody_up) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit most{before.rlim_max, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &most);
  // At once as many as this process may have open, ten thousand in all.
  const size_t room = std::min<size_t>(10'000, before.rlim_max - OpenDescriptors() - 100);
  auto server = Guarded();
  Client player(WithToken(server->endpoint()));
  CHECK(Until(&player, server.get(), [&] { return player.version() == kVersion2; }));
  std::vector<Fd> strangers(room);
  const size_t quiet = OpenDescriptors();
  bool fresh = false;
  std::string error;
  Bytes half;  // of every third one
  AppendV2(MessageType::kHello, 1, Bytes(200, 0), &half);
  half.resize(40);
  for (size_t i = 0; i < 10'000; ++i) {
    Fd& stranger = strangers[i % room];
    stranger = StartConnect(server->endpoint(), 0, &error);
    CHECK(stranger.open());
    CHECK(server->Poll(0, &fresh).ok());
    size_t sent = 0;
    if (i % 3 == 0) SendSome(stranger, {{iovec{half.data(), half.size()}}}, &sent);
    if (i % 500 == 0) CHECK(Exchange(&player, server.get(), static_cast<float>(i + 1)));
  }
  CHECK(Until(&player, server.get(),
              [&] { return server->counters().refused.value() >= 10'000 - 16; }));
  CHECK(OpenDescriptors() <= quiet + room + 16);
  CHECK_EQ(server->connection(), uint64_t{1});
  CHECK_EQ(server->counters().protocol_errors.value(), uint64_t{0});
  CHECK(Exchange(&player, server.get(), -1.0f));
  // And the next one with the token takes the place.
  Client next(WithToken(server->endpoint()));
  CHECK(Until(&next, server.get(), [&] { return next.version() == kVersion2; }));
  CHECK_EQ(server->connection(), uint64_t{2});
  strangers.clear();
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(link_a_stranger_does_not_push_out_who_is_about_to_say_hello) {
  auto server = Guarded();
  std::string error;
  bool fresh = false;
  const Fd late = StartConnect(server->endpoint(), 0, &error);
  CHECK(server->Poll(20 * kMs, &fresh).ok());
  std::vector<Fd> strangers;
  for (int i = 0; i < 15; ++i) {
    strangers.push_back(StartConnect(server->endpoint(), 0, &error));
    CHECK(server->Poll(5 * kMs, &fresh).ok());
  }
  Say(late, HelloWithToken());
  CHECK(Until(nullptr, server.get(), [&] { return server->connected(); }));
  CHECK_EQ(server->peer_name(), std::string("late"));
  CHECK_EQ(server->counters().refused.value(), uint64_t{0});
  // Of sixteen others who owe it the oldest makes room.
  for (int i = 0; i < 3; ++i) {
    strangers.push_back(StartConnect(server->endpoint(), 0, &error));
    CHECK(server->Poll(5 * kMs, &fresh).ok());
  }
  CHECK(Until(nullptr, server.get(), [&] { return server->counters().refused.value() == 2; }));
  CHECK_EQ(server->connection(), uint64_t{1});
}

TEST(link_who_does_not_say_hello_in_time_is_shown_out_each_in_its_own_time) {
  auto server = Guarded(20 * kMs);
  std::string error;
  bool fresh = false;
  Bytes half;
  AppendV2(MessageType::kHello, 1, Bytes(200, 0), &half);
  half.resize(30);
  std::vector<Fd> strangers;
  for (uint64_t i = 0; i < 5; ++i) {
    strangers.push_back(StartConnect(server->endpoint(), 0, &error));
    CHECK(server->Poll(2 * kMs, &fresh).ok());
    Say(strangers.back(), half);  // and then nothing
  }
  CHECK(Until(nullptr, server.get(), [&] { return server->counters().refused.value() == 5; }));
  CHECK(server->last_error().find("HELLO") != std::string::npos);
  Client client(WithToken(server->endpoint()));
  CHECK(Until(&client, server.get(), [&] { return client.version() == kVersion2; }));
}

TEST(link_a_hello_that_lies_gets_what_this_end_has) {
  auto server = Serve(At(Somewhere()));
  std::string error;
  const auto agent_who_says = [&](Hello hello) {
    Fd agent = StartConnect(server->endpoint(), 0, &error);
    const uint64_t before = server->connection();
    CHECK(Until(nullptr, server.get(), [&] { return server->connection() == before + 1; }));
    Bytes payload(kHelloBytesMax), said;
    size_t size = 0;
    CHECK(EncodeHello(hello, payload, &size).ok());
    payload.resize(size);
    AppendV2(MessageType::kHello, 1, payload, &said);
    Say(agent, said);
    return agent;
  };
  constexpr uint32_t kAll = 0xFFFFFFFF;
  const Hello boasts{.lowest_version = 0,
                     .highest_version = 0xFFFF,
                     .capabilities = kAll,
                     .limits = {kAll, kAll},
                     .width = 0xFFFF,
                     .height = 0xFFFF,
                     .machine = ~uint64_t{0}};
  const Fd boaster = agent_who_says(boasts);
  CHECK(Until(nullptr, server.get(), [&] { return server->version() == kVersion2; }));
  CHECK_EQ(server->capabilities(), ServerOptions().capabilities);
  CHECK(!server->uses_ring());
  const Bytes pixels(4 * 2 * 3, 9);
  CHECK(SendState(server.get(), 1.0f, {}, Picture(pixels, 4, 2)) > 0);
  const auto refused = [&](uint64_t count) {
    CHECK(
        Until(nullptr, server.get(), [&] { return server->counters().refused.value() == count; }));
    CHECK(!server->connected());
  };
  Hello backwards = boasts;
  backwards.lowest_version = 3, backwards.highest_version = 2;
  const Fd first = agent_who_says(backwards);
  refused(1);
  Hello narrow = boasts;
  narrow.limits = {1, 1};
  const Fd second = agent_who_says(narrow);
  refused(2);
  // A text that is longer than the message.
  const Fd third = StartConnect(server->endpoint(), 0, &error);
  Bytes payload(40, 0), said;
  AppendAll({0xFF, 0xFF, 0xFF, 0xFF, 0x07}, &payload);
  AppendV2(MessageType::kHello, 1, payload, &said);
  Say(third, said);
  CHECK(Until(nullptr, server.get(),
              [&] { return server->counters().protocol_errors.value() == 1; }));
  Client client(To(server->endpoint()));
  CHECK(Until(&client, server.get(), [&] { return server->connected(); }));
  CHECK(Exchange(&client, server.get(), 2.0f));
}

// A peer that stops in the middle of a message is left like any other that says nothing, and what
// it began costs no more than its bytes.
TEST(link_silence_in_the_middle_of_a_message_ends_a_v2_connection) {
  ServerOptions at = At(Somewhere());
  at.idle = 30 * kMs;
  auto server = Serve(at);
  std::string error;
  const Fd agent = StartConnect(server->endpoint(), 0, &error);
  CHECK(Until(nullptr, server.get(), [&] { return server->connected(); }));
  Bytes hello(kHelloBytesMax), said;
  size_t size = 0;
  CHECK(EncodeHello({.name = "stops"}, hello, &size).ok());
  hello.resize(size);
  AppendV2(MessageType::kHello, 1, hello, &said);
  AppendV2(MessageType::kAction, 1, Bytes(kActionV2Bytes, 0), &said);
  said.resize(said.size() - 5);
  Say(agent, said);
  CHECK(Until(nullptr, server.get(), [&] { return server->version() == kVersion2; }));
  CHECK(Until(nullptr, server.get(), [&] { return server->counters().idle_losses.value() == 1; }));
  CHECK_EQ(server->counters().actions.value(), uint64_t{0});
  CHECK_EQ(server->counters().protocol_errors.value(), uint64_t{0});
}

}  // namespace
}  // namespace metabonk::link
