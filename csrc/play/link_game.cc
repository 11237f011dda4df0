#include "play/link_game.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "play/thread.h"

namespace metabonk::play {

namespace {

constexpr int64_t kPoll = 20 * kMillisecond;
constexpr double kLongestStep = 10.0;  // seconds of game time between two captures

link::ClientOptions OptionsOf(const LinkSettings& settings) {
  link::ClientOptions options = settings.client;
  options.capabilities = link::kTakesExtra | link::kTakesInput | link::kTakesStep;
  if (settings.height > 0) {
    options.capabilities |=
        link::kTakesRgb | link::kTakesRgba | link::kTakesBottomUp | link::kTakesRing;
    options.height = static_cast<uint16_t>(settings.height);
    options.width = static_cast<uint16_t>(settings.width);
  }
  return options;
}

}  // namespace

// A capture and its frame, which is empty where none came.
struct Captured {
  Shown shown;
  std::vector<uint8_t> pixels;
  bool framed = false;
};

class LinkGame::Port final : public Source, public Sink {
 public:
  explicit Port(const LinkSettings& settings) : height_(settings.height), width_(settings.width) {}

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
    if (captured.framed) {
      moment->frame = {captured.pixels.data(), height_, width_, 3, shown.step};
    }
    seen_clock_ = shown.clock;
    seen_run_ = shown.run;
    return true;
  }

  bool Act(const Action& action, uint64_t answers) override {
    answers_.Post(presses_.Next(action, answers));
    if (client != nullptr) client->Wake();
    return true;
  }

  Mailbox<Captured> captures_;
  Mailbox<Answer> answers_;
  link::Client* client = nullptr;
  PressReader presses;  // of the thread that serves

 private:
  PressWriter presses_;
  const int32_t height_, width_;
  double seen_clock_ = 0.0;
  uint64_t seen_run_ = UINT64_MAX;
};

LinkGame::LinkGame(Clock& clock, const LinkSettings& settings)
    : clock_(clock),
      settings_(settings),
      client_(OptionsOf(settings)),
      port_(std::make_unique<Port>(settings)) {
  port_->client = &client_;
}

LinkGame::~LinkGame() { Stop(); }

Source& LinkGame::source() { return *port_; }
Sink& LinkGame::sink() { return *port_; }

void LinkGame::Start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] {
    PrepareThread({}, "mb-link");
    Serve();
  });
}

void LinkGame::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  client_.Wake();
  if (thread_.joinable()) thread_.join();
}

std::string LinkGame::why() const {
  const std::lock_guard<std::mutex> lock(why_mutex_);
  return why_;
}

void LinkGame::Say(const std::string& text) {
  const std::lock_guard<std::mutex> lock(why_mutex_);
  why_ = text;
}

void LinkGame::Serve() {
  while (!stop_.load(std::memory_order_relaxed)) {
    bool fresh = false;
    const Status status = client_.Poll(kPoll, &fresh);
    connected_.store(client_.connected(), std::memory_order_relaxed);
    if (!status.ok()) {  // final: nothing that waiting would mend
      Say(std::string(status.where) + ": " + status.what);
      failed_.store(true, std::memory_order_release);
      return;
    }
    if (!client_.connected()) Say(client_.last_error());
    if (fresh) Show();
    if (port_->answers_.Take()) Send(port_->answers_.Taken());
  }
  client_.Disconnect();
}

void LinkGame::Send(const Answer& answer) {
  if (client_.connected()) {
    client_.Send(port_->presses.Due(answer));
  } else {
    port_->presses.Drop(answer);
  }
}

// Where the game does not say it, a run begins when its clock goes back or its seed changes.
bool LinkGame::Begins(const link::Tick& tick) {
  const GameState& state = tick.state;
  if (tick.trailers.step.has_value()) return tick.trailers.step->is_first || !any_;
  const bool other = (state.fields & kHasRun) && state.run_seed != seed_;
  return !any_ || state.time + 0.5 < time_ || other;
}

