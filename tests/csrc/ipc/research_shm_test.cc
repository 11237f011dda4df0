#include "ipc/research_shm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace metabonk::ipc {

namespace {

constexpr int64_t kSoon = 10'000'000'000;  // generous: a hang, not a time, is what fails
constexpr int kWidth = 7;
constexpr int kHeight = 3;
using Pixels = std::vector<uint8_t>;
using Action = std::array<float, kResearchActionColumns>;

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/metabonk-research-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~Folder() {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  std::string path() const { return folder_ + "/megabonk_env_0"; }

 private:
  std::string folder_;
};

Pixels Pattern(int seed) {
  Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(seed * 31 + i);
  return pixels;
}

ResearchHeader Outcome(int step, float reward = 0.0f, int done = 0) {
  return {0, 0, reward, done, step, step * 16, 0, 0};
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// A plugin of version 1, which neither locks nor marks.
class Plugin {
 public:
  explicit Plugin(const std::string& path) : file_(::open(path.c_str(), O_RDWR | O_CREAT, 0600)) {
    CHECK(::ftruncate(file_, 0x20 + kWidth * kHeight * 3 + 24) == 0);
    Put(0x18, kWidth);
    Put(0x1c, kHeight);
  }
  ~Plugin() { ::close(file_); }
  void Put(off_t at, int32_t value) { CHECK(::pwrite(file_, &value, 4, at) == 4); }
  int32_t Get(off_t at) {
    int32_t value = -1;
    CHECK(::pread(file_, &value, 4, at) == 4);
    return value;
  }
  void Show(int step, int time_ms, const Pixels& pixels) {
    CHECK(::pwrite(file_, pixels.data(), pixels.size(), 0x20) ==
          static_cast<ssize_t>(pixels.size()));
    Put(0x10, step);
    Put(0x14, time_ms);
    Put(0, 2);
  }
  void Cut(off_t bytes) { CHECK(::ftruncate(file_, bytes) == 0); }

 private:
  int file_;
};

}  // namespace

TEST(research_shm_layout_of_version_1) {
  const Folder folder;
  std::unique_ptr<ResearchGame> game;
  CHECK(ResearchGame::Create(folder.path(), 84, 84, false, &game).ok());
  struct stat found{};
  CHECK(::stat(folder.path().c_str(), &found) == 0);
  CHECK(found.st_size == 21224);
  CHECK((found.st_mode & 0777) == 0600);
  Pixels pixels(ResearchPixelBytes(84, 84));
  pixels.front() = 9;
  pixels.back() = 8;
  CHECK(game->Publish({0, 0, 1.5f, 1, 7, 117, 0, 0}, pixels));
  std::vector<uint8_t> bytes(21224);
  const int file = ::open(folder.path().c_str(), O_RDWR);
  CHECK(::pread(file, bytes.data(), bytes.size(), 0) == 21224);
  const auto word = [&](size_t at) {
    int32_t value;
    std::memcpy(&value, bytes.data() + at, 4);
    return value;
  };
  float reward;
  std::memcpy(&reward, bytes.data() + 8, 4);
  CHECK(word(0) == 2 && reward == 1.5f && word(0x0c) == 1 && word(0x10) == 7);
  CHECK(word(0x14) == 117 && word(0x18) == 84 && word(0x1c) == 84);
  CHECK(bytes[0x20] == 9 && bytes[0x52cf] == 8);
  const float action[6] = {1, -1, 0, 1, 0, 1};
  CHECK(::pwrite(file, action, 24, 0x52d0) == 24);
  const int32_t ready = 1;
  CHECK(::pwrite(file, &ready, 4, 0) == 4);
  Action got;
  CHECK(game->Wait(kSoon, got) == ResearchEvent::kAction);
  CHECK(std::equal(got.begin(), got.end(), action));
  ::close(file);
}

TEST(research_shm_takes_turns) {
  const Folder folder;
  std::unique_ptr<ResearchGame> game;
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game).ok());
  CHECK(!game->agent());
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  CHECK(game->agent() && agent->fills());
  ResearchHeader header;
  Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
  CHECK(agent->Wait(0, &header, pixels) == ResearchEvent::kTimeout);
  for (int step = 0; step < 5; ++step) {
    CHECK(game->Publish(Outcome(step, 0.25f * static_cast<float>(step), step == 4), Pattern(step)));
    CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
    CHECK(header.step == step && header.reward == 0.25f * static_cast<float>(step));
    CHECK(header.done == (step == 4) && pixels == Pattern(step));
    CHECK(agent->Wait(0, &header, pixels) == ResearchEvent::kTimeout);  // the same one
    const Action action = {0.5f, static_cast<float>(step), 1, 0, 0, 1};
    CHECK(agent->Act(action));
    Action got;
    CHECK(game->Wait(kSoon, got) == ResearchEvent::kAction && got == action);
    CHECK(game->Wait(0, got) == ResearchEvent::kTimeout);
  }
  CHECK(agent->Reset());
  Action got;
  CHECK(game->Wait(kSoon, got) == ResearchEvent::kReset);
  CHECK(agent->counters().repeated == 5 && agent->counters().torn == 0);
  game.reset();
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kTerminated);
  CHECK(!Exists(folder.path()));
}

