// ArenaGame: arenas that run in real time on a thread of their own, as a game does: every period
// each takes the newest action, steps one tick and shows state and frame, whether somebody answers
// or not. Knows environments, the frame ring and mailboxes; not who plays.
//
// A frame crosses by the ring, its state by a mailbox; they belong together by their step. What is
// done is written to a journal, so that the whole game can be played again: an environment's seed
// and its inputs are all that its future depends on.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "games/arena/environment.h"
#include "games/arena/scratch.h"
#include "ipc/ring_reader.h"
#include "ipc/ring_writer.h"
#include "metabonk/status.h"
#include "play/clock.h"
#include "play/ground.h"
#include "play/histogram.h"
#include "play/journal.h"
#include "play/mailbox.h"
#include "play/pacer.h"
#include "play/shown.h"
#include "play/source.h"
#include "play/thread.h"

namespace metabonk::play {

// One game tick's input, as it was played.
struct InputRecord {
  uint32_t crc;  // the journal's
  uint16_t agent, reserved;
  uint64_t step;  // 1 for the first after the start
  Action action;
};
static_assert(sizeof(InputRecord) == 64);

struct ArenaSettings {
  arena::LevelSpec level;       // valid; one tick per decision is played, whatever it says
  std::vector<uint64_t> seeds;  // one per arena
  PacerSettings pacer = {};
  ThreadSettings thread = {};
  int32_t height = 84, width = 84;  // of frames; 0: none, and no ring
  std::string ring;                 // name of the first one's ring, "-1" and so on follow
  std::string ring_folder = "/dev/shm";
};

class ArenaGame {
 public:
  // One arena as the loop sees it.
  class Port;

  // Fails where a ring cannot be made. inputs may be null and outlives the game.
  static Status Create(Clock& clock, const ArenaSettings& settings, Journal* inputs,
                       std::unique_ptr<ArenaGame>* made);
  ~ArenaGame();
  ArenaGame(const ArenaGame&) = delete;
  ArenaGame& operator=(const ArenaGame&) = delete;

  void Start();
  void Stop();
  // One tick of all arenas; what the thread does at every beat.
  void Tick();

  size_t size() const { return arenas_.size(); }
  Source& source(size_t i);
  Sink& sink(size_t i);
  uint64_t steps() const { return steps_.load(std::memory_order_relaxed); }
  const Histogram& lateness() const { return lateness_; }
  uint64_t skipped() const { return skipped_.load(std::memory_order_relaxed); }
  uint64_t unwritten() const { return unwritten_.load(std::memory_order_relaxed); }
  // Captures that nobody saw, since the ring took no frame: its folder has no memory left.
  uint64_t unshown() const { return unshown_.load(std::memory_order_relaxed); }
  // Actions that a newer one overtook before the game took them.
  uint64_t actions_overtaken() const;
  // The name of an arena's ring, empty without frames.
  std::string ring_name(size_t i) const;

 private:
  struct Arena;
  ArenaGame(Clock& clock, const ArenaSettings& settings, Journal* inputs);
  Status MakeRings();
  void Step(size_t i);
  void Show(size_t i, int64_t capture);
  Status ShowFrame(size_t i, int64_t capture);
  void ShowGround(size_t i);

  Clock& clock_;
  ArenaSettings settings_;
  Journal* inputs_;
  std::vector<std::unique_ptr<Arena>> arenas_;
  std::unique_ptr<arena::Scratch> scratch_;
  Histogram lateness_;
  std::atomic<uint64_t> steps_{0}, skipped_{0}, unwritten_{0}, unshown_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace metabonk::play
