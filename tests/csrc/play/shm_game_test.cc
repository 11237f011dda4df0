// A game behind ResearchPlugin's shared memory as the loop sees it: observations in order and once,
// frames of the policy's size, one action for each, episodes that are asked for, a game that dies.
#include "play/shm_game.h"

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "play/artifacts.h"
#include "play/source.h"

namespace metabonk::play {
namespace {

constexpr int64_t kHang = 20 * kSecond;
constexpr int kHeight = 8, kWidth = 12;

// The game's end, turned by the test.
class Host {
 public:
  explicit Host(const std::string& path) {
    CHECK(ipc::ResearchGame::Create(path, kWidth, kHeight, true, &game_).ok());
  }
  void Show(int step, int time_ms, bool done = false) {
    const std::vector<uint8_t> pixels(ipc::ResearchPixelBytes(kWidth, kHeight),
                                      static_cast<uint8_t>(100 + step));
    CHECK(game_->Publish({0, 0, 0.0f, done, step, time_ms, 0, 0}, pixels));
  }
  ipc::ResearchEvent Heard(int64_t timeout = kHang) { return game_->Wait(timeout, action); }

  std::array<float, ipc::kResearchActionColumns> action = {};

 private:
  std::unique_ptr<ipc::ResearchGame> game_;
};

ShmSettings SettingsFor(const std::string& path) {
  return {.path = path, .bottom_up = true, .height = 4, .width = 6};
}

bool Await(Source& source, Moment* moment) {
  const int64_t until = MonotonicClock().Now() + kHang;
  while (!source.Newest(moment)) {
    if (MonotonicClock().Now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

bool Skipped(const ShmGame& game, uint64_t count) {
  const int64_t until = MonotonicClock().Now() + kHang;
  while (game.counters().actions_skipped.value() < count && MonotonicClock().Now() < until) {
    std::this_thread::yield();
  }
  return game.counters().actions_skipped.value() == count;
}

Action Moving(float x, float choice = 0.0f) {
  return {{x, 0}, {0, 0}, 0, 0, 0, 0, 0, choice, {-1, -1}};
}

}  // namespace

TEST(shm_game_plays_an_episode_and_asks_for_the_next) {
  const TemporaryDirectory folder;
  Host host(folder / "game");
  ShmGame game(MonotonicClock(), SettingsFor(folder / "game"));
  game.Start();
  CHECK(host.Heard() == ipc::ResearchEvent::kReset);  // a new agent begins an episode
  CHECK(!game.connected());
  CHECK(game.why().find("episode") != std::string::npos);
  Moment moment;
  uint64_t sequence = 0;
  for (int step = 0; step <= 5; ++step) {
    host.Show(step, 50 * step, step == 5);
    CHECK(Await(game.source(), &moment));
    CHECK_EQ(moment.sequence, sequence + 1);
    sequence = moment.sequence;
    CHECK_EQ(moment.begins, step == 0);
    CHECK_NEAR(moment.state->dt, step == 0 ? 0.0f : 0.05f, 1e-6);
    CHECK_EQ(moment.state->fields, 0u);  // the memory carries none
    CHECK(moment.frame.height == 4 && moment.frame.width == 6);
    CHECK_EQ(moment.frame.pixels[0], 100 + step);
    CHECK_EQ(moment.frame.step, moment.sequence);
    CHECK(moment.capture <= moment.ready);
    if (step == 5) break;
    CHECK(game.sink().Act(Moving(0.25f * static_cast<float>(step)), moment.sequence));
    CHECK(host.Heard() == ipc::ResearchEvent::kAction);
    CHECK_EQ(host.action[0], 0.25f * static_cast<float>(step));
  }
  CHECK(host.Heard() == ipc::ResearchEvent::kReset);  // where one has ended
  host.Show(0, 0);
  CHECK(Await(game.source(), &moment));
  CHECK(moment.begins);
  game.sink().Act(Moving(-1.0f), moment.sequence - 1);  // of the episode before
  CHECK(host.Heard(5 * kMillisecond) == ipc::ResearchEvent::kTimeout);
  CHECK(game.connected());
  game.Stop();
  CHECK_EQ(game.counters().observations.value(), uint64_t{7});
  CHECK_EQ(game.counters().actions.value(), uint64_t{5});
  CHECK_EQ(game.counters().resets.value(), uint64_t{2});
}

TEST(shm_game_answers_an_observation_once) {
  const TemporaryDirectory folder;
  Host host(folder / "game");
  ShmGame game(MonotonicClock(), SettingsFor(folder / "game"));
  game.Start();
  CHECK(host.Heard() == ipc::ResearchEvent::kReset);
  Moment moment;
  host.Show(0, 0);
  CHECK(Await(game.source(), &moment));
  const uint64_t first = moment.sequence;
  game.sink().Act(Moving(0.5f), first);
  CHECK(host.Heard() == ipc::ResearchEvent::kAction);
  game.sink().Act(Moving(0.75f), first);  // has been answered
  CHECK(Skipped(game, 1));
  host.Show(1, 16);
  CHECK(Await(game.source(), &moment));
  game.sink().Act(Moving(0.75f), first);  // a repetition from before this one could be seen
  CHECK(Skipped(game, 2));
  CHECK(host.Heard(0) == ipc::ResearchEvent::kTimeout);
  game.sink().Act(Moving(0.25f), first);  // a decision that came late
  CHECK(host.Heard() == ipc::ResearchEvent::kAction);
  CHECK_EQ(host.action[0], 0.25f);
  host.Show(2, 32);
  CHECK(Await(game.source(), &moment));
  game.sink().Act(Moving(0.25f), moment.sequence);  // the same, decided again
  CHECK(host.Heard() == ipc::ResearchEvent::kAction);
  game.Stop();
}

TEST(shm_game_tells_when_actions_left_and_which_were_overtaken) {
  const TemporaryDirectory folder;
  Host host(folder / "game");
  ShmGame game(MonotonicClock(), SettingsFor(folder / "game"));
  const Sends& sends = *game.sink().sends();
  for (int i = 0; i < 3; ++i) game.sink().Act(Moving(0.5f), 0);  // its thread has not begun
  CHECK_EQ(game.actions_overtaken(), uint64_t{2});
  game.Start();
  CHECK(host.Heard() == ipc::ResearchEvent::kReset);
  Moment moment;
  host.Show(0, 0);
  CHECK(Await(game.source(), &moment));
  const auto sent = [&](uint64_t number) {
    const int64_t until = MonotonicClock().Now() + kHang;
    while (sends.At(number) == 0 && MonotonicClock().Now() < until) std::this_thread::yield();
    return sends.At(number);
  };
  CHECK(sent(3) > 0);
  CHECK_EQ(sends.At(1), Sends::kOvertaken);
  CHECK_EQ(sends.At(2), Sends::kOvertaken);
  const int64_t before = MonotonicClock().Now();
  game.sink().Act(Moving(0.75f), moment.sequence);
  CHECK(host.Heard() == ipc::ResearchEvent::kAction);
  CHECK(sent(4) >= before);
  game.sink().Act(Moving(0.25f), moment.sequence);  // answered already: nothing is to be sent
  CHECK(sent(5) > 0);
  game.Stop();
}

TEST(shm_game_deals_with_what_was_handed_over_before_it_was_stopped) {
  const TemporaryDirectory folder;
  ShmGame game(MonotonicClock(), SettingsFor(folder / "game"));
  game.Stop();  // its thread finds nothing more to do, but for what it was given
  for (int i = 0; i < 3; ++i) game.sink().Act(Moving(0.5f), 0);
  game.Start();
  game.Stop();
  CHECK_EQ(game.sink().sends()->At(2), Sends::kOvertaken);
  CHECK(game.sink().sends()->At(3) > 0);
}

TEST(shm_game_presses_once_whatever_is_skipped) {
  const TemporaryDirectory folder;
  Host host(folder / "game");
  ShmGame game(MonotonicClock(), SettingsFor(folder / "game"));
  game.Start();
  CHECK(host.Heard() == ipc::ResearchEvent::kReset);
  Moment moment;
  host.Show(0, 0);
  CHECK(Await(game.source(), &moment));
  game.sink().Act(Moving(0.5f), moment.sequence);
  CHECK(host.Heard() == ipc::ResearchEvent::kAction);
  game.sink().Act(Moving(0.5f, 3.0f), moment.sequence);  // too late for this one
  CHECK(Skipped(game, 1));
  for (int step = 1; step <= 3; ++step) {
    host.Show(step, 16 * step);
    CHECK(Await(game.source(), &moment));
    game.sink().Act(Moving(0.5f), moment.sequence);
    CHECK(host.Heard() == ipc::ResearchEvent::kAction);
    CHECK_EQ(host.action[4], step == 1 ? 1.0f : 0.0f);  // the third widget's button
  }
  game.Stop();
}

TEST(shm_game_finds_a_game_that_comes_later_or_back) {
  const TemporaryDirectory folder;
  ShmGame game(MonotonicClock(), SettingsFor(folder / "game"));
  game.Start();
  Moment moment;
  game.sink().Act(Moving(0.5f), 0);  // nobody is there
  const int64_t end = MonotonicClock().Now() + kHang;
  while (game.counters().actions_unsent.value() == 0 && MonotonicClock().Now() < end) {
    std::this_thread::yield();
  }
  uint64_t sequence = 0;
  for (uint64_t round = 1; round <= 2; ++round) {
    auto host = std::make_unique<Host>(folder / "game");
    CHECK(host->Heard() == ipc::ResearchEvent::kReset);
    host->Show(0, 0);
    CHECK(Await(game.source(), &moment));
    CHECK(moment.begins && moment.sequence > sequence);
    sequence = moment.sequence;
    host.reset();
    const int64_t until = MonotonicClock().Now() + kHang;
    while (game.counters().losses.value() < round && MonotonicClock().Now() < until) {
      std::this_thread::yield();
    }
    CHECK(!game.connected());
    CHECK(!game.why().empty());
  }
  CHECK_EQ(game.counters().losses.value(), uint64_t{2});
  CHECK_EQ(game.counters().actions_unsent.value(), uint64_t{1});
  game.Stop();
}

}  // namespace metabonk::play
