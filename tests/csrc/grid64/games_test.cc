// What is special about single games: the cue, the noise, the stall, the click.
#include <cstring>
#include <vector>

#include "check.h"
#include "games/grid64/canvas.h"
#include "grid64/player.h"

namespace metabonk::grid64 {
namespace {

int Differing(const uint8_t* a, const uint8_t* b) {
  int count = 0;
  for (int i = 0; i < kCells; ++i) count += a[i] != b[i];
  return count;
}

TEST(grid64_t_maze_shows_the_cue_on_the_pad_only) {
  // Levels that differ in the good chest alone look the same everywhere but on the pad: the frames
  // along a plan up to the pad, under either answer.
  const int game = FindGame("t_maze");
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Episode episode = AtLevel(game, Split::kTrain, seed, 0);
    std::vector<Action> plan;
    CHECK(Solve(episode, &plan));
    // The answer is one byte of the level, found by flipping bytes until the plan fails at its end.
    int changed = -1;
    for (int at = 0; at < static_cast<int>(GameAt(game).level_bytes) && changed < 0; ++at) {
      for (uint8_t value = 0; value < 6 && changed < 0; ++value) {
        Episode other = episode;
        other.level[at] = value;
        if (other.level[at] == episode.level[at]) continue;
        uint8_t mine[kCells];
        uint8_t theirs[kCells];
        Observe(episode, {mine});
        Observe(other, {theirs});
        std::vector<Action> other_plan;
        if (Differing(mine, theirs) == 0 && Solve(other, &other_plan) && other_plan.size() != 0 &&
            other_plan.back().id != plan.back().id) {
          changed = at;
          bool shown = false;
          for (size_t i = 0; i + 1 < plan.size(); ++i) {
            Step(episode, plan[i]);
            Step(other, plan[i]);
            Observe(episode, {mine});
            Observe(other, {theirs});
            const int differing = Differing(mine, theirs);
            CHECK(differing == 0 || differing > 50);  // nothing, or the lit walls around the pad
            shown = shown || differing > 0;
          }
          CHECK(shown);
          CHECK_EQ(Step(episode, plan.back()).reward, 1.0f);
          CHECK(Step(other, plan.back()).terminated);
        }
      }
    }
    CHECK(changed >= 0);
  }
}

// Steps from the opening into the room whose cells change while nothing is done; 0 for none.
uint8_t TowardsScreen(const Episode& start) {
  for (const uint8_t move : {kLeft, kRight}) {
    Episode episode = start;
    Step(episode, {move});
    uint8_t before[kCells];
    uint8_t after[kCells];
    Observe(episode, {before});
    Step(episode, {});
    Observe(episode, {after});
    if (Differing(before, after) > 0) return move;
  }
  return 0;
}

TEST(grid64_noisy_tv_noise_ignores_actions_and_is_seen_from_its_room_only) {
  const int game = FindGame("noisy_tv");
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Episode start = AtLevel(game, Split::kTrain, seed, 2);
    const uint8_t towards = TowardsScreen(start);
    if (towards == 0) continue;  // a pillar stands in the way
    const uint8_t away = towards == kLeft ? kRight : kLeft;
    Step(start, {towards});
    uint8_t frames[4][kCells];
    const uint8_t moves[4] = {kUp, kDown, towards, kNoAction};
    for (int i = 0; i < 4; ++i) {
      Episode episode = start;
      Step(episode, {moves[i]});
      Observe(episode, {frames[i]});
      CHECK(Differing(frames[i], frames[0]) <= 32);  // the player's own cells at most
    }
    uint8_t before[kCells];
    Observe(start, {before});
    CHECK(Differing(before, frames[3]) > 150);  // most of 96 dots of 4 cells change
    Step(start, {away});
    Step(start, {away});
    Observe(start, {before});
    Step(start, {});
    Observe(start, {frames[0]});
    CHECK_EQ(Differing(before, frames[0]), 0);
  }
}

TEST(grid64_stall_clock_runs_while_nothing_else_can) {
  const int game = FindGame("stall_clock");
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Episode episode = AtLevel(game, Split::kTest, seed, 1);
    Draws draws{seed};
    int stalled = 0;
    for (int i = 0; i < 100 && episode.levels_completed == 1; ++i) {
      const bool stall = Available(episode) == Allow(kInteract);
      uint8_t level[kLevelBytes];
      uint8_t before[kCells];
      uint8_t after[kCells];
      std::memcpy(level, episode.level, kLevelBytes);
      Observe(episode, {before});
      Step(episode, {static_cast<uint8_t>(kUp + draws.Below(4))});
      Observe(episode, {after});
      if (!stall) continue;
      ++stalled;
      CHECK_EQ(std::memcmp(level, episode.level, kLevelBytes), 0);
      int board = 0;  // cells left of the panel; when the power returns the player changes colour
      for (int at = 0; at < kCells; ++at) board += at % kSide < 48 && before[at] != after[at];
      CHECK(board <= 16);
      CHECK(Differing(before, after) > 0);  // the hand
    }
    CHECK(stalled >= 15);
  }
}

TEST(grid64_push_blocks_can_be_reset_and_only_once_touched) {
  Episode episode = AtLevel(FindGame("push_blocks"), Split::kTrain, 8, 2);
  CHECK_EQ(Available(episode) & Allow(kReset), 0);
  Draws draws{4};
  for (int i = 0; i < 30; ++i) Step(episode, {static_cast<uint8_t>(kUp + draws.Below(4))});
  CHECK(std::memcmp(episode.level, episode.start, kLevelBytes) != 0);
  CHECK(Available(episode) & Allow(kReset));
  const uint32_t tick = episode.tick;
  Step(episode, {kReset});
  CHECK_EQ(std::memcmp(episode.level, episode.start, kLevelBytes), 0);
  CHECK_EQ(episode.tick, tick + 1);  // it costs a step and turns no clock back
}

TEST(grid64_memory_match_first_frames_hide_the_faces) {
  // Where cards lie in the same places the first frames are equal, whatever their faces.
  const int game = FindGame("memory_match");
  Episode a = AtLevel(game, Split::kTrain, 1, 2);
  Episode b = a;
  constexpr int kFaces = 8;  // offset of the faces in the level: after two bit sets
  uint8_t* first = nullptr;
  for (int i = kFaces; i < kFaces + 25; ++i) {
    if (b.level[i] == 0) continue;
    if (!first) first = b.level + i;
    if (*first != b.level[i]) {
      std::swap(*first, b.level[i]);
      break;
    }
  }
  uint8_t mine[kCells];
  uint8_t theirs[kCells];
  CHECK(Hash(a) != Hash(b));
  Observe(a, {mine});
  Observe(b, {theirs});
  CHECK_EQ(Differing(mine, theirs), 0);
}

TEST(grid64_conveyor_click_reverses_every_belt_of_the_colour) {
  Episode episode = AtLevel(FindGame("conveyor"), Split::kTrain, 3, 3);
  std::vector<Action> plan;
  CHECK(Solve(episode, &plan));
  Action click;
  for (const Action& action : plan) {
    if (action.id == kClick) click = action;
  }
  CHECK_EQ(click.id, kClick);  // beyond the first levels there is no way without
  uint8_t before[kCells];
  uint8_t after[kCells];
  Observe(episode, {before});
  Step(episode, click);
  Observe(episode, {after});
  CHECK(Differing(before, after) > 20);
  Step(episode, {kClick, 0, 0});  // beside the board: nothing
  Step(episode, click);
  CHECK_EQ(std::memcmp(episode.level, episode.start, 144), 0);
}

}  // namespace
}  // namespace metabonk::grid64
