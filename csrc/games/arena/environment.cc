#include "games/arena/environment.h"

#include <cstring>
#include <memory>

#include "games/arena/numbers.h"
#include "games/arena/reward.h"
#include "games/arena/snapshot.h"
#include "support/random.h"

namespace metabonk::arena {

namespace {

constexpr uint64_t kDropStream = 5;

}  // namespace

void Environment::Configure(const LevelSpec& spec, bool autoreset, int pixel_height,
                            int pixel_width) {
  level_.spec = spec;
  level_.terrain = &terrain_;
  autoreset_ = autoreset;
  pixel_height_ = pixel_height;
  pixel_width_ = pixel_width;
  if (pixel_height > 0) view_.Reserve(spec.size);
}

void Environment::PrepareTerrain(uint64_t run_seed) {
  if (terrain_.seed == TerrainSeed(level_.spec, run_seed) && terrain_.size == level_.spec.size) {
    return;
  }
  GenerateTerrain(level_.spec, run_seed, &terrain_);
  view_.ForgetTerrain();
}

void Environment::Reset(uint64_t seed) {
  episode_.seed = seed;
  episode_.number = 0;
  StartEpisode();
}

// The first episode's run seed is the environment's own, so that a seed names a run.
void Environment::StartEpisode() {
  Episode& episode = episode_;
  const uint64_t run_seed =
      episode.number == 0 ? episode.seed : HashDraw(episode.seed, episode.number);
  PrepareTerrain(run_seed);
  StartRun(episode.world, level_, run_seed);
  episode.drop_random = {HashDraw(run_seed, kDropStream), 0};
  episode.shown_ticks = 0;
  episode.return_sum = 0.0;
  episode.length = 0;
  episode.reward = 0.0f;
  episode.terminated = episode.truncated = episode.stale = 0;
  episode.is_reset = 1;
}

void Environment::Step(const Action& action, Scratch& scratch) {
  Episode& episode = episode_;
  if (autoreset_ && (episode.terminated || episode.truncated)) {
    ++episode.number;
    StartEpisode();
    return;
  }
  const Totals before = episode.world.totals;
  const uint64_t ticks_before = episode.world.tick;
  const bool may_drop = level_.spec.drop_rate > 0.0f;
  if (!episode.stale) {
    episode.shown_ticks = episode.world.total_ticks;
    if (may_drop) std::memcpy(&episode.shown, &episode.world, sizeof(World));
  }
  const bool was_over = episode.world.done != static_cast<uint8_t>(EpisodeEnd::kNo);
  RunDecision(episode.world, level_, action, scratch);
  const bool again = was_over && episode.world.done == static_cast<uint8_t>(EpisodeEnd::kNo);
  if (again) episode.shown_ticks = 0;  // the death menu began the run anew
  Finish(again ? Totals{} : before, again ? 0 : ticks_before);
  const bool over = episode.terminated || episode.truncated;
  const bool dropped = may_drop && DrawChance(episode.drop_random, level_.spec.drop_rate);
  episode.stale = dropped && !over;
}

void Environment::Finish(const Totals& before, uint64_t ticks_before) {
  Episode& episode = episode_;
  const World& world = episode.world;
  const EpisodeEnd end = static_cast<EpisodeEnd>(world.done);
  const bool ended_before = episode.terminated || episode.truncated;
  const float seconds = static_cast<float>(world.tick - ticks_before) * kTickSeconds;
  episode.reward = RewardOf(level_.spec.reward, before, world.totals, seconds,
                            ended_before ? EpisodeEnd::kNo : end);
  episode.is_reset = 0;
  ++episode.length;
  episode.return_sum += static_cast<double>(episode.reward);
  const uint32_t limit = level_.spec.max_ticks;
  episode.terminated = end == EpisodeEnd::kDied || end == EpisodeEnd::kWon ||
                       (end == EpisodeEnd::kTimeUp && !level_.spec.truncate_on_time);
  episode.truncated = !episode.terminated &&
                      (end == EpisodeEnd::kTimeUp || (limit > 0 && world.total_ticks >= limit));
}

void Environment::Write(const OutputRow& row) {
  const Episode& episode = episode_;
  const World& seen = episode.stale ? episode.shown : episode.world;
  FillGameState(seen, level_, &state_);
  state_.dt = static_cast<float>(episode.world.total_ticks - episode.shown_ticks) * kTickSeconds;
  Observe(state_, row.observation);
  if (row.pixels != nullptr) {
    Render(seen, level_, pixel_height_, pixel_width_, row.pixels, view_);
  }
  if (row.reward != nullptr) *row.reward = episode.reward;
  if (row.terminated != nullptr) *row.terminated = episode.terminated;
  if (row.truncated != nullptr) *row.truncated = episode.truncated;
  if (row.is_reset != nullptr) *row.is_reset = episode.is_reset;
}

void Environment::Save(uint8_t* out) const { std::memcpy(out, &episode_, sizeof(Episode)); }

Status Environment::Check(const uint8_t* bytes) {
  const auto loaded = std::make_unique<Episode>();
  std::memcpy(static_cast<void*>(loaded.get()), bytes, sizeof(Episode));
  if (Sound(*loaded)) return Status::Ok();
  return {Code::kCorrupt, "state", "is not what clone_state gave: clone again"};
}

void Environment::Load(const uint8_t* bytes) {
  std::memcpy(static_cast<void*>(&episode_), bytes, sizeof(Episode));
  PrepareTerrain(episode_.world.run_seed);
}

void Environment::GameStateNow(GameState* out) const {
  std::memset(static_cast<void*>(out), 0, sizeof(GameState));
  FillGameState(episode_.world, level_, out);
  out->dt = static_cast<float>(episode_.world.total_ticks - episode_.shown_ticks) * kTickSeconds;
}

void Environment::Picture(int height, int width, uint8_t* rgb) {
  Render(episode_.world, level_, height, width, rgb, view_);
}

void Environment::PictureAhead(const Action& action, uint32_t ticks, int height, int width,
                               uint8_t* rgb) {
  const auto world = std::make_unique<World>();
  const auto scratch = std::make_unique<Scratch>();
  std::memcpy(static_cast<void*>(world.get()), &episode_.world, sizeof(World));
  RunDecision(*world, level_, action, *scratch, ticks);
  Render(*world, level_, height, width, rgb, view_);
}

}  // namespace metabonk::arena
