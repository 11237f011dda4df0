// Levels: all can be finished, few by chance, later ones are longer, and the splits share nothing.
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "grid64/player.h"

namespace metabonk::grid64 {
namespace {

constexpr Split kSplits[] = {Split::kTrain, Split::kTest};

// Plays the solver's plan; true if exactly the last action finishes the level.
bool SolverFinishes(Episode episode, size_t* length) {
  const int level = episode.levels_completed;
  std::vector<Action> plan;
  if (!Solve(episode, &plan)) return false;
  *length = plan.size();
  for (size_t i = 0; i < plan.size(); ++i) {
    if (!(Available(episode) >> plan[i].id & 1)) return false;  // never plans what is masked
    Step(episode, plan[i]);
    if (episode.over && i + 1 < plan.size()) return false;
    if ((episode.levels_completed == level + 1) != (i + 1 == plan.size())) return false;
  }
  return episode.levels_completed == level + 1;
}

TEST(grid64_solver_finishes_every_level_of_both_splits) {
  for (int game = 0; game < kGames; ++game) {
    for (const Split split : kSplits) {
      int finished = 0;
      double first = 0;
      double last = 0;
      const int levels = GameAt(game).levels;
      for (int i = 0; i < 500; ++i) {
        size_t length = 0;
        finished += SolverFinishes(AtLevel(game, split, 1000u + i, i % levels), &length);
        if (i % levels == 0) first += static_cast<double>(length);
        if (i % levels == levels - 1) last += static_cast<double>(length);
      }
      if (finished != 500) std::fprintf(stderr, "%s: %d of 500\n", GameAt(game).name, finished);
      CHECK_EQ(finished, 500);
      CHECK(last > 1.05 * first);  // difficulty rises
    }
  }
}

TEST(grid64_random_play_finishes_few_levels) {
  // Shares of 500 levels, all difficulties alike; margins of about four standard errors.
  const struct {
    const char* name;
    double most;
  } kMost[] = {{"key_door", .03},    {"t_maze", .20},       {"noisy_tv", .03},
               {"stall_clock", .03}, {"push_blocks", .14},  {"click_switch", .14},
               {"ice_slide", .28},   {"memory_match", .18}, {"conveyor", .14}};
  for (const auto& row : kMost) {
    const int game = FindGame(row.name);
    CHECK(game >= 0);
    int finished = 0;
    for (int i = 0; i < 500; ++i) {
      const int level = i % GameAt(game).levels;
      Episode episode = AtLevel(game, kSplits[i % 2], 5000u + i, level);
      Draws draws{static_cast<uint64_t>(i)};
      while (!episode.over && episode.levels_completed == level) {
        Step(episode, RandomAction(episode, draws));
      }
      finished += episode.levels_completed > level;
    }
    if (finished > row.most * 500) std::fprintf(stderr, "%s: %d\n", row.name, finished);
    CHECK(finished <= row.most * 500);
  }
}

TEST(grid64_random_play_never_wins_an_episode) {
  for (int game = 0; game < kGames; ++game) {
    int won = 0;
    for (uint64_t seed = 0; seed < 200; ++seed) {
      Episode episode;
      Start(episode, game, Split::kTrain, seed);
      Draws draws{seed};
      while (!episode.over) Step(episode, RandomAction(episode, draws));
      won += episode.status == GameStatus::kWin;
    }
    CHECK_EQ(won, 0);
  }
}

// Every frame that random play from many levels shows, as a set of texts.
std::set<std::string> Frames(int game, Split split, int levels, int steps) {
  std::set<std::string> frames;
  for (int i = 0; i < levels; ++i) {
    const int level = i % GameAt(game).levels;
    Episode episode = AtLevel(game, split, static_cast<uint64_t>(i), level);
    Draws draws{static_cast<uint64_t>(i)};
    for (int step = 0; step <= steps && episode.levels_completed == level; ++step) {
      uint8_t cells[kCells];
      Observe(episode, {cells});
      frames.emplace(reinterpret_cast<const char*>(cells), kCells);
      if (episode.over) break;
      Step(episode, RandomAction(episode, draws));
    }
  }
  return frames;
}

TEST(grid64_splits_share_no_layout_and_no_frame) {
  for (int game = 0; game < kGames; ++game) {
    std::set<uint64_t> layouts[2];
    for (const Split split : kSplits) {
      for (int i = 0; i < 1000; ++i) {
        alignas(8) uint8_t level[kLevelBytes];
        MakeLevel(GameAt(game), split, static_cast<uint64_t>(i), i % GameAt(game).levels, level);
        CHECK(SplitOf(GameAt(game), level) == split);  // disjoint by construction ...
        layouts[static_cast<int>(split)].insert(GameAt(game).layout(level));
      }
    }
    for (const uint64_t layout : layouts[0]) CHECK(!layouts[1].contains(layout));  // ... and seen
    CHECK(layouts[0].size() > 500);  // and not for lack of variety
    const std::set<std::string> train = Frames(game, Split::kTrain, 150, 20);
    for (const std::string& frame : Frames(game, Split::kTest, 150, 20)) {
      CHECK(!train.contains(frame));
    }
  }
}

TEST(grid64_layout_stays_the_same_through_a_level) {
  for (int game = 0; game < kGames; ++game) {
    for (int level = 0; level < GameAt(game).levels; ++level) {
      Episode episode = AtLevel(game, Split::kTest, 7, level);
      const uint64_t layout = GameAt(game).layout(episode.level);
      std::vector<Action> plan;
      CHECK(Solve(episode, &plan));
      plan.pop_back();
      for (const Action& action : plan) {
        Step(episode, action);
        CHECK_EQ(GameAt(game).layout(episode.level), layout);
      }
    }
  }
}

TEST(grid64_generating_a_level_takes_a_bounded_number_of_draws) {
  for (int game = 0; game < kGames; ++game) {
    int most = 0;
    for (int i = 0; i < 1000; ++i) {
      alignas(8) uint8_t level[kLevelBytes];
      const int draws = MakeLevel(GameAt(game), Split::kTrain, static_cast<uint64_t>(i),
                                  i % GameAt(game).levels, level);
      most = draws > most ? draws : most;
    }
    CHECK(most < 1000);
  }
}

TEST(grid64_solver_goes_on_from_the_middle_of_random_play) {
  // Wherever random play leads, the level can still be finished, if need be after a RESET.
  for (int game = 0; game < kGames; ++game) {
    for (uint64_t seed = 0; seed < 60; ++seed) {
      Episode episode = AtLevel(game, Split::kTrain, seed, static_cast<int>(seed % 5));
      Draws draws{seed};
      for (int i = 0; i < 15 && !episode.over; ++i) Step(episode, RandomAction(episode, draws));
      if (episode.over) continue;
      const int level = episode.levels_completed;
      std::vector<Action> plan;
      CHECK(Solve(episode, &plan));
      for (const Action& action : plan) {
        if (!episode.over) Step(episode, action);
      }
      CHECK(episode.levels_completed == level + 1 || episode.tick >= GameAt(game).step_limit);
    }
  }
}

}  // namespace
}  // namespace metabonk::grid64
