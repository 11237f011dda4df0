// Batches: equal to single arenas whatever the threads, the place and the order; clones; lost
// frames; rewards; no allocations.
#include "games/arena/batch.h"

#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "arena/scene.h"
#include "check.h"
#include "games/batch.h"

namespace metabonk::arena {
namespace {

// Arrays for n environments, as a learner would own them.
struct Arrays {
  explicit Arrays(int n, size_t pixels = 0)
      : state(Size(n, kStateFeatures)),
        entities(Size(n, kNearestEntities * kEntityFeatures)),
        dt(Size(n, 1)),
        action_mask(Size(n, kActionMask)),
        frame(Size(n, 1) * pixels),
        reward(Size(n, 1)),
        terminated(Size(n, 1)),
        truncated(Size(n, 1)),
        is_reset(Size(n, 1)) {
    OutputRow& first = buffers.first;
    first.observation.state = state.data();
    first.observation.entities = entities.data();
    first.observation.dt = dt.data();
    first.observation.action_mask = action_mask.data();
    first.pixels = pixels > 0 ? frame.data() : nullptr;
    first.reward = reward.data();
    first.terminated = terminated.data();
    first.truncated = truncated.data();
    first.is_reset = is_reset.data();
  }
  static size_t Size(int n, int each) { return static_cast<size_t>(n) * static_cast<size_t>(each); }
  bool Ended(size_t i) const { return terminated[i] || truncated[i]; }

