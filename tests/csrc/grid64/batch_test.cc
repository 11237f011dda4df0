// Batches: equal to single episodes whatever the threads and the order, clones, allocations.
#include "games/grid64/batch.h"

#include <cstring>
#include <vector>

#include "check.h"
#include "grid64/player.h"

namespace metabonk::grid64 {
namespace {

// Arrays that the tests own, filled with rubbish so that what is not written shows.
struct Rows {
  explicit Rows(size_t rows)
      : cells(rows * kCells, 99),
        mask(rows * kActionIds, 99),
        levels(rows, -1),
        reward(rows, -1.0f),
        flags(3 * rows, 7) {
    auto* flag = reinterpret_cast<bool*>(flags.data());
    view = {cells.data(), mask.data(), levels.data(),  reward.data(),
            flag,         flag + rows, flag + 2 * rows};
  }
  uint64_t Hash() const {
    uint64_t hash = HashBytes(0, cells.data(), cells.size());
    hash = HashBytes(hash, mask.data(), mask.size());
    hash = HashBytes(hash, levels.data(), levels.size() * 4);
    hash = HashBytes(hash, reward.data(), reward.size() * 4);
    return HashBytes(hash, flags.data(), flags.size());
  }
  std::vector<uint8_t> cells, mask;
  std::vector<int32_t> levels;
  std::vector<float> reward;
  std::vector<uint8_t> flags;
  Buffers view;
};

std::vector<float> RandomRows(int count, Draws& draws) {
  std::vector<float> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back(static_cast<float>(draws.Below(kActionIds)));
    rows.push_back(static_cast<float>(draws.Below(kSide)));
    rows.push_back(static_cast<float>(draws.Below(kSide)));
  }
  return rows;
}

std::vector<uint64_t> Seeds(int count, uint64_t first) {
  std::vector<uint64_t> seeds;
  for (int i = 0; i < count; ++i) seeds.push_back(first + static_cast<uint64_t>(i));
  return seeds;
}

TEST(grid64_batch_equals_single_episodes_step_by_step) {
  constexpr int kEnvs = 37;  // not a multiple of a block
  for (int game = 0; game < kGames; ++game) {
    Batch batch(game, Split::kTest, kEnvs, 2);
    Rows together(kEnvs);
    Rows alone(kEnvs);
    const std::vector<uint64_t> seeds = Seeds(kEnvs, 100);
    std::vector<Episode> episodes(kEnvs);
    batch.Reset(seeds.data(), together.view);
    for (int i = 0; i < kEnvs; ++i) {
      Start(episodes[i], game, Split::kTest, seeds[static_cast<size_t>(i)]);
      Observe(episodes[i], {alone.view.cells + i * kCells, alone.view.action_mask + i * kActionIds,
                            alone.view.levels_completed + i});
      alone.reward[i] = 0;
      for (int flag = 0; flag < 3; ++flag) alone.flags[flag * kEnvs + i] = flag == 2;  // is_reset
    }
    CHECK_EQ(together.Hash(), alone.Hash());
    Draws draws{static_cast<uint64_t>(game)};
    for (int step = 0; step < 350; ++step) {  // past every step limit
      const std::vector<float> actions = RandomRows(kEnvs, draws);
      CHECK(batch.StepAll(actions.data(), together.view).ok());
      for (int i = 0; i < kEnvs; ++i) {
        const StepResult result = Step(episodes[i], ActionOf(actions.data() + 3 * i));
        Observe(episodes[i],
                {alone.view.cells + i * kCells, alone.view.action_mask + i * kActionIds,
                 alone.view.levels_completed + i});
        alone.reward[i] = result.reward;
        alone.flags[i] = result.terminated;
        alone.flags[kEnvs + i] = result.truncated;
        alone.flags[2 * kEnvs + i] = result.is_reset;
      }
      CHECK_EQ(together.Hash(), alone.Hash());
    }
  }
}

TEST(grid64_batch_hash_is_the_same_for_any_threads_and_position) {
  constexpr int kEnvs = 64;
  const int game = FindGame("conveyor");
  uint64_t first = 0;
  for (const int threads : {1, 2, 3, 8}) {
    Batch batch(game, Split::kTrain, kEnvs, threads);
    const std::vector<uint64_t> seeds = Seeds(kEnvs, 5);
    batch.Reset(seeds.data(), {});
    Draws draws{1};
    for (int step = 0; step < 150; ++step) {
      const std::vector<float> actions = RandomRows(kEnvs, draws);
      CHECK(batch.StepAll(actions.data(), {}).ok());
    }
    uint64_t hash = 0;
    for (int i = 0; i < kEnvs; ++i) hash = Mix64(hash) ^ Hash(batch.episode(i));
    if (first == 0) first = hash;
    CHECK_EQ(hash, first);
  }
}

TEST(grid64_batch_of_few_layouts_plays_those_of_the_first_seeds) {
  constexpr int kEnvs = 24;
  constexpr uint64_t kLayouts = 5;
  const int game = FindGame("ice_slide");
  Batch batch(game, Split::kTrain, kEnvs, 2, true, kLayouts);
  const std::vector<uint64_t> seeds = Seeds(kEnvs, 100);
  Rows rows(kEnvs);
  batch.Reset(seeds.data(), rows.view);
  Draws draws{7};
  int begun = 0;
  for (int step = 0; step < 400; ++step) {
    for (int i = 0; i < kEnvs; ++i) {
      const Episode& episode = batch.episode(i);
      if (episode.length != 0) continue;
      ++begun;
      const uint64_t first =
          episode.episode == 0 ? episode.seed : HashDraw(episode.seed, episode.episode);
      uint8_t level[kLevelBytes];
      MakeLevel(GameAt(game), Split::kTrain, first % kLayouts, 0, level);
      CHECK(std::memcmp(level, episode.start, kLevelBytes) == 0);
    }
    CHECK(batch.StepAll(RandomRows(kEnvs, draws).data(), rows.view).ok());
  }
  CHECK(begun > 4 * kEnvs);
  std::vector<uint8_t> bytes;
  CHECK(batch.Clone(&bytes).ok());
  Batch other(game, Split::kTrain, kEnvs, 2);
  CHECK(other.Restore(bytes).code == Code::kInvalidArgument);
  CHECK(batch.Restore(bytes).ok());
}

TEST(grid64_batch_send_and_recv_give_what_steps_give) {
  constexpr int kEnvs = 24;
  constexpr int kReady = 8;
  const int game = FindGame("noisy_tv");
  Batch batch(game, Split::kTrain, kEnvs, 2);
  Rows rows(kReady);
  Rows single(1);
  const std::vector<uint64_t> seeds = Seeds(kEnvs, 3);
  batch.Reset(seeds.data(), {});
  std::vector<Episode> episodes(kEnvs);
  std::vector<Draws> draws;
  std::vector<float> actions;
  std::vector<int32_t> ids;
  for (int i = 0; i < kEnvs; ++i) {
    Start(episodes[i], game, Split::kTrain, seeds[static_cast<size_t>(i)]);
    draws.push_back({static_cast<uint64_t>(i)});
    const std::vector<float> row = RandomRows(1, draws.back());
    actions.insert(actions.end(), row.begin(), row.end());
    ids.push_back(i);
  }
  CHECK(batch.Send(actions.data(), ids.data(), kEnvs).ok());
  CHECK(batch.StepAll(actions.data(), {}).code == Code::kUnavailable);
  CHECK(batch.Send(actions.data(), ids.data(), 1).code == Code::kInvalidArgument);
  for (int round = 0; round < 300; ++round) {
    CHECK(batch.Recv(rows.view, ids.data(), kReady).ok());
    std::vector<float> next;
    for (int i = 0; i < kReady; ++i) {
      const auto env = static_cast<size_t>(ids[static_cast<size_t>(i)]);
      const StepResult result = Step(episodes[env], ActionOf(actions.data() + 3 * env));
      Observe(episodes[env],
              {single.view.cells, single.view.action_mask, single.view.levels_completed});
      CHECK_EQ(std::memcmp(single.view.cells, rows.view.cells + i * kCells, kCells), 0);
      CHECK_EQ(
          std::memcmp(single.view.action_mask, rows.view.action_mask + i * kActionIds, kActionIds),
          0);
      CHECK_EQ(rows.reward[i], result.reward);
      CHECK_EQ(rows.view.is_reset[i], result.is_reset);
      const std::vector<float> row = RandomRows(1, draws[env]);
      std::memcpy(actions.data() + 3 * env, row.data(), 12);
      next.insert(next.end(), row.begin(), row.end());
    }
    CHECK(batch.Send(next.data(), ids.data(), kReady).ok());
  }
  batch.Reset(seeds.data(), {});  // with environments in flight
  CHECK(batch.Recv(rows.view, ids.data(), 1).code == Code::kUnavailable);
  CHECK(batch.StepAll(actions.data(), {}).ok());
}

TEST(grid64_batch_clone_and_restore_round_trip) {
  constexpr int kEnvs = 20;
  for (int game = 0; game < kGames; ++game) {
    Batch batch(game, Split::kTrain, kEnvs, 1);
    Rows rows(kEnvs);
    const std::vector<uint64_t> seeds = Seeds(kEnvs, 1);
    batch.Reset(seeds.data(), {});
    Draws draws{2};
    for (int i = 0; i < 29; ++i) batch.StepAll(RandomRows(kEnvs, draws).data(), {});
    std::vector<uint8_t> state;
    std::vector<uint8_t> one;
    CHECK(batch.Clone(&state).ok());
    CHECK(batch.CloneOne(7, &one).ok());
    const std::vector<float> actions = RandomRows(kEnvs, draws);
    uint64_t first = 0;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 50; ++i) batch.StepAll(actions.data(), rows.view);
      if (round == 0) {
        first = rows.Hash();
        CHECK(batch.Restore(state).ok());
      }
      CHECK_EQ(rows.Hash(), first);
    }
    CHECK(batch.RestoreOne(3, one).ok());
    std::vector<uint8_t> again;
    CHECK(batch.CloneOne(3, &again).ok());
    CHECK(again == one);
  }
}

