// The arena as a game of its own: it shows a state and its frame at every tick, plays what it was
// last told, and its journal of inputs plays the same game again.
#include "play/arena_game.h"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "games/arena/rules.h"
#include "play/artifacts.h"
#include "play/loop_fakes.h"

namespace metabonk::play {

namespace {

ArenaSettings SettingsFor(const std::string& folder, size_t arenas = 1) {
  ArenaSettings settings;
  settings.level = arena::DefaultSpec();
  for (size_t i = 0; i < arenas; ++i) settings.seeds.push_back(100 + i);
  settings.height = 24;
  settings.width = 32;
  settings.ring = "arena-test-" + std::to_string(::getpid());
  settings.ring_folder = folder;
  return settings;
}

std::vector<InputRecord> InputsOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<InputRecord> records((bytes.size() - kJournalHeader) / sizeof(InputRecord));
  std::memcpy(static_cast<void*>(records.data()), &bytes[kJournalHeader],
              records.size() * sizeof(InputRecord));
  return records;
}

}  // namespace

TEST(arena_game_shows_a_state_and_its_frame_at_every_tick) {
  const TemporaryDirectory folder;
  std::unique_ptr<ArenaGame> game;
  FakeClock clock;
  CHECK(ArenaGame::Create(clock, SettingsFor(folder / ""), nullptr, &game).ok());
  arena::Environment same;
  arena::LevelSpec level = arena::DefaultSpec();
  level.skip_min = level.skip_max = 1;
  same.Configure(level, true, 24, 32);
  same.Reset(100);
  arena::Scratch scratch;
  std::vector<uint8_t> picture(24 * 32 * 3);
  const auto state = std::make_unique<GameState>();
  Moment moment;
  CHECK(!game->source(0).Newest(&moment));
  for (uint64_t step = 1; step <= 90; ++step) {
    Action action = {{0.5f, 1.0f}, {0.2f, 0}, 0, 0, 0, 1, 0, 0, {-1, -1}};
    if (step > 1) {
      CHECK(game->sink(0).Act(action, step - 1));
      same.Step(action, scratch);
    }
    game->Tick();
    CHECK(game->source(0).Newest(&moment));
    CHECK(!game->source(0).Newest(&moment));
    CHECK_EQ(moment.sequence, step);
    CHECK_EQ(moment.frame.step, step);
    CHECK_EQ(moment.begins, step == 1);
    CHECK(moment.capture < moment.ready);
    same.GameStateNow(state.get());
    CHECK_NEAR(moment.state->dt, step == 1 ? 0.0f : 1.0f / 60.0f, 1e-6);
    state->dt = moment.state->dt;
    CHECK(std::memcmp(state.get(), moment.state, sizeof(GameState)) == 0);
    same.Picture(24, 32, picture.data());
    CHECK_EQ(moment.frame.width, 32);
    CHECK_EQ(moment.frame.height, 24);
    CHECK(std::memcmp(picture.data(), moment.frame.pixels, picture.size()) == 0);
  }
}

// The ring is made anew once its file is gone, which fails as long as its folder is gone, too.
TEST(arena_game_counts_captures_that_the_ring_refuses) {
  const TemporaryDirectory folder;
  const std::string memory = folder / "memory";
  std::filesystem::create_directory(memory);
  std::unique_ptr<ArenaGame> game;
  FakeClock clock;
  CHECK(ArenaGame::Create(clock, SettingsFor(memory, 2), nullptr, &game).ok());
  Moment moment;
  for (int tick = 0; tick < 20; ++tick) {
    game->Tick();
    CHECK(game->source(0).Newest(&moment));
  }
  CHECK_EQ(game->unshown(), uint64_t{0});
  std::filesystem::remove_all(memory);
  const int64_t until = MonotonicClock().Now() + 20 * kSecond;
  const auto tick = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    game->Tick();
    return MonotonicClock().Now() < until;
  };
  while (game->unshown() < 10 && tick()) {
  }
  CHECK(game->unshown() >= 10);
  while (game->source(0).Newest(&moment)) {
  }
  const uint64_t refused = game->unshown(), seen = moment.sequence;
  CHECK(tick());
  CHECK_EQ(game->unshown(), refused + 2);  // one of each arena
  CHECK(!game->source(0).Newest(&moment));
  std::filesystem::create_directory(memory);  // there is room again
  while (!game->source(0).Newest(&moment) && tick()) {
  }
  CHECK(moment.sequence > seen + 1);
  CHECK_EQ(moment.frame.step, moment.sequence);
}

