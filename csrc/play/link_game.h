// LinkGame: a game at the other end of a BonkLink as the loop sees it. A thread of its own speaks
// with it: reads states and frames, shrinks frames to what the policy reads, sends the newest
// action, reconnects. Knows the link's client, mailboxes and when a run begins; the loop never
// waits for the network.
//
// Capture times are the game's own, brought to our clock by PING and PONG; where the game says none
// (v1, or before the first PONG) it is when the state had arrived.
//
// Frames come over the socket or a shared-memory ring, raw or as JPEG. A state whose frame is a
// JPEG is shown once that is decoded, by whoever asks for it on a thread of its own (JpegMailbox):
// state and picture belong together, a decoder that is slower than the game passes captures over,
// and states keep coming in meanwhile. A picture is of the newest state that was captured no later
// than it, by the game's own clock: plugins read theirs back some frames later. A state that came
// without a frame is shown with the newest picture, as games.bonklink observes it in training;
// before the first one nothing is shown to a policy that reads frames. Likewise offers that came
// without widgets (v1) are shown with widgets at places that are given, and what is chosen of them
// is clicked.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ipc/ring_reader.h"
#include "link/client.h"
#include "link/counters.h"
#include "metabonk/status.h"
#include "play/clock.h"
#include "play/frame_fit.h"
#include "play/jpeg_mailbox.h"
#include "play/offer_places.h"
#include "play/presses.h"
#include "play/shown.h"
#include "play/source.h"
#include "play/thread.h"

namespace metabonk::play {

struct LinkSettings {
  link::ClientOptions client;
  int32_t height = 0, width = 0;  // of the frames that the policy reads; 0: it reads none
  bool decodes = false;           // somebody answers AskJpeg; else games are asked for raw frames
  OfferPlaces offers;             // of games that tell offers and no widgets
  std::string ring_folder = "/dev/shm";
  // Of the thread that speaks with the game. Actions leave by it: one that is sent late is late.
  ThreadSettings thread = {};
};

class LinkGame {
 public:
  // Links are made once it is started: a game may appear later, or go away and come back.
  LinkGame(Clock& clock, const LinkSettings& settings);
  ~LinkGame();
  LinkGame(const LinkGame&) = delete;
  LinkGame& operator=(const LinkGame&) = delete;

  void Start();
  // What was handed over before still leaves, if the connection takes it.
  void Stop();
  ThreadGranted granted() const { return granted_; }  // once stopped

  Source& source();
  Sink& sink();
  bool connected() const { return connected_.load(std::memory_order_relaxed); }
  // Whether there has been a picture, if the policy reads any.
  bool framed() const { return framed_.load(std::memory_order_relaxed); }
  const link::Counters& counters() const { return client_.counters(); }
  // Frames that could not be used: damaged, of another format, or a JPEG that nobody decodes.
  uint64_t frames_refused() const;
  uint64_t frames_decoded() const { return jpegs_.decoded(); }
  // JPEGs that a newer one overtook before they were decoded.
  uint64_t frames_overtaken() const { return jpegs_.overtaken(); }
  // Rings that the game offered and that cannot be seen from here: its frames come over the socket.
  uint64_t rings_refused() const { return rings_refused_.value(); }
  // Actions that a newer one overtook before the thread took them.
  uint64_t actions_overtaken() const;
  // Whether the link is given up, and why; or why it was lost last.
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  std::string why() const;

  // For the one thread that decodes, see JpegMailbox.
  const std::vector<uint8_t>* AskJpeg(int64_t timeout_ns) { return jpegs_.Ask(timeout_ns); }
  bool AnswerJpeg(const link::FrameView* picture);

 private:
  class Port;
  enum class Got { kNothing, kPicture, kJpeg };

  void Serve();
  void SendNewest();
  void Send(const Answer& answer);
  void TellSent();
  void Note(const link::Tick& tick);
  void Remember(const link::Tick& tick);
  uint64_t StepOf(int64_t captured_ns) const;
  void Show();
  void ShowDecoded();
  void Post(const Shown& shown);
  bool Begins(const link::Tick& tick);
  void FollowRing();
  bool OpenRing();
  Got TakeFrame(const link::Tick& tick);
  Got TakeFromRing();
  Got Take(const link::FrameView& frame, int64_t captured_ns);
  bool reads_frames() const { return settings_.height > 0; }
  void Say(const std::string& text);

  Clock& clock_;
  LinkSettings settings_;
  link::Client client_;
  std::unique_ptr<Port> port_;
  PressReader presses_;
  uint64_t sending_ = 0;  // the answer that was given to the connection and may wait there; 0: none
  int64_t sending_since_ = 0;
  uint64_t sending_losses_ = 0;  // of connections, until then
  Shown newest_;                 // as of the last state that came
  bool placed_ = false;          // its widgets are ours, and choices are clicks
  uint64_t posted_ = 0;          // step of the last capture that was shown
  uint64_t seed_ = 0;
  double time_ = 0.0;
  bool any_ = false;
  // The last captures of this connection, by step modulo their number: when each was taken, by the
  // game's clock.
  struct Captured {
    uint64_t step = 0;
    int64_t at = 0;
  };
  std::array<Captured, 32> captured_;
  std::vector<uint8_t> frame_;  // the newest picture
  uint64_t framed_at_ = 0;      // step of the capture that it is of; 0: there is none
  FrameFit fit_;
  JpegMailbox jpegs_;
  std::unique_ptr<ipc::RingReader> ring_;
  std::string ring_name_;
  uint64_t ring_connection_ = 0;  // that it was offered in
  Count rings_refused_;
  ipc::Lease lease_;
  std::atomic<bool> stop_{false}, connected_{false}, failed_{false}, framed_{false};
  std::atomic<uint64_t> raw_refused_{0};
  ThreadGranted granted_;
  mutable std::mutex why_mutex_;
  std::string why_;
  std::thread thread_;
};

}  // namespace metabonk::play
