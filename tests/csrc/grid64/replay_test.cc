#include "games/grid64/replay.h"

#include <cstring>
#include <vector>

#include "check.h"
#include "grid64/player.h"

namespace metabonk::grid64 {
namespace {

std::vector<Action> SolvedLevels(int game, uint64_t seed, int levels) {
  Episode episode;
  Start(episode, game, Split::kTrain, seed);
  std::vector<Action> actions;
  for (int i = 0; i < levels; ++i) {
    std::vector<Action> plan;
    CHECK(Solve(episode, &plan));
    for (const Action& action : plan) Step(episode, action);
    actions.insert(actions.end(), plan.begin(), plan.end());
  }
  return actions;
}

TEST(grid64_replay_verifies_its_hash) {
  for (int game = 0; game < kGames; ++game) {
    const std::vector<Action> actions = SolvedLevels(game, 9, GameAt(game).levels);
    std::vector<uint8_t> bytes;
    CHECK(WriteReplay(game, Split::kTrain, 9, actions, &bytes).ok());
    CHECK(bytes.size() < 4096);
    ReplayResult result;
    CHECK(VerifyReplay(bytes, &result).ok());
    CHECK(result.status == GameStatus::kWin);
    CHECK_EQ(result.length, static_cast<uint32_t>(actions.size()));
    std::vector<uint8_t> other = bytes;
    other[sizeof(ReplayHeader)] = other[sizeof(ReplayHeader)] == kUp ? kDown : kUp;
    CHECK(!VerifyReplay(other, &result).ok());
  }
}

TEST(grid64_replay_refuses_what_is_not_one) {
  std::vector<uint8_t> bytes;
  CHECK(WriteReplay(0, Split::kTest, 1, SolvedLevels(0, 1, 0), &bytes).ok());
  ReplayResult result;
  for (size_t size = 0; size < bytes.size(); ++size) {
    CHECK(VerifyReplay({bytes.data(), size}, &result).code == Code::kCorrupt);
  }
  for (const size_t at : {size_t{0}, size_t{8}, size_t{12}, size_t{16}, size_t{40}, size_t{48}}) {
    std::vector<uint8_t> other = bytes;
    other[at] ^= 0x5A;
    CHECK(!VerifyReplay(other, &result).ok());
  }
  std::vector<Action> actions = SolvedLevels(0, 1, 5);
  actions.push_back({kUp});
  CHECK(WriteReplay(0, Split::kTrain, 1, actions, &bytes).code == Code::kInvalidArgument);
}

}  // namespace
}  // namespace metabonk::grid64
