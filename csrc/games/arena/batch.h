// Batch: N arenas on a thread pool, written into buffers that the caller owns. The same actions
// give the same results on every number of threads and at every place in the batch. Knows
// environments and rows; knows no Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "games/arena/environment.h"
#include "games/batch.h"
#include "support/thread_pool.h"

namespace metabonk::arena {

// Where a batch writes, row i for environment i (or for the i-th received): the first row of each
// array [num_envs, ...], C-contiguous; null pointers are skipped.
struct BatchBuffers {
  OutputRow first;
  OutputRow Row(int i, size_t pixel_bytes) const;
};

struct BatchSettings {
  int num_envs = 1;
  int threads = 1;
  int batch_size = 0;  // rows of a Recv; 0: num_envs
  bool autoreset = true;
  int pixel_height = 0;  // 0: no pixels
  int pixel_width = 0;
};

class Batch final : public Stepper {
 public:
  // One valid level for all, or one for each.
  Batch(std::span<const LevelSpec> specs, const BatchSettings& settings);

  // Starts every environment with its seed and writes the first observations, with is_reset set;
  // forgets what was in flight once it has stepped.
  void Reset(const uint64_t* seeds, const BatchBuffers& buffers);
  // actions: [num_envs, kActionColumns].
  void Step(const float* actions, const BatchBuffers& buffers);
  // Writes the observations of the present moment, after Load; reward and flags stay as they are.
  void Write(const BatchBuffers& buffers);

  Status Send(const float* actions, const int32_t* env_ids, int count);
  // env_ids: [batch_size], whose observation is in which row.
  Status Recv(int32_t* env_ids, const BatchBuffers& buffers);

  // Snapshots of all environments, and of one; a batch of one gives the same bytes either way.
  // Refused, changing nothing, is what is damaged or of another level, content or number.
  size_t SnapshotBytes() const;
  void Save(uint8_t* out) const;
  Status Load(std::span<const uint8_t> bytes);
  static size_t SnapshotBytesOfOne();
  void SaveOne(int env, uint8_t* out) const;
  Status LoadOne(int env, std::span<const uint8_t> bytes);
  // Whether something is in flight, so that only Recv and Reset may be called.
  bool busy() const { return queue_ != nullptr && queue_->in_flight() > 0; }

  Gate& gate() const { return gate_; }  // callers take turns
  const BatchSettings& settings() const { return settings_; }
  size_t pixel_bytes() const;
  Environment& environment(int i) { return *environments_[static_cast<size_t>(i)]; }
  const Environment& environment(int i) const { return *environments_[static_cast<size_t>(i)]; }

  void StepOne(int env, const float* action, int thread) override;

 private:
  using Environments = std::span<const std::unique_ptr<Environment>>;
  static void Pack(Environments environments, uint8_t* out);
  static Status Unpack(std::span<const uint8_t> bytes, Environments environments);

  mutable Gate gate_;
  BatchSettings settings_;
  std::vector<std::unique_ptr<Environment>> environments_;
  std::vector<std::unique_ptr<Scratch>> scratches_;  // one per thread
  ThreadPool pool_;
  std::unique_ptr<StepQueue> queue_;  // from the first Send on
};

}  // namespace metabonk::arena
