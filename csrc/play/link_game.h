// LinkGame: a game at the other end of a BonkLink as the loop sees it. A thread of its own speaks
// with it: reads states and frames, shrinks frames to what the policy reads, sends the newest
// action, reconnects. Knows the link's client, mailboxes and when a run begins; the loop never
// waits for the network.
//
// Capture times are the game's own, brought to our clock by PING and PONG; where the game says none
// (v1, or before the first PONG) it is when the state had arrived. Frames: raw ones over the socket
// or a shared-memory ring; JPEG is not decoded here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ipc/ring_reader.h"
#include "link/client.h"
#include "metabonk/status.h"
#include "play/clock.h"
#include "play/mailbox.h"
#include "play/presses.h"
#include "play/shown.h"
#include "play/source.h"
#include "video/frames.h"

namespace metabonk::play {

struct LinkSettings {
  link::ClientOptions client;
  int32_t height = 0, width = 0;  // of the frames that the policy reads; 0: it reads none
};

class LinkGame {
 public:
  // Links are made once it is started: a game may appear later, or go away and come back.
  LinkGame(Clock& clock, const LinkSettings& settings);
  ~LinkGame();
  LinkGame(const LinkGame&) = delete;
  LinkGame& operator=(const LinkGame&) = delete;

  void Start();
  void Stop();

  Source& source();
  Sink& sink();
  bool connected() const { return connected_.load(std::memory_order_relaxed); }
  const link::Counters& counters() const { return client_.counters(); }
  uint64_t frames_refused() const { return frames_refused_.load(std::memory_order_relaxed); }
  // Whether the link is given up, and why; or why it was lost last.
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  std::string why() const;

 private:
  class Port;

  void Serve();
  void Send(const Answer& answer);
  void Show();
  bool Begins(const link::Tick& tick);
  bool TakeFrame(const link::Tick& tick, std::vector<uint8_t>* to);
  bool Shrink(const link::FrameView& frame, std::vector<uint8_t>* to);
  void Say(const std::string& text);

  Clock& clock_;
  LinkSettings settings_;
  link::Client client_;
  std::unique_ptr<Port> port_;
  uint64_t captures_ = 0, runs_ = 0, seed_ = 0;
  double time_ = 0.0, game_clock_ = 0.0;
  bool any_ = false;
  std::unique_ptr<ipc::RingReader> ring_;
  std::string ring_name_;
  ipc::Lease lease_;
  std::unique_ptr<video::Resizer> resizer_;
  uint32_t from_height_ = 0, from_width_ = 0;  // what the resizer is for
  std::vector<uint8_t> upright_;
  std::atomic<bool> stop_{false}, connected_{false}, failed_{false};
  std::atomic<uint64_t> frames_refused_{0};
  mutable std::mutex why_mutex_;
  std::string why_;
  std::thread thread_;
};

}  // namespace metabonk::play
