// ShmGame: a game behind ResearchPlugin's shared memory as the loop sees it. A thread of its own
// looks for the file, reads observations, shrinks frames to what the policy reads, writes actions,
// begins an episode where one has ended, and looks for the game again after it died. Knows the
// memory's agent end and mailboxes; the loop never waits for it.
//
// The memory carries frames and a clock: states have no field of any group, so that policies that
// read more see it masked. It says no capture times: they are when the observation had been read.
//
// One action answers one observation, the first that the loop gives once it has been shown. Ticks
// that decide nothing repeat an action; such a repetition that was made before the observation
// could be seen is no answer to it, or a game that waits for its agent would step without a
// decision.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ipc/research_shm.h"
#include "metabonk/count.h"
#include "play/capture_port.h"
#include "play/clock.h"
#include "play/frame_fit.h"
#include "play/presses.h"
#include "play/shown.h"
#include "play/source.h"
#include "play/thread.h"

namespace metabonk::play {

struct ShmSettings {
  std::string path;               // of the game's file
  bool bottom_up = true;          // its rows, as Unity has them
  int32_t height = 0, width = 0;  // of the frames that the policy reads; 0: it reads none
  // Of the thread that writes to the memory. Actions leave by it: one that is sent late is late.
  ThreadSettings thread = {};
};

#define METABONK_SHM_COUNTERS(X)                                                \
  X(observations, "observations that were shown to the loop")                   \
  X(actions, "actions that were written")                                       \
  X(actions_skipped, "actions given for an observation that had been answered") \
  X(actions_unsent, "actions given while no game was there")                    \
  X(inputs_lost, "parts of actions that six numbers cannot say: look, a click") \
  X(resets, "episodes that were asked for")                                     \
  X(torn, "copies that were begun again because the game wrote meanwhile")      \
  X(lost, "RESETs that the game overwrote and that were written again")         \
  X(losses, "times that the game went away")

struct ShmCounters {
#define METABONK_SHM_COUNTER(name, meaning) Count name;
  METABONK_SHM_COUNTERS(METABONK_SHM_COUNTER)
#undef METABONK_SHM_COUNTER
};

class ShmGame {
 public:
  // The file is looked for once it is started: a game may appear later, or die and come back.
  ShmGame(Clock& clock, const ShmSettings& settings);
  ~ShmGame();
  ShmGame(const ShmGame&) = delete;
  ShmGame& operator=(const ShmGame&) = delete;

  void Start();
  // What was handed over before is still written.
  void Stop();
  ThreadGranted granted() const { return granted_; }  // once stopped

  Source& source() { return port_; }
  Sink& sink() { return port_; }
  // Whether it is there and has shown an observation.
  bool connected() const { return connected_.load(std::memory_order_relaxed); }
  const ShmCounters& counters() const { return counters_; }
  // Actions that a newer one overtook before the thread took them.
  uint64_t actions_overtaken() const { return port_.overtaken(); }
  // Why there is no game, or why it was lost last.
  std::string why() const;

 private:
  void Serve();
  bool Open();
  // Deals with what a wait ended with; false if the game is gone.
  bool Take(ipc::ResearchEvent event);
  void Show();
  void ReplyNewest();
  // False if the memory did not take what was to be written.
  bool Reply(const Answer& answer);
  void AskForEpisode();
  void Count();
  void Say(const std::string& text);

  Clock& clock_;
  const ShmSettings settings_;
  CapturePort port_;
  PressReader presses_;
  std::unique_ptr<ipc::ResearchAgent> agent_;
  ipc::ResearchHeader header_ = {};
  std::vector<uint8_t> raw_;
  FrameFit fit_;
  std::vector<uint8_t> frame_;
  Shown newest_;
  int32_t step_ = 0, time_ms_ = 0;  // of the observation before, if there was one in this run
  bool running_ = false;
  uint64_t began_ = 0;              // step of the run's first observation
  bool answered_ = true;            // the newest observation
  Action heard_ = Answer{}.action;  // the last one given, without presses
  ipc::ResearchCounters counted_;
  ShmCounters counters_;
  std::atomic<bool> stop_{false}, connected_{false};
  ThreadGranted granted_;
  mutable std::mutex why_mutex_;
  std::string why_;
  std::thread thread_;
};

}  // namespace metabonk::play
