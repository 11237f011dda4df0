// Episodes: determinism, golden hashes, clones, masks, limits, and safety against any action.
#include "games/grid64/episode.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "grid64/player.h"

namespace metabonk::grid64 {
namespace {

struct Played {
  Episode episode;
  uint64_t frames = 0;  // hash over all observations
};

Played PlayRandomly(int game, Split split, uint64_t seed, int steps) {
  Played out;
  Start(out.episode, game, split, seed);
  Draws draws{seed};
  for (int i = 0; i < steps; ++i) {
    // Half of the time the solver's next action, so that later levels are reached too.
    Action action = RandomAction(out.episode, draws);
    std::vector<Action> plan;
    if (draws.Chance(80) && Solve(out.episode, &plan)) action = plan[0];
    Step(out.episode, action);
    uint8_t cells[kCells];
    uint8_t mask[kActionIds];
    int32_t levels;
    Observe(out.episode, {cells, mask, &levels});
    out.frames = HashBytes(out.frames, cells, kCells);
    out.frames = HashBytes(out.frames, mask, kActionIds) + static_cast<uint64_t>(levels);
  }
  return out;
}

TEST(grid64_golden_hashes) {
  // Rules, generators, sprites and random numbers: a change of any of them must be meant.
  const struct {
    const char* name;
    uint64_t state;
    uint64_t frames;
  } kGolden[] = {
      {"key_door", 0x3C82952AB4EAD337ull, 0xA027DD820E980204ull},
      {"t_maze", 0x562CC3657E4102D6ull, 0x7FA6278631DC4979ull},
      {"noisy_tv", 0xD7BA679EB64DC5FDull, 0x0E78F2E4F75BCE53ull},
      {"stall_clock", 0xEFCCA10374CD1051ull, 0xD189CF9F4E1B7C3Cull},
      {"push_blocks", 0x3C2F7471C57ED5B7ull, 0x74B604C8BD1BDE8Bull},
      {"click_switch", 0x357E7EB9C60F0496ull, 0x5C47C565347E4D10ull},
      {"ice_slide", 0xA90E487C6D28FA6Full, 0xA3DCE175E2BB5DB0ull},
      {"memory_match", 0xFB790EE228486737ull, 0x5262F14C27FCFCF2ull},
      {"conveyor", 0x9448350BCCDF0DFBull, 0x418CB610E0911A8Bull},
  };
  for (const auto& row : kGolden) {
    const Played played = PlayRandomly(FindGame(row.name), Split::kTrain, 20260, 300);
    if (Hash(played.episode) != row.state || played.frames != row.frames) {
      std::fprintf(stderr, "      {\"%s\", 0x%016llXull, 0x%016llXull},\n", row.name,
                   static_cast<unsigned long long>(Hash(played.episode)),
                   static_cast<unsigned long long>(played.frames));
    }
    CHECK_EQ(Hash(played.episode), row.state);
    CHECK_EQ(played.frames, row.frames);
  }
  CHECK_EQ(std::size(kGolden), static_cast<size_t>(kGames));
}

TEST(grid64_same_seed_and_actions_give_the_same_bits) {
  for (int game = 0; game < kGames; ++game) {
    const Played a = PlayRandomly(game, Split::kTest, 3, 120);
    const Played b = PlayRandomly(game, Split::kTest, 3, 120);
    const Played c = PlayRandomly(game, Split::kTest, 4, 120);
    CHECK_EQ(std::memcmp(&a.episode, &b.episode, sizeof(Episode)), 0);
    CHECK_EQ(a.frames, b.frames);
    CHECK(a.frames != c.frames);
  }
}

TEST(grid64_clone_in_the_middle_of_a_level_goes_on_equally) {
  for (int game = 0; game < kGames; ++game) {
    Episode episode = PlayRandomly(game, Split::kTrain, 11, 37).episode;
    Episode clone;
    std::memcpy(&clone, &episode, sizeof(Episode));
    Draws draws{1};
    for (int i = 0; i < 400; ++i) {
      const Action action = RandomAction(episode, draws);
      Step(episode, action);
      Step(clone, action);
      CHECK_EQ(Hash(episode), Hash(clone));
    }
  }
}

TEST(grid64_hash_depends_on_every_byte) {
  Episode episode;
  Start(episode, 0, Split::kTrain, 1);
  const uint64_t hash = Hash(episode);
  for (size_t i = 0; i < sizeof(Episode); ++i) {
    reinterpret_cast<uint8_t*>(&episode)[i] ^= 1;
    CHECK(Hash(episode) != hash);
    reinterpret_cast<uint8_t*>(&episode)[i] ^= 1;
  }
}

TEST(grid64_masked_actions_do_nothing_and_interact_does_something) {
  for (int game = 0; game < kGames; ++game) {
    Episode episode;
    Start(episode, game, Split::kTrain, 2);
    Draws draws{9};
    int offered[kActionIds] = {};
    for (int i = 0; i < 1500; ++i) {
      const ActionSet available = Available(episode);
      uint8_t mask[kActionIds];
      Observe(episode, {nullptr, mask, nullptr});
      CHECK(available != 0);
      Episode idle = episode;
      Step(idle, {});
      for (uint8_t id = 0; id < kActionIds && !episode.over; ++id) {
        CHECK_EQ(mask[id], available >> id & 1);
        Episode acted = episode;
        Step(acted, {id, 20, 20});
        const bool same = Hash(acted) == Hash(idle);
        offered[id] += available >> id & 1;
        if (!(available >> id & 1)) CHECK(same);
        if (id == kReset && available & 1) CHECK(!same);
        const bool waits = &GameAt(game) == &kStallClock;  // where interact means to wait
        if (id == kInteract && available >> id & 1) CHECK(same == waits);
      }
      std::vector<Action> plan;
      const bool plans = draws.Chance(70) && Solve(episode, &plan);
      Step(episode, plans ? plan[0] : RandomAction(episode, draws));
    }
    const bool clicks = offered[kClick] > 0;
    CHECK(clicks || offered[kUp] > 0);
  }
}

TEST(grid64_any_floats_are_safe_actions) {
  const float kNan = std::numeric_limits<float>::quiet_NaN();
  const float kInfinity = std::numeric_limits<float>::infinity();
  const float kBad[] = {kNan, kInfinity, -kInfinity, -1.0f, -1e30f, 1e30f, 7.0f, 255.0f, 256.0f};
  for (const float bad : kBad) {
    const float id[] = {bad, 1, 1};
    CHECK_EQ(ActionOf(id).id, kNoAction);
    const float x[] = {kClick, bad == 7.0f ? 64.0f : bad, 1};
    const float y[] = {kClick, 1, bad == 7.0f ? 64.0f : bad};
    CHECK_EQ(ActionOf(x).id, kNoAction);
    CHECK_EQ(ActionOf(y).id, kNoAction);
    const float unused[] = {kUp, bad, bad};  // only a click has coordinates
    CHECK_EQ(ActionOf(unused).id, kUp);
  }
  const float cut[] = {6.9f, 63.9f, 0.5f};
  const Action click = ActionOf(cut);
  CHECK_EQ(click.id, kClick);
  CHECK_EQ(click.x, 63);
  CHECK_EQ(click.y, 0);
  for (int game = 0; game < kGames; ++game) {  // bytes that no row can give, as a replay may hold
    Episode episode;
    Start(episode, game, Split::kTest, 1);
    Draws draws{3};
    for (int i = 0; i < 5000; ++i) {
      const uint64_t bits = draws.Bits();
      Step(episode, {static_cast<uint8_t>(bits % 9 == 8 ? bits >> 8 : bits % 8),
                     static_cast<uint8_t>(bits >> 16), static_cast<uint8_t>(bits >> 24)});
      uint8_t cells[kCells];
      Observe(episode, {cells});
      uint8_t highest = 0;
      for (const uint8_t cell : cells) highest = cell > highest ? cell : highest;
      CHECK(highest < 16);
    }
  }
}

TEST(grid64_step_limit_truncates_and_the_next_step_begins_anew) {
  for (int game = 0; game < kGames; ++game) {
    Episode episode;
    Start(episode, game, Split::kTrain, 5);
    const int limit = GameAt(game).step_limit;
    for (int i = 1; i <= limit; ++i) {
      const StepResult result = Step(episode, {});
      CHECK_EQ(result.truncated, i == limit);
      CHECK(!result.terminated && !result.is_reset);
    }
    CHECK(episode.status == GameStatus::kNotFinished);
    CHECK_EQ(Available(episode), Allow(kReset));
    const uint64_t before = HashBytes(0, episode.start, kLevelBytes);
    const StepResult result = Step(episode, {kUp});
    CHECK(result.is_reset && !result.truncated && result.reward == 0.0f);
    CHECK_EQ(episode.length, 0u);
    CHECK_EQ(episode.episode, 1u);
    CHECK(HashBytes(0, episode.start, kLevelBytes) != before);  // another seed, another level
  }
}

TEST(grid64_a_won_episode_gives_one_per_level_and_terminates) {
  for (int game = 0; game < kGames; ++game) {
    Episode episode;
    Start(episode, game, Split::kTest, 77);
    float sum = 0;
    StepResult result;
    while (!result.terminated && !result.truncated) {
      std::vector<Action> plan;
      CHECK(Solve(episode, &plan));
      for (const Action& action : plan) {
        result = Step(episode, action);
        sum += result.reward;
      }
    }
    CHECK(result.terminated && !result.truncated);
    CHECK(episode.status == GameStatus::kWin);
    CHECK_EQ(sum, static_cast<float>(GameAt(game).levels));
    CHECK_EQ(static_cast<int>(episode.levels_completed), static_cast<int>(GameAt(game).levels));
  }
}

TEST(grid64_games_can_be_lost) {
  for (const Game* game : {&kTMaze, &kIceSlide}) {
    int lost = 0;
    for (uint64_t seed = 0; seed < 100; ++seed) {
      Episode episode = AtLevel(FindGame(game->name), Split::kTrain, seed, 3);
      Draws draws{seed};
      while (!episode.over && episode.levels_completed == 3) {
        Step(episode, RandomAction(episode, draws));
      }
      lost += episode.status == GameStatus::kGameOver;
    }
    CHECK(lost > 10);
  }
}

TEST(grid64_ten_thousand_steps_allocate_nothing) {
  for (int game = 0; game < kGames; ++game) {
    Episode episode;
    Start(episode, game, Split::kTrain, 1);
    Draws draws{2};
    uint8_t cells[kCells];
    int resets = 0;
    const size_t before = check::Allocations();
    for (int i = 0; i < 10000; ++i) {
      resets += Step(episode, RandomAction(episode, draws)).is_reset;
      Observe(episode, {cells});
    }
    CHECK_EQ(check::Allocations(), before);
    CHECK(resets > 10);  // so that making levels is part of it
  }
}

}  // namespace
}  // namespace metabonk::grid64