TEST(research_shm_numbers_that_are_none_press_nothing) {
  const Folder folder;
  std::unique_ptr<ResearchGame> game;
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game).ok());
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  const float none = std::numeric_limits<float>::quiet_NaN();
  const float far = std::numeric_limits<float>::infinity();
  CHECK(agent->Act(Action{none, -far, far, 0.5f, none, -2.0f}));
  Action got;
  CHECK(game->Wait(kSoon, got) == ResearchEvent::kAction);
  CHECK((got == Action{0.0f, -1.0f, 1.0f, 0.5f, 0.0f, -2.0f}));
}

TEST(research_shm_asks_again_where_a_reset_was_lost) {
  const Folder folder;
  Plugin plugin(folder.path());
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  CHECK(!agent->fills());
  ResearchHeader header;
  Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
  plugin.Show(9, 150, Pattern(0));
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
  CHECK(agent->Reset());
  plugin.Show(10, 166, Pattern(1));  // the plugin was in the middle of a step
  CHECK(agent->Wait(0, &header, pixels) == ResearchEvent::kTimeout);
  CHECK(plugin.Get(0) == 3 && agent->counters().lost == 1);
  plugin.Show(0, 0, Pattern(2));
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
  CHECK(header.step == 0 && agent->counters().lost == 1);
}

TEST(research_shm_waits_out_a_plugin_that_neither_counts_nor_ages) {
  const Folder folder;
  Plugin plugin(folder.path());
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchAgent::Open(folder.path(), false, &agent).ok());
  ResearchHeader header;
  Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
  plugin.Show(0, 40, Pattern(0));
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
  CHECK(agent->Wait(200'000'000, &header, pixels) == ResearchEvent::kTimeout);  // nobody acted
  CHECK(agent->Act(Action{}));
  plugin.Show(0, 40, Pattern(1));
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
  CHECK(pixels == Pattern(1));
}

TEST(research_shm_a_game_that_fills_and_cannot_lock) {
  const Folder folder;
  Plugin plugin(folder.path());
  plugin.Put(4, static_cast<int32_t>(kResearchFills));
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  CHECK(agent->fills());
  ResearchHeader header;
  Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
  CHECK(agent->Wait(60'000'000, &header, pixels) == ResearchEvent::kTimeout);  // not: it is dead
}

TEST(research_shm_files_that_are_none) {
  const Folder folder;
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).code == Code::kUnavailable);
  {
    Plugin plugin(folder.path());
    plugin.Cut(20);
    CHECK(ResearchAgent::Open(folder.path(), true, &agent).code == Code::kCorrupt);
    plugin.Cut(0x20);  // sizes 0
    CHECK(ResearchAgent::Open(folder.path(), true, &agent).code == Code::kCorrupt);
  }
  Plugin plugin(folder.path());
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  ResearchHeader header;
  Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
  plugin.Show(0, 0, Pattern(0));
  plugin.Put(0x18, -5);
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kDamaged);
  plugin.Put(0x18, kWidth + 1);
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kResized);
  CHECK(agent->width() == kWidth + 1);
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kResized);  // the array is too small
  plugin.Put(0x18, kWidth);
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kResized);
  plugin.Cut(0x30);
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kDamaged);
  plugin.Cut(0);
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kDamaged);
}