void LinkGame::Show() {
  const link::Tick& tick = client_.tick();
  const int64_t now = clock_.Now();
  if (Begins(tick)) ++runs_;
  const double passed = tick.state.time - time_;
  // A new run's clock starts anew; what the game says of the step between is all there is.
  const bool sane = any_ && passed >= 0.0 && passed <= kLongestStep;
  const double said = static_cast<double>(tick.state.dt);
  game_clock_ += sane && passed > 0.0 ? passed : std::isfinite(said) ? std::max(said, 0.0) : 0.0;
  time_ = tick.state.time;
  seed_ = tick.state.run_seed;
  any_ = true;
  Captured& captured = port_->captures_.Draft();
  Shown& shown = captured.shown;
  std::memcpy(static_cast<void*>(&shown.state), &tick.state, sizeof(GameState));
  shown.step = ++captures_ + tick.skipped;
  captures_ = shown.step;
  shown.run = runs_;
  shown.clock = game_clock_;
  shown.capture = tick.received_ns;
  if (tick.capture_ns != 0 && client_.clock().known()) {
    shown.capture = std::min(client_.clock().ToOurs(tick.capture_ns, now), tick.received_ns);
  }
  captured.framed = settings_.height > 0 && TakeFrame(tick, &captured.pixels);
  shown.ready = clock_.Now();
  port_->captures_.Post();
}

bool LinkGame::TakeFrame(const link::Tick& tick, std::vector<uint8_t>* to) {
  if (client_.ring() != ring_name_) {
    ring_name_ = client_.ring();
    ring_.reset();
    ipc::ReaderOptions options;
    options.name = ring_name_;
    options.spin_us = 0;
    if (!ring_name_.empty() && !ipc::RingReader::Open(options, &ring_).ok()) client_.RefuseRing();
  }
  bool taken = false;
  if (ring_ && ring_->Again(0, &lease_) == ipc::Take::kFrame) {
    const ipc::FrameInfo& info = lease_.info();
    link::FrameView view;
    view.format = info.format == ipc::FrameFormat::kRgba8 ? link::PixelFormat::kRgba
                                                          : link::PixelFormat::kRgb;
    view.row_order = info.row_order == ipc::RowOrder::kTopDown ? link::RowOrder::kTopDown
                                                               : link::RowOrder::kBottomUp;
    view.width = info.width;
    view.height = info.height;
    view.stride = info.row_stride;
    view.pixels = {lease_.data(), info.bytes};
    const bool known =
        info.format == ipc::FrameFormat::kRgb8 || info.format == ipc::FrameFormat::kRgba8;
    taken = known && Shrink(view, to);
    lease_.Release();
  } else if (!tick.frame.empty() && tick.frame.format != link::PixelFormat::kJpeg) {
    taken = Shrink(tick.frame, to);
  }
  if (!taken) frames_refused_.fetch_add(1, std::memory_order_relaxed);
  return taken;
}

// To the size that is read, the top row first, without gaps and without alpha.
bool LinkGame::Shrink(const link::FrameView& frame, std::vector<uint8_t>* to) {
  const uint32_t height = frame.height, width = frame.width;
  if (height == 0 || width == 0) return false;
  const auto bytes =
      static_cast<size_t>(settings_.height) * static_cast<size_t>(settings_.width) * 3;
  to->resize(bytes);
  const uint8_t* rgb = frame.pixels.data();
  const bool plain = frame.format == link::PixelFormat::kRgb && frame.stride == width * 3 &&
                     frame.row_order == link::RowOrder::kTopDown;
  if (!plain) {
    upright_.resize(size_t{height} * width * 3);
    if (!link::CopyUpright(frame, upright_).ok()) return false;
    rgb = upright_.data();
  }
  if (height == static_cast<uint32_t>(settings_.height) &&
      width == static_cast<uint32_t>(settings_.width)) {
    std::memcpy(to->data(), rgb, bytes);
    return true;
  }
  if (!resizer_ || height != from_height_ || width != from_width_) {
    resizer_ = std::make_unique<video::Resizer>(static_cast<int>(height), static_cast<int>(width),
                                                3, settings_.height, settings_.width,
                                                video::ResizeMethod::kArea);
    from_height_ = height;
    from_width_ = width;
  }
  resizer_->Run(rgb, 1, to->data());
  return true;
}

}  // namespace metabonk::play
