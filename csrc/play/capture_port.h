// CapturePort: captures of a game that a thread of its own reads, as the loop sees them, and the
// actions that go back to that thread. Knows mailboxes; where captures come from is the game's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "play/mailbox.h"
#include "play/presses.h"
#include "play/sends.h"
#include "play/shown.h"
#include "play/source.h"

namespace metabonk::play {

class CapturePort : public Source, public Sink {
 public:
  // Of the frames that the policy reads; 0: it reads none.
  CapturePort(int32_t height, int32_t width) : height_(height), width_(width) {}

  bool Newest(Moment* moment) override {
    if (!captures_.Take()) return false;
    Captured& captured = captures_.Taken();
    Shown& shown = captured.shown;
    shown.state.dt = static_cast<float>(std::clamp(shown.clock - seen_clock_, 0.0, kLongestStep));
    moment->state = &shown.state;
    moment->sequence = shown.step;
    moment->capture = shown.capture;
    moment->ready = shown.ready;
    moment->begins = shown.run != seen_run_;
    moment->frame = {};
    if (captured.framed_at != 0) {
      moment->frame = {captured.pixels.data(), height_, width_, 3, captured.framed_at};
    }
    seen_clock_ = shown.clock;
    seen_run_ = shown.run;
    return true;
  }

  bool Act(const Action& action, uint64_t answers) override {
    answers_.Post(presses_.Next(action, answers));
    Wake();
    return true;
  }
  const Sends* sends() const override { return &sends_; }
  // Answers that a newer one overtook before the game's thread took them.
  uint64_t overtaken() const { return answers_.replaced(); }

  // The game's thread from here on.

  // ready: when it can be had. framed_at: step of the capture that `pixels` [height, width, 3] are
  // of; 0: there are none.
  void Show(const Shown& shown, int64_t ready, const std::vector<uint8_t>& pixels,
            uint64_t framed_at) {
    Captured& captured = captures_.Draft();
    captured.shown = shown;
    captured.shown.ready = ready;
    captured.framed_at = framed_at;
    if (framed_at != 0) captured.pixels = pixels;
    captures_.Post();
  }

  // The newest action, null if it was taken before.
  const Answer* TakeAnswer() { return answers_.Take() ? &answers_.Taken() : nullptr; }
  // The answer of that number has left, or there is nobody to send it to.
  void Tell(uint64_t number, int64_t when) { sends_.Tell(number, when); }

  static constexpr double kLongestStep = 10.0;  // seconds of game time between two captures

 protected:
  // An action is there; by the thread that ticks.
  virtual void Wake() {}

 private:
  struct Captured {
    Shown shown;
    std::vector<uint8_t> pixels;
    uint64_t framed_at = 0;
  };

  Mailbox<Captured> captures_;
  Mailbox<Answer> answers_;
  PressWriter presses_;
  Sends sends_;
  const int32_t height_, width_;
  double seen_clock_ = 0.0;
  uint64_t seen_run_ = UINT64_MAX;
};

}  // namespace metabonk::play
