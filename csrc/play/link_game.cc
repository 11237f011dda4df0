#include "play/link_game.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "play/capture_port.h"
#include "play/thread.h"

namespace metabonk::play {

namespace {

constexpr int64_t kPoll = 20 * kMillisecond;

link::ClientOptions OptionsOf(const LinkSettings& settings) {
  link::ClientOptions options = settings.client;
  options.capabilities = link::kTakesExtra | link::kTakesInput | link::kTakesStep;
  if (settings.height > 0) {
    options.capabilities |=
        link::kTakesRgb | link::kTakesRgba | link::kTakesBottomUp | link::kTakesRing;
    if (settings.decodes) options.capabilities |= link::kTakesJpeg;
    options.height = static_cast<uint16_t>(settings.height);
    options.width = static_cast<uint16_t>(settings.width);
  }
  return options;
}

// A frame of the ring as the link's frames are described; empty for formats that it does not have.
link::FrameView ViewOf(const ipc::Lease& lease) {
  const ipc::FrameInfo& info = lease.info();
  link::FrameView view;
  switch (info.format) {
    case ipc::FrameFormat::kRgb8:
      view.format = link::PixelFormat::kRgb;
      break;
    case ipc::FrameFormat::kRgba8:
      view.format = link::PixelFormat::kRgba;
      break;
    case ipc::FrameFormat::kJpeg:
      view.format = link::PixelFormat::kJpeg;
      break;
    default:
      return view;
  }
  view.row_order = info.row_order == ipc::RowOrder::kTopDown ? link::RowOrder::kTopDown
                                                             : link::RowOrder::kBottomUp;
  view.width = info.width;
  view.height = info.height;
  view.stride = info.row_stride;
  view.pixels = {lease.data(), info.bytes};
  return view;
}

}  // namespace

class LinkGame::Port final : public CapturePort {
 public:
  Port(const LinkSettings& settings, link::Client& client)
      : CapturePort(settings.height, settings.width), client_(client) {}

 protected:
  void Wake() override { client_.Wake(); }

 private:
  link::Client& client_;
};

LinkGame::LinkGame(Clock& clock, const LinkSettings& settings)
    : clock_(clock),
      settings_(settings),
      client_(OptionsOf(settings)),
      port_(std::make_unique<Port>(settings, client_)),
      fit_(settings.height, settings.width),
      jpegs_(settings.height, settings.width) {}

LinkGame::~LinkGame() { Stop(); }

Source& LinkGame::source() { return *port_; }
Sink& LinkGame::sink() { return *port_; }
uint64_t LinkGame::actions_overtaken() const { return port_->overtaken(); }

void LinkGame::Start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] {
    granted_ = PrepareThread(settings_.thread, "mb-link");
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

uint64_t LinkGame::frames_refused() const {
  return raw_refused_.load(std::memory_order_relaxed) + jpegs_.unreadable();
}

bool LinkGame::AnswerJpeg(const link::FrameView* picture) {
  if (!jpegs_.Answer(picture)) return false;
  client_.Wake();
  return true;
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
    TellSent();
    if (fresh) Show();
    ShowDecoded();
    SendNewest();
  }
  SendNewest();
  client_.Disconnect();
}

void LinkGame::SendNewest() {
  const Answer* answer = port_->TakeAnswer();
  if (answer == nullptr) return;
  Send(*answer);
  sending_ = answer->number;
  sending_since_ = clock_.Now();
  sending_losses_ = client_.counters().losses.value();
  TellSent();
}

void LinkGame::Send(const Answer& answer) {
  if (!client_.connected()) return presses_.Drop(answer);
  Action action = presses_.Due(answer);
  if (placed_) settings_.offers.Click(newest_.state, &action);
  client_.Send(action);
}

// An action has left once the socket has taken it; or nobody is there to send it to, which is told
// by other counts. One that was lost with its connection, on the way, never left.
void LinkGame::TellSent() {
  if (sending_ == 0) return;
  const bool lost = client_.counters().losses.value() != sending_losses_;
  const int64_t flushed = client_.flushed_ns();
  if (!lost && client_.connected() && flushed == 0) return;
  if (!lost) port_->Tell(sending_, std::max(flushed, sending_since_));
  sending_ = 0;
}

// Where the game does not say it, a run begins when its clock goes back or its seed changes.
bool LinkGame::Begins(const link::Tick& tick) {
  const GameState& state = tick.state;
  if (tick.trailers.step.has_value()) return tick.trailers.step->is_first || !any_;
  const bool other = (state.fields & kHasRun) && state.run_seed != seed_;
  return !any_ || state.time + 0.5 < time_ || other;
}