TEST(research_shm_one_game_and_one_agent) {
  const Folder folder;
  std::unique_ptr<ResearchGame> game, second;
  std::unique_ptr<ResearchAgent> agent, other;
  CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game).ok());
  CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &second).code ==
        Code::kUnavailable);
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  CHECK(ResearchAgent::Open(folder.path(), true, &other).code == Code::kUnavailable);
  agent.reset();
  CHECK(ResearchAgent::Open(folder.path(), true, &other).ok());
  CHECK(ResearchGame::Create(folder.path(), 0, kHeight, true, &second).code == Code::kOutOfRange);
}

// Files that games left who were killed while they made them, and files that are something else.
TEST(research_shm_sweeps_what_was_never_finished) {
  const Folder folder;
  const std::string left = folder.path() + ".new-Ab12Cd";
  const std::string being_made = folder.path() + ".new-Ef34Gh";
  const std::string plugins = folder.path() + ".partial", fresh = folder.path() + "1.partial";
  const std::string backup = folder.path() + ".backup", instance = folder.path() + ".new-one";
  const std::vector<std::string> stay = {being_made, fresh, backup, instance};
  const timespec hour_ago[2] = {{::time(nullptr) - 3600, 0}, {::time(nullptr) - 3600, 0}};
  const int living = ::open(being_made.c_str(), O_CREAT | O_RDWR, 0600);
  const ResearchFile maker(living);
  CHECK(maker.Lock(kResearchGameByte));
  for (const std::string& path : {left, plugins, fresh, backup, instance}) {
    const ResearchFile made(::open(path.c_str(), O_CREAT | O_RDWR, 0600));
    CHECK(made.open());
    if (path != fresh) CHECK_EQ(::utimensat(AT_FDCWD, path.c_str(), hour_ago, 0), 0);
  }
  std::unique_ptr<ResearchGame> game;
  CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game).ok());
  CHECK(!Exists(left) && !Exists(plugins));
  for (const std::string& path : stay) CHECK(Exists(path));
  const ResearchFile again(::open(left.c_str(), O_CREAT | O_RDWR, 0600));
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  CHECK(!Exists(left));
  for (const std::string& path : stay) ::unlink(path.c_str());
}

// While others sweep, every game gets its file: one that was swept before its lock is made again.
TEST(research_shm_games_are_made_while_others_sweep) {
  const Folder folder;
  std::atomic<bool> over{false};
  std::thread sweeper([&] {
    while (!over.load()) SweepResearch(folder.path());
  });
  for (int i = 0; i < 300; ++i) {
    std::unique_ptr<ResearchGame> game;
    CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game).ok());
    CHECK(Exists(folder.path()));
  }
  over.store(true);
  sweeper.join();
}

// A child neither ends the game that it inherited nor takes its moves, and keeps no lock: while it
// lives on another agent may play.
TEST(research_shm_is_left_alone_by_a_forked_child) {
  const Folder folder;
  std::unique_ptr<ResearchGame> game;
  std::unique_ptr<ResearchAgent> agent;
  ResearchHeader header;
  Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
  CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game).ok());
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  CHECK(game->Publish(Outcome(0), Pattern(0)));
  int ready[2], over[2];
  CHECK(::pipe(ready) == 0 && ::pipe(over) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = !agent->Reset() && !game->Publish(Outcome(1), Pattern(1)) &&
                         agent->Wait(0, &header, pixels) != ResearchEvent::kObservation;
    agent.reset();
    game.reset();  // must neither say that the game ends nor remove its file
    [[maybe_unused]] const auto told = ::write(ready[1], refused ? "y" : "n", 1);
    char byte;
    ::close(over[1]);
    [[maybe_unused]] const auto ended = ::read(over[0], &byte, 1);
    ::_exit(0);
  }
  char answer = 0;
  CHECK(::read(ready[0], &answer, 1) == 1);
  CHECK_EQ(answer, 'y');
  CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
  CHECK(pixels == Pattern(0));
  agent.reset();
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  for (const int end : {ready[0], ready[1], over[0], over[1]}) ::close(end);
  ::waitpid(child, nullptr, 0);
}

