// Environment: one arena as an agent meets it: decisions in, reward and observation out, episodes
// that follow each other by themselves. Knows runs, rewards and what was last shown; knows no
// threads and no other environments.
#pragma once

#include <cstddef>
#include <cstdint>

#include "games/arena/rules.h"
#include "games/arena/scratch.h"
#include "games/arena/state.h"
#include "games/arena/terrain.h"
#include "games/arena/view.h"
#include "metabonk/observe.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::arena {

// What the future depends on, apart from the level: clone_state is a copy of it.
struct Episode {
  World world;
  World shown;           // as last observed; kept only where frames can be lost
  uint64_t seed;         // of the environment; each episode's run seed follows from it
  uint64_t number;       // of this episode, from 0
  Random drop_random;    // frames that are lost: not the world's business
  uint64_t shown_ticks;  // total_ticks of the last fresh observation
  double return_sum;
  uint64_t length;  // decisions
  float reward;     // of the last decision
  uint8_t terminated;
  uint8_t truncated;
  uint8_t is_reset;  // the last decision only began this episode
  uint8_t stale;     // the last frame was lost: `shown` is what is observed
};

// Where one environment's observation and outcome go; null pointers are skipped.
struct OutputRow {
  ObservationView observation;
  uint8_t* pixels = nullptr;
  float* reward = nullptr;
  uint8_t* terminated = nullptr;
  uint8_t* truncated = nullptr;
  uint8_t* is_reset = nullptr;
};

class Environment {
 public:
  // The level must be valid. Without autoreset an ended run goes on showing its last menu.
  void Configure(const LevelSpec& spec, bool autoreset, int pixel_height, int pixel_width);
  void Reset(uint64_t seed);
  // One decision; or, after an episode ended, the start of the next one (Gymnasium's NEXT_STEP).
  void Step(const Action& action, Scratch& scratch);
  void Write(const OutputRow& row);

  static constexpr size_t SnapshotBytes() { return sizeof(Episode); }
  void Save(uint8_t* out) const;
  // Whether SnapshotBytes() bytes can have come from Save, see Sound().
  static Status Check(const uint8_t* bytes);
  void Load(const uint8_t* bytes);  // bytes that Check accepted

  const Episode& episode() const { return episode_; }
  const Level& level() const { return level_; }
  void GameStateNow(GameState* out) const;
  void Picture(int height, int width, uint8_t* rgb);
  // The picture `ticks` after now within a decision for `action`, or of its end if that comes
  // before; nothing of the episode moves on.
  void PictureAhead(const Action& action, uint32_t ticks, int height, int width, uint8_t* rgb);

 private:
  void StartEpisode();
  void PrepareTerrain(uint64_t run_seed);
  void Finish(const Totals& before, uint64_t ticks_before);

  Level level_ = {};
  bool autoreset_ = true;
  int pixel_height_ = 0;
  int pixel_width_ = 0;
  Terrain terrain_ = {};
  Episode episode_ = {};
  GameState state_ = {};
  RenderScratch view_;
};

}  // namespace metabonk::arena