// What the game says now, and when it was so.
void LinkGame::Note(const link::Tick& tick) {
  const int64_t now = clock_.Now();
  if (Begins(tick)) ++newest_.run;
  const double passed = tick.state.time - time_;
  // A new run's clock starts anew; what the game says of the step between is all there is.
  const bool sane = any_ && passed >= 0.0 && passed <= CapturePort::kLongestStep;
  const double said = static_cast<double>(tick.state.dt);
  newest_.clock += sane && passed > 0.0 ? passed : std::isfinite(said) ? std::max(said, 0.0) : 0.0;
  time_ = tick.state.time;
  seed_ = tick.state.run_seed;
  any_ = true;
  newest_.state = tick.state;
  placed_ = settings_.offers.Show(&newest_.state);
  newest_.step += 1 + tick.skipped;
  newest_.capture = tick.received_ns;
  if (tick.capture_ns != 0 && client_.clock().known()) {
    newest_.capture = std::min(client_.clock().ToOurs(tick.capture_ns, now), tick.received_ns);
  }
}

void LinkGame::Remember(const link::Tick& tick) {
  if (tick.first) captured_ = {};
  captured_[newest_.step % captured_.size()] = {newest_.step, tick.capture_ns};
}

// Which capture a picture is of that was taken then, by the game's clock; the newest where the game
// does not say it, as in v1, where pictures come with their states.
uint64_t LinkGame::StepOf(int64_t captured_ns) const {
  uint64_t step = newest_.step;
  if (captured_ns == 0) return step;
  for (uint64_t back = 0; back < captured_.size() && back < newest_.step; ++back) {
    const Captured& captured = captured_[(newest_.step - back) % captured_.size()];
    if (captured.step != newest_.step - back) continue;  // overtaken, or of another connection
    step = captured.step;
    if (captured.at <= captured_ns) break;
  }
  return step;
}

void LinkGame::Show() {
  const link::Tick& tick = client_.tick();
  Note(tick);
  Remember(tick);
  const Got got = reads_frames() ? TakeFrame(tick) : Got::kNothing;
  // What came since a JPEG that is being decoded is shown with its picture.
  if (got != Got::kPicture && jpegs_.busy()) return;
  Post(newest_);
}

void LinkGame::ShowDecoded() {
  JpegMailbox::Picture* picture = jpegs_.Take();
  if (picture == nullptr) return;
  if (picture->whole && picture->framed_at >= framed_at_) {
    frame_.swap(picture->pixels);
    framed_at_ = picture->framed_at;
  }
  // While a newer JPEG is under way, a later state is that one's.
  Post(jpegs_.busy() ? picture->shown : newest_);
}

void LinkGame::Post(const Shown& shown) {
  if (shown.step <= posted_ || (reads_frames() && framed_at_ == 0)) return;
  posted_ = shown.step;
  framed_.store(framed_at_ != 0, std::memory_order_relaxed);
  port_->Show(shown, clock_.Now(), frame_, framed_at_);
}

// A ring is looked at once for each time that it is offered: while a refusal is on its way the game
// still names it, and every connection offers it anew.
void LinkGame::FollowRing() {
  const uint64_t connection = client_.counters().connections.value();
  const bool known = client_.ring() == ring_name_ && (ring_ || connection == ring_connection_);
  if (known) return;
  ring_connection_ = connection;
  ring_name_ = client_.ring();
  ring_.reset();
  if (ring_name_.empty() || OpenRing()) return;
  rings_refused_.Add();
  client_.RefuseRing();
}

// Whether the ring can be seen from here: not from another container, nor as another user. A reader
// waits for rings that are not there yet, but the game has made this one before it named it.
bool LinkGame::OpenRing() {
  ipc::ReaderOptions options;
  options.name = ring_name_;
  options.folder = settings_.ring_folder;
  options.spin_us = 0;
  if (ipc::RingReader::Open(options, &ring_).ok() && ring_->alive()) return true;
  ring_.reset();
  return false;
}

LinkGame::Got LinkGame::TakeFrame(const link::Tick& tick) {
  FollowRing();
  // Sent before the game knew of the ring: newer than what is there.
  return tick.frame.empty() ? TakeFromRing() : Take(tick.frame, tick.frame_capture_ns);
}

LinkGame::Got LinkGame::TakeFromRing() {
  if (!ring_ || ring_->Latest(0, &lease_) != ipc::Take::kFrame) return Got::kNothing;
  const Got got = Take(ViewOf(lease_), static_cast<int64_t>(lease_.info().capture_ns));
  lease_.Release();
  return got;
}

LinkGame::Got LinkGame::Take(const link::FrameView& frame, int64_t captured_ns) {
  if (settings_.decodes && frame.format == link::PixelFormat::kJpeg) {
    jpegs_.Hand(newest_, StepOf(captured_ns), frame.pixels);
    return Got::kJpeg;
  }
  if (fit_.Run(frame, &frame_)) {
    framed_at_ = StepOf(captured_ns);
    return Got::kPicture;
  }
  raw_refused_.fetch_add(1, std::memory_order_relaxed);
  return Got::kNothing;
}

}  // namespace metabonk::play