TEST(arena_game_shows_the_ground_of_its_run) {
  const TemporaryDirectory folder;
  std::unique_ptr<ArenaGame> game;
  FakeClock clock;
  ArenaSettings settings = SettingsFor(folder / "");
  settings.height = settings.width = 0;
  settings.level.duration = 1.0f;  // then the next run, on another ground
  CHECK(ArenaGame::Create(clock, settings, nullptr, &game).ok());
  const auto terrain = std::make_unique<arena::Terrain>();
  const auto wanted = std::make_unique<WalkGrid>();
  Moment moment;
  int grounds = 0;
  for (int step = 0; step < 200; ++step) {
    game->Tick();
    CHECK(game->source(0).Newest(&moment));
    CHECK(moment.ground != nullptr);
    if (moment.ground == nullptr) return;
    if (static_cast<int>(moment.ground->number) == grounds) continue;
    CHECK(moment.begins);
    ++grounds;
    CHECK_EQ(static_cast<int>(moment.ground->number), grounds);
    arena::GenerateTerrain(settings.level, moment.state->run_seed, terrain.get());
    MakeWalkGrid(*terrain, wanted.get());
    CHECK(std::memcmp(wanted->open, moment.ground->open, sizeof wanted->open) == 0);
    CHECK(std::memcmp(wanted->height, moment.ground->height, sizeof wanted->height) == 0);
    CHECK_EQ(moment.ground->size, settings.level.size);
  }
  CHECK(grounds >= 3);
}

TEST(arena_game_goes_on_without_an_answer_and_presses_once) {
  const TemporaryDirectory folder;
  std::unique_ptr<Journal> inputs;
  CHECK(Journal::Create(folder / "inputs", "inputs", sizeof(InputRecord), 1024, &inputs).ok());
  std::unique_ptr<ArenaGame> game;
  FakeClock clock;
  ArenaSettings settings = SettingsFor(folder / "", 2);
  settings.height = settings.width = 0;
  CHECK(ArenaGame::Create(clock, settings, inputs.get(), &game).ok());
  game->Tick();
  const Action press = {{1, 0}, {0, 0}, 0, 0, 0, 0, 0, 2, {-1, -1}};
  CHECK(game->sink(1).Act(press, 1));
  for (int i = 0; i < 3; ++i) game->Tick();
  game.reset();
  inputs.reset();
  const std::vector<InputRecord> records = InputsOf(folder / "inputs");
  CHECK_EQ(records.size(), size_t{6});
  for (size_t i = 0; i < records.size(); ++i) {
    const bool told = records[i].agent == 1;
    CHECK_EQ(records[i].agent, i % 2);
    CHECK_EQ(records[i].step, i / 2 + 1);
    CHECK_EQ(records[i].action.move[0], told ? 1.0f : 0.0f);
    CHECK_EQ(records[i].action.choice, told && records[i].step == 1 ? 2.0f : 0.0f);
  }
}

TEST(arena_game_can_be_played_again_from_its_inputs) {
  const TemporaryDirectory folder;
  std::unique_ptr<Journal> inputs;
  CHECK(Journal::Create(folder / "inputs", "inputs", sizeof(InputRecord), 8192, &inputs).ok());
  ArenaSettings settings = SettingsFor(folder / "");
  settings.height = settings.width = 0;
  settings.level.duration = 3.0f;  // so that several runs are played
  std::unique_ptr<ArenaGame> game;
  FakeClock clock;
  CHECK(ArenaGame::Create(clock, settings, inputs.get(), &game).ok());
  Moment moment;
  int begun = 0;
  for (uint64_t tick = 0; tick < 600; ++tick) {
    Action action = {};
    action.move[tick % 2] = 1.0f;
    action.choice = static_cast<float>(tick % 3 == 0);
    action.click[0] = action.click[1] = -1.0f;
    game->Tick();
    if (game->source(0).Newest(&moment)) begun += moment.begins;
    if (tick % 5 != 0) game->sink(0).Act(action, moment.sequence);
  }
  CHECK(begun >= 3);
  GameState last = *moment.state;
  game.reset();
  inputs.reset();
  arena::Environment again;
  settings.level.skip_min = settings.level.skip_max = 1;
  again.Configure(settings.level, true, 0, 0);
  again.Reset(100);
  arena::Scratch scratch;
  for (const InputRecord& record : InputsOf(folder / "inputs")) again.Step(record.action, scratch);
  const auto state = std::make_unique<GameState>();
  again.GameStateNow(state.get());
  state->dt = last.dt;
  CHECK(std::memcmp(state.get(), &last, sizeof last) == 0);
}

TEST(arena_game_runs_by_itself_while_it_is_played) {
  const TemporaryDirectory folder;
  std::unique_ptr<ArenaGame> game;
  ArenaSettings settings = SettingsFor(folder / "", 2);
  settings.pacer = {kMillisecond, 0};
  CHECK(ArenaGame::Create(MonotonicClock(), settings, nullptr, &game).ok());
  game->Start();
  uint64_t last[2] = {0, 0};
  for (int taken = 0; taken < 200;) {
    for (size_t i = 0; i < 2; ++i) {
      Moment moment;
      if (!game->source(i).Newest(&moment)) continue;
      CHECK(moment.sequence > last[i]);
      CHECK_EQ(moment.frame.step, moment.sequence);
      last[i] = moment.sequence;
      game->sink(i).Act({{0, 1}, {0, 0}, 0, 0, 0, 0, 0, 0, {-1, -1}}, moment.sequence);
      ++taken;
    }
    std::this_thread::yield();
  }
  game->Stop();
  CHECK(game->steps() >= 100);
  CHECK(game->lateness().count() > 0);
}

}  // namespace metabonk::play
