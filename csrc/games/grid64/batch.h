// Batch: N episodes of one game that step in one call and write where the caller says, or that are
// sent actions and received as they become ready. Knows the layout of buffers, not who owns them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "games/batch.h"
#include "games/grid64/episode.h"
#include "metabonk/status.h"
#include "support/thread_pool.h"

namespace metabonk::grid64 {

// The caller's arrays, one row per environment; a null pointer skips that part.
struct Buffers {
  uint8_t* cells = nullptr;             // [rows, 64, 64]
  uint8_t* action_mask = nullptr;       // [rows, kActionIds]
  int32_t* levels_completed = nullptr;  // [rows, 1]
  float* reward = nullptr;              // [rows]
  bool* terminated = nullptr;           // [rows]
  bool* truncated = nullptr;            // [rows]
  bool* is_reset = nullptr;             // [rows]
};

class Batch final : public Stepper {
 public:
  // 0 <= game < kGames, num_envs >= 1, threads >= 1. Environment i starts with seed i. Without
  // autoreset an ended episode stays as it is until Reset. layouts: see Start.
  Batch(int game, Split split, int num_envs, int threads, bool autoreset = true,
        uint64_t layouts = 0);

  Gate& gate() const { return gate_; }  // callers take turns
  int game() const { return game_; }
  Split split() const { return split_; }
  int num_envs() const { return static_cast<int>(episodes_.size()); }
  const Episode& episode(int env) const { return episodes_[static_cast<size_t>(env)]; }

  // Starts every environment with its seed and writes the first observations, with is_reset set;
  // forgets what was in flight once it has stepped.
  void Reset(const uint64_t* seeds, const Buffers& out);
  // actions: [num_envs, kActionColumns]. Fails while environments are in flight.
  Status StepAll(const float* actions, const Buffers& out);
  // Writes the observations of the present moment; reward and flags stay as they are.
  void ObserveAll(const Buffers& out);

  // actions: [count, kActionColumns] for the environments in env_ids.
  Status Send(const float* actions, const int32_t* env_ids, int count);
  // Waits for `count` environments and writes theirs to rows 0..count-1; env_ids says whose.
  Status Recv(const Buffers& out, int32_t* env_ids, int count);

  Status Grounded() const;  // Ok if nothing is in flight

  // Everything the future depends on, with a checksum. Fails while environments are in flight.
  Status Clone(std::vector<uint8_t>* out) const;
  Status CloneOne(int env, std::vector<uint8_t>* out) const;
  // Inverse of Clone; refuses what is damaged or of another game, split, number of layouts or of
  // environments and what would lead out of a level, and then changes nothing.
  Status Restore(std::span<const uint8_t> bytes);
  Status RestoreOne(int env, std::span<const uint8_t> bytes);

  void StepOne(int env, const float* action, int thread) override;  // of the queue

 private:
  struct Landing {  // what an environment in flight has to deliver
    StepResult result;
    int32_t levels_completed;
    uint8_t action_mask[kActionIds];
    uint8_t cells[kCells];
  };

  StepResult Advance(Episode& episode, const float* action) const;
  template <class Body>
  void ForEach(Body body);
  void WriteObservation(const Buffers& out, size_t row, const Episode& episode) const;
  void WriteRow(const Buffers& out, size_t row, const Episode& episode,
                const StepResult& result) const;
  Status Pack(std::span<const Episode> episodes, std::vector<uint8_t>* out) const;
  Status Unpack(std::span<const uint8_t> bytes, std::span<Episode> episodes) const;

  mutable Gate gate_;
  const int game_;
  const Split split_;
  const int threads_;
  const bool autoreset_;
  const uint64_t layouts_;
  std::vector<Episode> episodes_;
  ThreadPool pool_;
  std::vector<Landing> landings_;     // by environment, once something has been sent
  std::unique_ptr<StepQueue> queue_;  // last, so that its threads end first
};

}  // namespace metabonk::grid64
