#include "games/arena/replay.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "arena_menus/run.h"
#include "check.h"
#include "games/arena/numbers.h"
#include "support/math.h"

namespace metabonk::arena {
namespace {

Action Wild(Random& random) {
  Action action;
  float row[kActionColumns];
  for (float& value : row) {
    value = DrawBetween(random, -1.6f, 1.6f);
    if (DrawChance(random, 0.05f)) value = std::numeric_limits<float>::quiet_NaN();
    if (DrawChance(random, 0.05f)) value = std::numeric_limits<float>::infinity();
  }
  std::memcpy(&action, row, sizeof action);
  if (DrawChance(random, 0.3f)) action.choice = DrawBetween(random, -3.0f, 40.0f);
  return action;
}

bool Equal(const Action& a, const Action& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// How somebody plays: a direction for a while, now and then a button, choices in menus.
Action Play(Random& random, const World& world, Action before) {
  if (world.menus.screen != Screen::kPlaying)
    return Choose(1 + static_cast<int>(DrawBelow(random, 3)));
  if (DrawChance(random, 0.15f)) {
    before = Idle();
    SinCos(DrawBetween(random, 0.0f, 6.28f), &before.move[0], &before.move[1]);
    before.jump = DrawChance(random, 0.2f);
    before.ability = DrawChance(random, 0.1f);
  }
  before.choice = 0.0f;
  return before;
}

struct Recorded {
  std::vector<uint8_t> bytes;
  std::vector<Action> actions;
  uint64_t hash;
};

Recorded Record(const LevelSpec& spec, uint64_t seed, int decisions) {
  Run run(spec, seed);
  Random random = {seed ^ 99, 0};
  ReplayWriter writer;
  Recorded out;
  Action action = Idle();
  for (int i = 0; i < decisions && !run.world.done; ++i) {
    action = Play(random, run.world, action);
    RunDecision(run.world, run.level, action, *run.scratch);
    writer.Add(action);
    out.actions.push_back(Canonical(action));
  }
  out.hash = HashWorld(run.world);
  out.bytes = writer.Finish(spec, seed, out.hash);
  return out;
}

TEST(arena_replay_canonical_actions_stay_as_they_are) {
  Random random = {5, 0};
  for (int i = 0; i < 20000; ++i) {
    const Action once = Canonical(Wild(random));
    CHECK(Equal(once, Canonical(once)));
    CHECK(Length(once.move[0], once.move[1]) <= 1.008f);
    CHECK(std::abs(once.look[0]) <= 1.0f && std::abs(once.look[1]) <= 1.0f);
    CHECK(once.choice >= 0.0f && once.choice <= kMaxWidgets &&
          once.choice == std::floor(once.choice));
    CHECK((once.click[0] >= 0.0f) == (once.click[1] >= 0.0f));
    CHECK(once.jump == 0.0f || once.jump == 1.0f);
  }
}

TEST(arena_replay_canonical_keeps_what_matters) {
  Action action = Idle();
  action.move[0] = 0.6f;
  action.look[1] = -0.25f;
  action.fire = 0.5f;
  action.jump = 0.49f;
  action.choice = 7.0f;
  action.click[0] = 0.5f;
  action.click[1] = 1.0f;
  const Action kept = Canonical(action);
  CHECK_NEAR(kept.move[0], 0.6, 0.004);
  CHECK_NEAR(kept.look[1], -0.25, 0.004);
  CHECK_EQ(kept.fire, 1.0f);
  CHECK_EQ(kept.jump, 0.0f);
  CHECK_EQ(kept.choice, 7.0f);
  CHECK_NEAR(kept.click[0], 0.5, 0.0002);
  CHECK_EQ(kept.click[1], 1.0f);
}

TEST(arena_replay_holds_any_actions) {
  Random random = {9, 0};
  ReplayWriter writer;
  std::vector<Action> actions;
  for (int i = 0; i < 3000; ++i) {
    if (actions.empty() || DrawChance(random, 0.4f)) {
      actions.push_back(Wild(random));
    } else {
      actions.push_back(actions.back());
    }
    writer.Add(actions.back());
  }
  const LevelSpec spec = Quiet();
  const std::vector<uint8_t> bytes = writer.Finish(spec, 42, 17);
  ReplayReader reader;
  CHECK(reader.Open(bytes).ok());
  CHECK_EQ(reader.header().run_seed, uint64_t{42});
  CHECK_EQ(reader.header().final_hash, uint64_t{17});
  CHECK_EQ(reader.header().decisions, 3000u);
  CHECK_EQ(std::memcmp(&reader.header().spec, &spec, sizeof spec), 0);
  Action read;
  for (const Action& action : actions) {
    CHECK(reader.Next(&read));
    CHECK(Equal(read, Canonical(action)));
  }
  CHECK(!reader.Next(&read));
}

TEST(arena_replay_of_an_episode_is_small_and_verifies) {
  LevelSpec spec = DefaultSpec();
  const Recorded recorded = Record(spec, 11, 2700);
  CHECK(recorded.actions.size() > 200);
  CHECK(recorded.bytes.size() < 6000);
  uint64_t hash = 0;
  const Status status = VerifyReplay(recorded.bytes, &hash);
  CHECK(status.ok());
  CHECK_EQ(hash, recorded.hash);
}

TEST(arena_replay_verifies_with_a_random_time_step) {
  LevelSpec spec = DefaultSpec();
  spec.skip_min = 1;
  spec.skip_max = 9;
  spec.tier = 2;
  uint64_t hash = 0;
  CHECK(VerifyReplay(Record(spec, 12, 500).bytes, &hash).ok());
}

TEST(arena_replay_notices_another_action_seed_or_level) {
  const LevelSpec spec = DefaultSpec();
  const Recorded recorded = Record(spec, 13, 300);
  uint64_t hash = 0;
  for (int change = 0; change < 3; ++change) {
    ReplayWriter writer;
    for (size_t i = 0; i < recorded.actions.size(); ++i) {
      Action action = recorded.actions[i];
      if (change == 0 && i == 100) action.move[0] = action.move[0] > 0.0f ? -1.0f : 1.0f;
      writer.Add(action);
    }
    LevelSpec other = spec;
    if (change == 1) other.enemy_speed = 1.3f;
    const uint64_t seed = change == 2 ? 14 : 13;
    const Status status = VerifyReplay(writer.Finish(other, seed, recorded.hash), &hash);
    CHECK(status.code == Code::kCorrupt);
    CHECK_EQ(std::string(status.where), std::string("final_hash"));
  }
}

TEST(arena_replay_refuses_every_shorter_file_and_every_changed_byte) {
  const Recorded recorded = Record(Quiet(), 15, 60);
  ReplayReader reader;
  for (size_t size = 0; size < recorded.bytes.size(); ++size) {
    CHECK(!reader.Open(std::span(recorded.bytes).first(size)).ok());
  }
  for (size_t i = 0; i < recorded.bytes.size(); ++i) {
    if (i >= 16 && i < 32) continue;  // seed and final hash: any value is well-formed
    std::vector<uint8_t> bytes = recorded.bytes;
    bytes[i] ^= 0x10;
    CHECK(!reader.Open(bytes).ok());
  }
}

TEST(arena_replay_refuses_more_decisions_than_its_bytes_can_hold) {
  ReplayWriter writer;
  for (int i = 0; i < 4096; ++i) writer.Add(Idle());  // one record: a decision and 4095 repeats
  std::vector<uint8_t> bytes = writer.Finish(Quiet(), 1, 2);
  ReplayReader reader;
  CHECK(reader.Open(bytes).ok());
  CHECK_EQ(reader.header().decisions, 4096u);
  const size_t end = bytes.size();
  CHECK_EQ(bytes[end - 2], 0xFF);
  CHECK_EQ(bytes[end - 1], 0x1F);
  bytes[end - 2] = 0x80;  // the varint 4096: one more
  bytes[end - 1] = 0x20;
  const uint32_t decisions = 4097;
  std::memcpy(bytes.data() + 32, &decisions, sizeof decisions);
  const uint64_t hash = HashBody(std::span(bytes).subspan(kReplayHeader));
  std::memcpy(bytes.data() + 48, &hash, sizeof hash);
  CHECK(reader.Open(bytes).code == Code::kCorrupt);

  ReplayWriter longer;  // puts it into a record of its own
  for (int i = 0; i < 4097; ++i) longer.Add(Idle());
  const std::vector<uint8_t> more = longer.Finish(Quiet(), 1, 2);
  CHECK(reader.Open(more).ok());
  CHECK_EQ(reader.header().decisions, 4097u);
}

TEST(arena_replay_can_be_interrupted) {
  LevelSpec spec = DefaultSpec();
  spec.skip_min = spec.skip_max = 60;
  spec.sustain = 1;
  const Recorded recorded = Record(spec, 11, 100);
  uint64_t hash = 0;
  CHECK(VerifyReplay(recorded.bytes, &hash, [] { return false; }).ok());
  CHECK(VerifyReplay(recorded.bytes, &hash, [] { return true; }).code == Code::kUnavailable);
}

TEST(arena_replay_names_other_versions) {
  std::vector<uint8_t> bytes = Record(Quiet(), 16, 10).bytes;
  ReplayReader reader;
  bytes[4] = 2;
  CHECK(reader.Open(bytes).code == Code::kVersionMismatch);
  bytes[4] = 1;
  bytes[8] ^= 1;
  CHECK(reader.Open(bytes).code == Code::kVersionMismatch);
  bytes[0] = 'X';
  CHECK(reader.Open(bytes).code == Code::kCorrupt);
}

}  // namespace
}  // namespace metabonk::arena