  std::vector<float> state, entities, dt;
  std::vector<uint8_t> action_mask, frame;
  std::vector<float> reward;
  std::vector<uint8_t> terminated, truncated, is_reset;
  BatchBuffers buffers;
};

LevelSpec Lively() {
  LevelSpec spec = DefaultSpec();
  spec.spawn_rate = 4.0f;
  spec.start_enemies = 30;
  spec.enemy_damage = 3.0f;
  spec.duration = 20.0f;
  spec.skip_min = 1;
  spec.skip_max = 7;
  spec.drop_rate = 0.3f;
  return spec;
}

std::vector<float> Actions(int n, uint64_t first_seed, int time) {
  std::vector<float> rows(Arrays::Size(n, kActionColumns));
  for (int i = 0; i < n; ++i) {
    const Action action = Script(first_seed + static_cast<uint64_t>(i), time);
    std::memcpy(rows.data() + Arrays::Size(i, kActionColumns), &action, sizeof(action));
  }
  return rows;
}

std::vector<uint64_t> Seeds(int n, uint64_t first) {
  std::vector<uint64_t> seeds(static_cast<size_t>(n));
  std::iota(seeds.begin(), seeds.end(), first);
  return seeds;
}

BatchSettings Of(int n, int threads) {
  BatchSettings settings;
  settings.num_envs = n;
  settings.threads = threads;
  return settings;
}

std::vector<uint64_t> HashesOf(const Batch& batch) {
  std::vector<uint64_t> hashes;
  for (int i = 0; i < batch.settings().num_envs; ++i) {
    hashes.push_back(HashWorld(batch.environment(i).episode().world));
  }
  return hashes;
}

TEST(arena_batch_threads_and_places_do_not_matter) {
  constexpr int kEnvs = 9;
  const LevelSpec spec = Lively();
  std::vector<std::unique_ptr<Batch>> batches;
  std::vector<std::unique_ptr<Arrays>> arrays;
  for (const int threads : {1, 2, 4}) {
    batches.push_back(std::make_unique<Batch>(std::span(&spec, 1), Of(kEnvs, threads)));
    arrays.push_back(std::make_unique<Arrays>(kEnvs));
    batches.back()->Reset(Seeds(kEnvs, 50).data(), arrays.back()->buffers);
  }
  Batch alone(std::span(&spec, 1), Of(1, 1));  // the last environment, by itself
  Arrays one(1);
  alone.Reset(Seeds(1, 50 + kEnvs - 1).data(), one.buffers);
  int resets = 0;
  for (int t = 0; t < 700; ++t) {
    const std::vector<float> actions = Actions(kEnvs, 50, t);
    for (size_t b = 0; b < batches.size(); ++b)
      batches[b]->Step(actions.data(), arrays[b]->buffers);
    alone.Step(actions.data() + Arrays::Size(kEnvs - 1, kActionColumns), one.buffers);
    for (size_t b = 1; b < batches.size(); ++b) {
      CHECK(arrays[b]->state == arrays[0]->state);
      CHECK(arrays[b]->entities == arrays[0]->entities);
      CHECK(arrays[b]->dt == arrays[0]->dt);
      CHECK(arrays[b]->reward == arrays[0]->reward);
      CHECK(arrays[b]->terminated == arrays[0]->terminated);
      CHECK(arrays[b]->is_reset == arrays[0]->is_reset);
    }
    CHECK(std::equal(one.state.begin(), one.state.end(), arrays[0]->state.end() - kStateFeatures));
    resets += std::accumulate(arrays[0]->is_reset.begin(), arrays[0]->is_reset.end(), 0);
  }
  CHECK(resets > 3);
  CHECK(HashesOf(*batches[1]) == HashesOf(*batches[0]));
  CHECK(HashesOf(*batches[2]) == HashesOf(*batches[0]));
  CHECK_EQ(HashesOf(alone)[0], HashesOf(*batches[0]).back());
}

TEST(arena_batch_send_and_recv_equal_steps) {
  constexpr int kEnvs = 6;
  constexpr int kRows = 2;
  const LevelSpec spec = Lively();
  BatchSettings settings = Of(kEnvs, 2);
  settings.batch_size = kRows;
  Batch async(std::span(&spec, 1), settings);
  for (int i = 0; i < kEnvs; ++i) async.environment(i).Reset(7 + static_cast<uint64_t>(i));
  Arrays got(kRows);
  std::vector<int> time(kEnvs, 0);
  const auto send = [&](int env) {
    const Action action = Script(7 + static_cast<uint64_t>(env), time[static_cast<size_t>(env)]++);
    const int32_t id = env;
    CHECK(async.Send(&action.move[0], &id, 1).ok());
  };
  for (int i = 0; i < kEnvs; ++i) send(i);
  const std::vector<float> row(kActionColumns, 0.0f);
  const int32_t unknown = kEnvs;
  CHECK(async.Send(row.data(), &unknown, 1).code == Code::kInvalidArgument);
  int32_t ids[kRows];
  for (int i = 0; i < 600; ++i) {
    CHECK(async.Recv(ids, got.buffers).ok());
    for (int k = 0; k < kRows; ++k) {
      // The row is that of the environment named beside it.
      Arrays one(1);
      async.environment(ids[k]).Write(one.buffers.Row(0, 0));
      CHECK(std::equal(one.state.begin(), one.state.end(),
                       got.state.begin() + Arrays::Size(k, kStateFeatures)));
      send(ids[k]);
    }
    const int32_t flying = ids[0];
    CHECK(async.Send(row.data(), &flying, 1).code == Code::kInvalidArgument);
  }
  for (int i = 0; i < kEnvs / kRows; ++i) CHECK(async.Recv(ids, got.buffers).ok());
  CHECK(!async.busy());
  CHECK(async.Recv(ids, got.buffers).code == Code::kUnavailable);
  const auto scratch = std::make_unique<Scratch>();
  for (int i = 0; i < kEnvs; ++i) {
    Environment alone;
    alone.Configure(spec, true, 0, 0);
    alone.Reset(7 + static_cast<uint64_t>(i));
    for (int t = 0; t < time[static_cast<size_t>(i)]; ++t) {
      alone.Step(Script(7 + static_cast<uint64_t>(i), t), *scratch);
    }
    CHECK_EQ(HashesOf(async)[static_cast<size_t>(i)], HashWorld(alone.episode().world));
  }
}

TEST(arena_batch_clones_go_on_bit_for_bit) {
  constexpr int kEnvs = 4;
  const LevelSpec spec = Lively();
  Batch batch(std::span(&spec, 1), Of(kEnvs, 1));
  Arrays arrays(kEnvs);
  batch.Reset(Seeds(kEnvs, 1).data(), arrays.buffers);
  for (int t = 0; t < 137; ++t) batch.Step(Actions(kEnvs, 1, t).data(), arrays.buffers);
  std::vector<uint8_t> snapshot(batch.SnapshotBytes());
  batch.Save(snapshot.data());
  Arrays first(kEnvs);
  for (int t = 0; t < 400; ++t) batch.Step(Actions(kEnvs, 2, t).data(), first.buffers);

  Batch other(std::span(&spec, 1), Of(kEnvs, 2));  // has played something else meanwhile
  Arrays second(kEnvs);
  other.Reset(Seeds(kEnvs, 900).data(), second.buffers);
  CHECK(other.Load(snapshot).ok());
  other.Write(second.buffers);
  CHECK(second.state == arrays.state);
  CHECK(second.dt == arrays.dt);
  for (int t = 0; t < 400; ++t) other.Step(Actions(kEnvs, 2, t).data(), second.buffers);
  CHECK(second.state == first.state);
  CHECK(HashesOf(other) == HashesOf(batch));
  CHECK_EQ(batch.environment(0).episode().return_sum, other.environment(0).episode().return_sum);
}

TEST(arena_batch_episodes_follow_each_other) {
  LevelSpec spec = Flat();
  spec.duration = 1.0f;
  spec.skip_min = spec.skip_max = 20;
  Batch batch(std::span(&spec, 1), Of(1, 1));
  Arrays arrays(1);
  batch.Reset(Seeds(1, 3).data(), arrays.buffers);
  const uint64_t first_seed = batch.environment(0).episode().world.run_seed;
  CHECK_EQ(first_seed, 3u);
  CHECK_EQ(arrays.is_reset[0], 1);
  std::vector<int> pattern;
  for (int t = 0; t < 8; ++t) {
    batch.Step(Actions(1, 1, t).data(), arrays.buffers);
    pattern.push_back(arrays.Ended(0) ? 2 : arrays.is_reset[0]);
    if (arrays.is_reset[0]) CHECK_EQ(arrays.reward[0], 0.0f);
  }
  CHECK((pattern == std::vector<int>{0, 0, 2, 1, 0, 0, 2, 1}));
  CHECK_EQ(arrays.terminated[0], 0);
  CHECK(batch.environment(0).episode().world.run_seed != first_seed);
  CHECK_EQ(batch.environment(0).episode().number, 2u);
}

TEST(arena_batch_limits_truncate_and_deaths_terminate) {
  LevelSpec spec = Flat();
  spec.max_ticks = 40;
  spec.skip_min = spec.skip_max = 4;
  Batch limited(std::span(&spec, 1), Of(1, 1));
  Arrays arrays(1);
  limited.Reset(Seeds(1, 3).data(), arrays.buffers);
  int steps = 0;
  while (!arrays.Ended(0) && steps < 100) {
    limited.Step(Actions(1, 1, steps++).data(), arrays.buffers);
  }
  CHECK_EQ(steps, 10);
  CHECK_EQ(arrays.truncated[0], 1);
  CHECK_EQ(arrays.terminated[0], 0);

  LevelSpec deadly = DefaultSpec();
  deadly.enemy_damage = 50.0f;
  deadly.start_enemies = 60;
  Batch mortal(std::span(&deadly, 1), Of(1, 1));
  mortal.Reset(Seeds(1, 3).data(), arrays.buffers);
  for (steps = 0; !arrays.Ended(0) && steps < 4000; ++steps) {
    mortal.Step(Actions(1, 1, steps).data(), arrays.buffers);
  }
  CHECK_EQ(arrays.terminated[0], 1);
  CHECK_EQ(arrays.truncated[0], 0);
  CHECK(arrays.reward[0] < 0.5f * deadly.reward.death);
}

TEST(arena_batch_reward_is_what_happened_by_its_weights) {
  LevelSpec spec = DefaultSpec();
  spec.start_enemies = 30;
  std::memset(&spec.reward, 0, sizeof(spec.reward));
  spec.reward.kill = 1.0f;
  spec.reward.damage_taken = -0.5f;
  spec.reward.alive = 0.25f;
  Batch batch(std::span(&spec, 1), Of(1, 1));
  Arrays arrays(1);
  batch.Reset(Seeds(1, 6).data(), arrays.buffers);
  double sum = 0.0;
  for (int t = 0; t < 200 && !arrays.Ended(0); ++t) {
    batch.Step(Actions(1, 1, t).data(), arrays.buffers);
    sum += static_cast<double>(arrays.reward[0]);
  }
  const World& world = batch.environment(0).episode().world;
  CHECK(world.totals.kills > 3u);
  CHECK_NEAR(sum,
             world.totals.kills - 0.5 * static_cast<double>(world.totals.damage_taken) +
                 0.25 * GameTime(world),
             1e-2);
  CHECK_NEAR(batch.environment(0).episode().return_sum, sum, 1e-9);
}

TEST(arena_batch_random_skips_tell_the_true_time) {
  LevelSpec spec = Flat();
  spec.skip_min = 2;
  spec.skip_max = 9;
  Batch batch(std::span(&spec, 1), Of(1, 1));
  Arrays arrays(1);
  batch.Reset(Seeds(1, 6).data(), arrays.buffers);
  std::vector<int> seen(16, 0);
  double before = 0.0;
  for (int t = 0; t < 400; ++t) {
    batch.Step(Actions(1, 1, t).data(), arrays.buffers);
    const double now = GameTime(batch.environment(0).episode().world);
    CHECK_NEAR(arrays.dt[0], now - before, 1e-6);
    ++seen[static_cast<size_t>(std::lround((now - before) * kTickHz))];
    before = now;
  }
  for (size_t ticks = 0; ticks < seen.size(); ++ticks) {
    CHECK_EQ(seen[ticks] > 0, ticks >= 2 && ticks <= 9);
  }
}

TEST(arena_batch_lost_frames_show_the_old_one_and_add_up_their_time) {
  LevelSpec spec = Flat();
  spec.skip_min = spec.skip_max = 3;
  spec.drop_rate = 0.5f;
  spec.duration = 600.0f;
  Batch batch(std::span(&spec, 1), Of(1, 1));
  Arrays arrays(1, 16 * 16 * 3);
  batch.Reset(Seeds(1, 6).data(), arrays.buffers);
  std::vector<float> entities = arrays.entities;
  std::vector<float> state = arrays.state;
  float age = 0.0f;
  int lost = 0;
  for (int t = 0; t < 300; ++t) {
    batch.Step(Actions(1, 1, t).data(), arrays.buffers);
    age += 3.0f * kTickSeconds;
    CHECK_NEAR(arrays.dt[0], age, 1e-5);
    if (batch.environment(0).episode().stale) {
      ++lost;
      CHECK(arrays.entities == entities);
    } else {
      age = 0.0f;
      entities = arrays.entities;
      state = arrays.state;
    }
  }
  CHECK(lost > 110 && lost < 190);

  // The world itself does not depend on what is shown of it.
  LevelSpec clear = spec;
  clear.drop_rate = 0.0f;
  Batch seeing(std::span(&clear, 1), Of(1, 1));
  seeing.Reset(Seeds(1, 6).data(), arrays.buffers);
  for (int t = 0; t < 300; ++t) seeing.Step(Actions(1, 1, t).data(), arrays.buffers);
  CHECK(HashesOf(seeing) == HashesOf(batch));
}

TEST(arena_batch_ten_thousand_steps_allocate_nothing) {
  constexpr int kEnvs = 4;
  LevelSpec spec = Lively();
  spec.obstacles = 0.15f;  // many, and another number of them on every new terrain
  BatchSettings settings = Of(kEnvs, 2);
  settings.pixel_height = settings.pixel_width = 32;
  Batch batch(std::span(&spec, 1), settings);
  Arrays arrays(kEnvs, 32 * 32 * 3);
  batch.Reset(Seeds(kEnvs, 1).data(), arrays.buffers);
  std::vector<std::vector<float>> actions;
  for (int t = 0; t < 64; ++t) actions.push_back(Actions(kEnvs, 1, t));
  batch.Step(actions[0].data(), arrays.buffers);
  const size_t before = check::Allocations();
  for (size_t t = 0; t < 2500; ++t) batch.Step(actions[t % 64].data(), arrays.buffers);
  CHECK_EQ(check::Allocations() - before, size_t{0});
  for (int i = 0; i < kEnvs; ++i) CHECK(batch.environment(i).episode().number > 2u);
}

TEST(arena_batch_levels_may_differ_by_environment) {
  std::vector<LevelSpec> specs(3, Flat());
  for (size_t i = 0; i < 3; ++i) specs[i].tier = static_cast<uint8_t>(i + 1);
  Batch batch(specs, Of(3, 1));
  for (int i = 0; i < 3; ++i) CHECK_EQ(batch.environment(i).episode().world.tier, i + 1);
}

TEST(arena_batch_without_autoreset_the_death_menu_works) {
  LevelSpec spec = Flat();
  spec.duration = 1.0f;
  spec.skip_min = spec.skip_max = 2;
  Environment environment;
  environment.Configure(spec, false, 0, 0);
  environment.Reset(4);
  const auto scratch = std::make_unique<Scratch>();
  for (int t = 0; t < 40; ++t) environment.Step(Idle(), *scratch);
  CHECK(environment.episode().world.menus.screen == Screen::kDeath);
  const double ended = environment.episode().return_sum;
  environment.Step(Idle(), *scratch);
  CHECK_EQ(environment.episode().return_sum, ended);
  environment.Step(Choose(1), *scratch);  // tries again
  CHECK(environment.episode().world.menus.screen == Screen::kPlaying);
  CHECK_EQ(environment.episode().world.done, 0);
  CHECK_EQ(environment.episode().terminated + environment.episode().truncated, 0);
}

}  // namespace
}  // namespace metabonk::arena