TEST(grid64_batch_refuses_states_that_are_not_its_own) {
  Batch batch(0, Split::kTrain, 4, 1);
  Batch other(1, Split::kTrain, 4, 1);
  Batch test(0, Split::kTest, 4, 1);
  std::vector<uint8_t> state;
  CHECK(batch.Clone(&state).ok());
  const uint64_t before = Hash(batch.episode(2));
  CHECK(other.Restore(state).code == Code::kInvalidArgument);
  CHECK(test.Restore(state).code == Code::kInvalidArgument);
  CHECK(batch.RestoreOne(0, state).code == Code::kInvalidArgument);
  for (size_t size : {size_t{0}, size_t{20}, state.size() - 1}) {
    CHECK(batch.Restore({state.data(), size}).code == Code::kCorrupt);
  }
  for (size_t at = 0; at < state.size(); at += 7) {
    state[at] ^= 1;
    CHECK(!batch.Restore(state).ok());
    state[at] ^= 1;
  }
  CHECK_EQ(Hash(batch.episode(2)), before);
}

// The checksum keeps no forger out: what is restored may be anything, but never leads astray. The
// sanitizers watch.
TEST(grid64_batch_forged_states_never_lead_astray) {
  constexpr size_t kHead = 56;
  for (int game = 0; game < kGames; ++game) {
    Batch batch(game, Split::kTrain, 1, 1);
    Rows rows(1);
    Draws draws{static_cast<uint64_t>(game)};
    for (int i = 0; i < 20; ++i) batch.StepAll(RandomRows(1, draws).data(), rows.view);
    std::vector<uint8_t> good;
    CHECK(batch.Clone(&good).ok());
    CHECK_EQ(good.size(), kHead + sizeof(Episode));
    int accepted = 0;
    constexpr int kTrials = 400;
    for (int trial = 0; trial < kTrials; ++trial) {
      std::vector<uint8_t> bytes = good;
      const int level = static_cast<int>(kHead + offsetof(Episode, level));
      const int size = static_cast<int>(GameAt(game).level_bytes);
      for (int i = draws.Below(4); i >= 0; --i) {
        int at = draws.Between(level - 12, level + size - 1);  // the counters before it, too
        if (draws.Chance(20)) at = level + size - 1 - draws.Below(8);
        if (draws.Chance(20)) at += static_cast<int>(kLevelBytes);
        bytes[static_cast<size_t>(at)] = static_cast<uint8_t>(
            draws.Chance(50) ? draws.Below(256) : bytes[static_cast<size_t>(at)] ^ 1);
      }
      const uint64_t checksum = HashBytes(0, bytes.data() + kHead, bytes.size() - kHead);
      std::memcpy(bytes.data() + kHead - sizeof(checksum), &checksum, sizeof(checksum));
      const uint64_t before = Hash(batch.episode(0));
      if (!batch.Restore(bytes).ok()) {
        CHECK_EQ(Hash(batch.episode(0)), before);
        continue;
      }
      ++accepted;
      std::vector<Action> plan;
      if (trial % 16 == 0) Solve(batch.episode(0), &plan);
      for (int i = 0; i < 12; ++i) batch.StepAll(RandomRows(1, draws).data(), rows.view);
      for (const uint8_t cell : rows.cells) CHECK(cell < 16);
    }
    CHECK(accepted > 0 && accepted < kTrials);
  }
}

TEST(grid64_batch_ten_thousand_steps_allocate_nothing) {
  constexpr int kEnvs = 32;
  Batch batch(FindGame("push_blocks"), Split::kTrain, kEnvs, 2);
  Rows rows(kEnvs);
  const std::vector<uint64_t> seeds = Seeds(kEnvs, 1);
  batch.Reset(seeds.data(), rows.view);
  Draws draws{2};
  const std::vector<float> actions = RandomRows(kEnvs, draws);
  std::vector<int32_t> ids;
  for (int i = 0; i < kEnvs; ++i) ids.push_back(i);
  CHECK(batch.Send(actions.data(), ids.data(), kEnvs).ok());  // makes the queue
  CHECK(batch.Recv(rows.view, ids.data(), kEnvs).ok());
  const size_t before = check::Allocations();
  for (int i = 0; i < 10000; ++i) batch.StepAll(actions.data(), rows.view);
  for (int i = 0; i < 100; ++i) {
    batch.Send(actions.data(), ids.data(), kEnvs);
    batch.Recv(rows.view, ids.data(), kEnvs);
  }
  CHECK_EQ(check::Allocations(), before);
}

}  // namespace
}  // namespace metabonk::grid64