// A game that is killed at any instant leaves a file that says it is alive.
TEST(research_shm_a_killed_game_is_noticed_and_its_file_removed) {
  const Folder folder;
  for (int round = 0; round < 3; ++round) {
    int ready[2];
    CHECK(::pipe(ready) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      std::unique_ptr<ResearchGame> game;
      ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game);
      game->Publish(Outcome(0), Pattern(round));
      [[maybe_unused]] const auto told = ::write(ready[1], "x", 1);
      ::pause();
    }
    char byte;
    CHECK(::read(ready[0], &byte, 1) == 1);
    std::unique_ptr<ResearchAgent> agent;
    ResearchHeader header;
    Pixels pixels(ResearchPixelBytes(kWidth, kHeight));
    CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
    CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    if (round == 0) CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kGone);
    if (round == 1) {
      agent.reset();
      CHECK(!ResearchAgent::Open(folder.path(), true, &agent).ok());
    }
    if (round == 2) {
      std::unique_ptr<ResearchGame> game;
      CHECK(ResearchGame::Create(folder.path(), kWidth, kHeight, true, &game).ok());
      CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kGone);
    }
    CHECK(!Exists(folder.path()));
  }
}

// A writer that never rests may starve a reader of v1, but what is handed out is whole even then.
TEST(research_shm_hands_out_nothing_torn_of_a_restless_writer) {
  const Folder folder;
  std::unique_ptr<ResearchGame> game;
  constexpr int kSide = 64;
  CHECK(ResearchGame::Create(folder.path(), kSide, kSide, true, &game).ok());
  std::atomic<bool> over{false};
  std::thread writer([&] {
    Pixels pixels(ResearchPixelBytes(kSide, kSide));
    for (int step = 1; !over.load(); ++step) {
      std::fill(pixels.begin(), pixels.end(), static_cast<uint8_t>(step));
      CHECK(game->Publish(Outcome(step), pixels));
    }
  });
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  Pixels pixels(ResearchPixelBytes(kSide, kSide));
  ResearchHeader header;
  for (int i = 0; i < 200; ++i) {
    const ResearchEvent event = agent->Wait(2'000'000, &header, pixels);
    CHECK(event == ResearchEvent::kObservation || event == ResearchEvent::kTimeout);
    if (event != ResearchEvent::kObservation) continue;
    CHECK(std::all_of(pixels.begin(), pixels.end(),
                      [&](uint8_t byte) { return byte == static_cast<uint8_t>(header.step); }));
  }
  over.store(true);
  writer.join();
  CHECK(agent->counters().torn + agent->counters().observations > 0);
}

// Frames in bursts, as fast as can be: what is handed out is never torn. Between bursts there is a
// pause, since v1 has no way to keep a writer that never rests from a reader.
TEST(research_shm_hands_out_whole_frames) {
  const Folder folder;
  std::unique_ptr<ResearchGame> game;
  constexpr int kSide = 64;
  CHECK(ResearchGame::Create(folder.path(), kSide, kSide, true, &game).ok());
  std::atomic<bool> over{false};
  std::thread writer([&] {
    Pixels pixels(ResearchPixelBytes(kSide, kSide));
    for (int step = 1; !over.load(); ++step) {
      std::fill(pixels.begin(), pixels.end(), static_cast<uint8_t>(step));
      CHECK(game->Publish(Outcome(step), pixels));
      if (step % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  std::unique_ptr<ResearchAgent> agent;
  CHECK(ResearchAgent::Open(folder.path(), true, &agent).ok());
  Pixels pixels(ResearchPixelBytes(kSide, kSide));
  ResearchHeader header;
  int last = 0;
  for (int i = 0; i < 2000; ++i) {
    CHECK(agent->Wait(kSoon, &header, pixels) == ResearchEvent::kObservation);
    CHECK(header.step > last);
    last = header.step;
    CHECK(std::all_of(pixels.begin(), pixels.end(),
                      [&](uint8_t byte) { return byte == static_cast<uint8_t>(header.step); }));
  }
  over.store(true);
  writer.join();
}

}  // namespace metabonk::ipc
