// A game behind BonkLink as the loop sees it: states arrive in order and once, frames shrink to
// what is read, actions go back, runs begin when the game says so, and a game may come back.
#include "play/link_game.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "link/server.h"
#include "play/link_games.h"
#include "play/sends.h"

namespace metabonk::play {

namespace {

// A game that sends a state every millisecond: health counts, every 40th state begins a run.
class Host {
 public:
  Host(const std::string& path, link::Protocol protocol) {
    link::ServerOptions options;
    options.endpoint.kind = link::Endpoint::Kind::kUnix;
    options.endpoint.path = path;
    options.protocol = protocol;
    const Status status = link::Server::Listen(options, &server_);
    if (!status.ok()) check::Fail(__FILE__, __LINE__, std::string(status.where) + status.what);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Host() {
    stop_ = true;
    thread_.join();
  }
  std::atomic<int> actions{0};
  std::atomic<float> last_move{0.0f};

 private:
  void Serve() {
    auto state = std::make_unique<GameState>();
    std::vector<uint8_t> pixels(size_t{8} * 12 * 3, 77);
    for (uint64_t n = 0; !stop_; ++n) {
      bool fresh = false;
      CHECK(server_->Poll(kMillisecond, &fresh).ok());
      link::ActionArrival arrival;
      if (server_->TakeAction(&arrival)) {
        ++actions;
        last_move = arrival.action.move[0];
      }
      if (!server_->connected()) continue;
      state->fields = kHasEverything;
      state->playing = 1;
      state->max_health = 1e6f;
      state->health = static_cast<float>(++sent_);
      state->time = static_cast<double>(sent_ % 40) / 60.0;
      state->dt = 1.0f / 60.0f;
      link::StateTrailers trailers;
      trailers.extra = true;
      link::FrameView frame;
      frame.width = 12;
      frame.height = 8;
      frame.stride = 36;
      frame.pixels = pixels;
      uint64_t sequence;
      CHECK(server_->Send(*state, trailers, frame, MonotonicClock().Now(), &sequence).ok());
    }
  }

  std::unique_ptr<link::Server> server_;
  uint64_t sent_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void Play(link::Protocol protocol) {
  const TemporaryDirectory folder;
  const std::string path = folder / "game";
  auto host = std::make_unique<Host>(path, protocol);
  LinkGame game(MonotonicClock(), SettingsFor(path, protocol));
  game.Start();
  Moment moment;
  uint64_t sequence = 0;
  float health = 0.0f;
  int begun = 0, framed = 0;
  for (int taken = 0; taken < 150; ++taken) {
    CHECK(Await(game.source(), &moment));
    CHECK(moment.sequence > sequence);
    CHECK(moment.state->health > health);
    CHECK(moment.capture <= moment.ready);
    CHECK(moment.state->dt >= 0.0f && moment.state->dt < 10.0f);
    if (moment.frame.pixels != nullptr) {
      ++framed;
      CHECK_EQ(moment.frame.height, 4);
      CHECK_EQ(moment.frame.width, 6);
      CHECK_EQ(moment.frame.pixels[0], 77);
    }
    begun += moment.begins;
    sequence = moment.sequence;
    health = moment.state->health;
    Action action = {{0.5f, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};
    CHECK(game.sink().Act(action, sequence));
  }
  CHECK(begun >= 2);
  CHECK(framed > 100);
  CHECK(game.connected());
  CHECK(!game.failed());
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  while (host->actions == 0 && MonotonicClock().Now() < until) std::this_thread::yield();
  CHECK(host->actions > 0);
  CHECK_EQ(host->last_move.load(), 0.5f);
  // The game goes away and comes back.
  host.reset();
  host = std::make_unique<Host>(path, protocol);
  for (int taken = 0; taken < 20; ++taken) CHECK(Await(game.source(), &moment));
  CHECK(moment.sequence > sequence);
  CHECK(game.counters().connections.value() >= 2);
  game.Stop();
}

}  // namespace

TEST(link_game_plays_over_bonklink_v1) { Play(link::Protocol::kV1); }
TEST(link_game_plays_over_bonklink_v2) { Play(link::Protocol::kV2); }

TEST(link_game_tells_when_actions_left_and_which_were_overtaken) {
  const TemporaryDirectory folder;
  Script script(folder / "game");
  LinkGame game(MonotonicClock(), SettingsFor(folder / "game", link::Protocol::kV1));
  const Sends& sends = *game.sink().sends();
  Action action = {{0.25f, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};
  for (int i = 0; i < 3; ++i) game.sink().Act(action, 0);  // its thread has not begun
  CHECK_EQ(game.actions_overtaken(), uint64_t{2});
  CHECK_EQ(sends.At(3), int64_t{0});
  const auto sent = [&](uint64_t number) {
    const int64_t until = MonotonicClock().Now() + 20 * kSecond;
    while (sends.At(number) == 0 && MonotonicClock().Now() < until) std::this_thread::yield();
    return sends.At(number);
  };
  game.Start();
  CHECK(sent(3) > 0);  // nobody was there yet, which is no lateness
  CHECK_EQ(sends.At(1), Sends::kOvertaken);
  CHECK_EQ(sends.At(2), Sends::kOvertaken);
  const std::vector<uint8_t> pixels(size_t{8} * 12 * 3, 77);
  script.Send(1, {.width = 12, .height = 8, .stride = 36, .pixels = pixels});
  Moment moment;
  CHECK(Await(game.source(), &moment));
  action.move[0] = 0.75f;
  const int64_t before = MonotonicClock().Now();
  game.sink().Act(action, moment.sequence);
  const int64_t handed = MonotonicClock().Now();
  CHECK_EQ(script.Heard().move[0], 0.75f);
  const int64_t heard = MonotonicClock().Now();
  CHECK(sent(4) >= before);
  CHECK(sends.At(4) <= heard + kSecond);
  CHECK(handed >= before);
  game.Stop();
}

TEST(link_game_does_not_take_what_the_socket_has_no_room_for_as_sent) {
  const TemporaryDirectory folder;
  Script script(folder / "game");
  LinkGame game(MonotonicClock(), SettingsFor(folder / "game", link::Protocol::kV1));
  const Sends& sends = *game.sink().sends();
  game.Start();
  const std::vector<uint8_t> pixels(size_t{8} * 12 * 3, 77);
  script.Send(1, {.width = 12, .height = 8, .stride = 36, .pixels = pixels});
  Moment moment;
  CHECK(Await(game.source(), &moment));
  // The game reads nothing until the socket is full: the next action waits on the way.
  const Action action = {{0.5f, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}};
  uint64_t number = 0;
  int64_t quiet = 0;
  while (quiet < 200 * kMillisecond && number < 1'000'000) {
    game.sink().Act(action, moment.sequence);
    ++number;
    const int64_t begun = MonotonicClock().Now();
    do {
      quiet = MonotonicClock().Now() - begun;
    } while (sends.At(number) == 0 && quiet < 200 * kMillisecond);
  }
  CHECK(number < 1'000'000);
  CHECK_EQ(sends.At(number), int64_t{0});
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  const int64_t read = MonotonicClock().Now();
  while (sends.At(number) == 0 && MonotonicClock().Now() < until) script.Listen();
  CHECK(sends.At(number) >= read);
  game.Stop();
}

TEST(link_game_deals_with_what_was_handed_over_before_it_was_stopped) {
  const TemporaryDirectory folder;
  LinkGame game(MonotonicClock(), SettingsFor(folder / "game", link::Protocol::kV1));
  game.Stop();  // its thread finds nothing more to do, but for what it was given
  for (int i = 0; i < 3; ++i) game.sink().Act({}, 0);
  game.Start();
  game.Stop();
  CHECK_EQ(game.sink().sends()->At(2), Sends::kOvertaken);
  CHECK(game.sink().sends()->At(3) > 0);
}

TEST(link_game_waits_for_a_game_that_is_not_there_yet) {
  const TemporaryDirectory folder;
  LinkGame game(MonotonicClock(), SettingsFor(folder / "none", link::Protocol::kV2));
  game.Start();
  Moment moment;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(!game.source().Newest(&moment));
  CHECK(!game.connected());
  CHECK(!game.failed());
  game.Stop();
}

}  // namespace metabonk::play
