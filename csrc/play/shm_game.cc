#include "play/shm_game.h"

#include <algorithm>
#include <cstring>

#include "play/research_action.h"
#include "play/thread.h"

namespace metabonk::play {

namespace {

constexpr int64_t kLook = 250 * kMicrosecond;  // between two looks for an action
constexpr int64_t kRetry = 20 * kMillisecond;  // between two looks for a file

}  // namespace

ShmGame::ShmGame(Clock& clock, const ShmSettings& settings)
    : clock_(clock),
      settings_(settings),
      port_(settings.height, settings.width),
      fit_(settings.height, settings.width) {}

ShmGame::~ShmGame() { Stop(); }

void ShmGame::Start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] {
    granted_ = PrepareThread(settings_.thread, "mb-research");
    Serve();
  });
}

void ShmGame::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

std::string ShmGame::why() const {
  const std::lock_guard<std::mutex> lock(why_mutex_);
  return why_;
}

void ShmGame::Say(const std::string& text) {
  const std::lock_guard<std::mutex> lock(why_mutex_);
  why_ = text;
}

void ShmGame::Serve() {
  while (!stop_.load(std::memory_order_relaxed)) {
    if (agent_ == nullptr && !Open()) {
      ReplyNewest();
      clock_.SleepUntil(clock_.Now() + kRetry);
      continue;
    }
    const bool there = Take(agent_->Wait(kLook, &header_, raw_));
    Count();
    if (!there) {
      agent_.reset();
      connected_.store(false, std::memory_order_relaxed);
      counters_.losses.Add();
      continue;
    }
    ReplyNewest();
  }
  ReplyNewest();
  agent_.reset();
}

// A new agent begins an episode, as one in training does.
bool ShmGame::Open() {
  const Status status = ipc::ResearchAgent::Open(settings_.path, settings_.bottom_up, &agent_);
  if (!status.ok()) {
    Say(std::string(status.where) + ": " + status.what);
    return false;
  }
  counted_ = {};
  running_ = false;
  raw_.resize(ipc::ResearchPixelBytes(agent_->width(), agent_->height()));
  const ipc::ResearchEvent found = agent_->Wait(0, &header_, raw_);
  if (found != ipc::ResearchEvent::kObservation && !Take(found)) {
    agent_.reset();
    return false;
  }
  Say("the game is there and has not begun an episode: is it waiting in a menu?");
  AskForEpisode();
  return true;
}

void ShmGame::AskForEpisode() {
  answered_ = true;
  running_ = false;
  agent_->Reset();
}

bool ShmGame::Take(ipc::ResearchEvent event) {
  switch (event) {
    case ipc::ResearchEvent::kObservation:
      Show();
      return true;
    case ipc::ResearchEvent::kResized:
      raw_.resize(ipc::ResearchPixelBytes(agent_->width(), agent_->height()));
      return true;
    case ipc::ResearchEvent::kTerminated:
      Say("the game has ended");
      return false;
    case ipc::ResearchEvent::kGone:
      Say("the game died or was started anew");
      return false;
    case ipc::ResearchEvent::kDamaged:
      Say("its file is cut short or damaged: start the game anew");
      return false;
    default:
      return true;
  }
}

void ShmGame::Show() {
  // A plugin that does not fill `done` may begin anew by itself: its counts fall then.
  if (header_.step < step_ || header_.time_ms < time_ms_) running_ = false;
  if (running_) {
    // Only who fills the rest is known to count observations, and not frames.
    const bool counts = agent_->fills() && header_.step > step_;
    newest_.step += counts ? static_cast<uint64_t>(header_.step - step_) : 1;
    const double passed = (static_cast<double>(header_.time_ms) - time_ms_) / 1000.0;
    newest_.clock += std::min(passed, CapturePort::kLongestStep);
  } else {
    began_ = ++newest_.step;
    ++newest_.run;
  }
  running_ = true;
  step_ = header_.step;
  time_ms_ = header_.time_ms;
  newest_.capture = clock_.Now();
  if (settings_.height > 0) {
    link::FrameView view;
    view.width = static_cast<uint32_t>(agent_->width());
    view.height = static_cast<uint32_t>(agent_->height());
    view.stride = 3 * view.width;
    view.pixels = raw_;
    fit_.Run(view, &frame_);  // raw and of its own size: nothing that could be refused
  }
  counters_.observations.Add();
  connected_.store(true, std::memory_order_relaxed);
  answered_ = false;
  port_.Show(newest_, clock_.Now(), frame_, settings_.height > 0 ? newest_.step : 0);
  if (header_.done != 0 && agent_->fills()) AskForEpisode();
}

// An action has left once it has been written, or once it is known that nobody waits for it: of
// those other counts tell.
void ShmGame::ReplyNewest() {
  const Answer* answer = port_.TakeAnswer();
  if (answer != nullptr && Reply(*answer)) port_.Tell(answer->number, clock_.Now());
}

bool ShmGame::Reply(const Answer& answer) {
  const bool repeats =
      answer.answers < newest_.step && std::memcmp(&answer.action, &heard_, sizeof heard_) == 0;
  heard_ = answer.action;
  if (!connected()) {
    counters_.actions_unsent.Add();
    presses_.Drop(answer);
    return true;
  }
  // A decision that came late still counts in the run that it was made in.
  const bool past = answer.answers < began_;
  if (answered_ || repeats || past) {
    counters_.actions_skipped.Add();
    return true;
  }
  answered_ = true;
  uint64_t lost = 0;
  const ResearchRow row = ResearchOfAction(presses_.Due(answer), &lost);
  counters_.inputs_lost.Add(lost);
  return agent_->Act(row);
}

// What the memory's end counted since, of which every opened file begins anew.
void ShmGame::Count() {
  const ipc::ResearchCounters& now = agent_->counters();
  counters_.actions.Add(now.actions - counted_.actions);
  counters_.resets.Add(now.resets - counted_.resets);
  counters_.torn.Add(now.torn - counted_.torn);
  counters_.lost.Add(now.lost - counted_.lost);
  counted_ = now;
}

}  // namespace metabonk::play
