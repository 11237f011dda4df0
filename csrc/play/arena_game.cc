#include "play/arena_game.h"

#include <cstring>
#include <utility>

#include "play/presses.h"

namespace metabonk::play {

class ArenaGame::Port final : public Source, public Sink {
 public:
  bool Newest(Moment* moment) override {
    if (!shown_.Take() && !waiting_) return false;
    waiting_ = true;
    const Shown& shown = shown_.Taken();
    if (reader_ && !TakeFrame(shown.step)) return false;
    waiting_ = false;
    state_ = shown_.Taken();
    const Shown& now = state_;
    state_.state.dt = static_cast<float>(now.clock - seen_clock_);
    moment->state = &state_.state;
    moment->sequence = now.step;
    moment->capture = now.capture;
    moment->ready = now.ready;
    moment->begins = now.run != seen_run_;
    moment->frame = frame_;
    moment->ground = GroundOf(now.ground);
    seen_clock_ = now.clock;
    seen_run_ = now.run;
    return true;
  }

  bool Act(const Action& action, uint64_t answers) override {
    answers_.Post(presses_.Next(action, answers));
    return true;
  }

  Mailbox<WalkGrid> grounds_;
  Mailbox<Shown> shown_;
  Mailbox<Answer> answers_;
  std::unique_ptr<ipc::RingReader> reader_;

 private:
  // The ground of that number. The game posts it before the first state that stands on it.
  const WalkGrid* GroundOf(uint64_t number) {
    if (grounds_.Taken().number != number) grounds_.Take();
    return number != 0 && grounds_.Taken().number == number ? &grounds_.Taken() : nullptr;
  }

  // The frame of that step. The game commits it before it posts the state, so it may already have
  // been replaced by a newer one, whose state is on its way: then that is waited for.
  bool TakeFrame(uint64_t step) {
    if (reader_->Latest(0, &lease_) == ipc::Take::kFrame) {
      const ipc::FrameInfo& info = lease_.info();
      frame_ = {lease_.data(), static_cast<int32_t>(info.height), static_cast<int32_t>(info.width),
                static_cast<int32_t>(info.channels), info.step};
    }
    return frame_.pixels != nullptr && frame_.step == step;
  }

  PressWriter presses_;
  Shown state_;
  FrameView frame_;
  ipc::Lease lease_;
  bool waiting_ = false;  // for the frame of the state that was taken
  double seen_clock_ = 0.0;
  uint64_t seen_run_ = UINT64_MAX;
};

struct ArenaGame::Arena {
  arena::Environment environment;
  std::unique_ptr<ipc::RingWriter> writer;
  Port port;
  Answer answer;
  PressReader presses;
  uint64_t step = 0, ticks = 0, runs = 0;
  uint64_t grounds = 0, ground_seed = 0;  // how many were posted, and the last one's
};

ArenaGame::ArenaGame(Clock& clock, const ArenaSettings& settings, Journal* inputs)
    : clock_(clock),
      settings_(settings),
      inputs_(inputs),
      scratch_(std::make_unique<arena::Scratch>()) {
  settings_.level.skip_min = settings_.level.skip_max = 1;
  for (const uint64_t seed : settings_.seeds) {
    arenas_.push_back(std::make_unique<Arena>());
    arenas_.back()->environment.Configure(settings_.level, true, settings_.height, settings_.width);
    arenas_.back()->environment.Reset(seed);
  }
}

ArenaGame::~ArenaGame() { Stop(); }

Status ArenaGame::Create(Clock& clock, const ArenaSettings& settings, Journal* inputs,
                         std::unique_ptr<ArenaGame>* made) {
  std::unique_ptr<ArenaGame> game(new ArenaGame(clock, settings, inputs));
  if (settings.height > 0) {
    if (const Status status = game->MakeRings(); !status.ok()) return status;
  }
  *made = std::move(game);
  return Status::Ok();
}

std::string ArenaGame::ring_name(size_t i) const {
  if (settings_.height == 0) return {};
  return i == 0 ? settings_.ring : settings_.ring + "-" + std::to_string(i);
}

Status ArenaGame::MakeRings() {
  for (size_t i = 0; i < arenas_.size(); ++i) {
    ipc::RingOptions options;
    options.name = ring_name(i);
    options.folder = settings_.ring_folder;
    options.frame_bytes =
        static_cast<uint64_t>(settings_.height) * static_cast<uint64_t>(settings_.width) * 3;
    Arena& arena = *arenas_[i];
    if (const Status status = ipc::RingWriter::Create(options, &arena.writer); !status.ok()) {
      return status;
    }
    ipc::ReaderOptions reader;
    reader.name = options.name;
    reader.folder = options.folder;
    reader.spin_us = 0;
    if (const Status status = ipc::RingReader::Open(reader, &arena.port.reader_); !status.ok()) {
      return status;
    }
  }
  return Status::Ok();
}

Source& ArenaGame::source(size_t i) { return arenas_[i]->port; }
Sink& ArenaGame::sink(size_t i) { return arenas_[i]->port; }

uint64_t ArenaGame::actions_overtaken() const {
  uint64_t sum = 0;
  for (const auto& arena : arenas_) sum += arena->port.answers_.replaced();
  return sum;
}

void ArenaGame::Start() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] {
    PrepareThread(settings_.thread, "mb-arena");
    Pacer pacer(clock_, settings_.pacer);
    pacer.Start(clock_.Now());
    while (!stop_.load(std::memory_order_relaxed)) {
      const Beat beat = pacer.Wait();
      lateness_.Add(beat.late());
      skipped_.fetch_add(beat.skipped, std::memory_order_relaxed);
      Tick();
    }
  });
}

void ArenaGame::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

void ArenaGame::Tick() {
  // The first tick shows the beginning; every later one plays first.
  const bool plays = steps_.load(std::memory_order_relaxed) != 0;
  for (size_t i = 0; i < arenas_.size(); ++i) {
    if (plays) Step(i);
    Show(i, clock_.Now());
  }
  steps_.fetch_add(1, std::memory_order_relaxed);
}

void ArenaGame::Step(size_t i) {
  Arena& arena = *arenas_[i];
  if (arena.port.answers_.Take()) arena.answer = arena.port.answers_.Taken();
  const Action action = arena.presses.Due(arena.answer);  // without a new answer keys stay down
  const uint64_t before = arena.environment.episode().world.total_ticks;
  arena.environment.Step(action, *scratch_);
  const arena::Episode& episode = arena.environment.episode();
  ++arena.step;
  if (episode.is_reset) {
    ++arena.runs;
    ++arena.ticks;  // the beginning of a run takes the time of a tick, too
  } else {
    const uint64_t after = episode.world.total_ticks;
    arena.ticks += after > before ? after - before : 1;  // a menu may begin the run anew
  }
  if (inputs_ == nullptr) return;
  InputRecord record = {};
  record.agent = static_cast<uint16_t>(i);
  record.step = arena.step;
  record.action = action;
  if (!inputs_->Push(&record)) unwritten_.fetch_add(1, std::memory_order_relaxed);
}

Status ArenaGame::ShowFrame(size_t i, int64_t capture) {
  Arena& arena = *arenas_[i];
  ipc::FrameShape shape;
  shape.height = static_cast<uint32_t>(settings_.height);
  shape.width = static_cast<uint32_t>(settings_.width);
  std::span<uint8_t> pixels;
  if (const Status status = arena.writer->Begin(shape, &pixels); !status.ok()) return status;
  arena.environment.Picture(settings_.height, settings_.width, pixels.data());
  return arena.writer->Commit(arena.step + 1, static_cast<uint64_t>(capture));
}

void ArenaGame::Show(size_t i, int64_t capture) {
  Arena& arena = *arenas_[i];
  // A state without its frame is not shown: they belong together.
  if (arena.writer && !ShowFrame(i, capture).ok()) {
    unshown_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ShowGround(i);
  Shown& shown = arena.port.shown_.Draft();
  arena.environment.GameStateNow(&shown.state);
  shown.step = arena.step + 1;
  shown.clock = static_cast<double>(arena.ticks) / 60.0;
  shown.run = arena.runs;
  shown.ground = arena.grounds;
  shown.capture = capture;
  shown.ready = clock_.Now();
  arena.port.shown_.Post();
}

void ArenaGame::ShowGround(size_t i) {
  Arena& arena = *arenas_[i];
  const arena::Terrain& terrain = *arena.environment.level().terrain;
  if (arena.grounds != 0 && terrain.seed == arena.ground_seed) return;
  WalkGrid& grid = arena.port.grounds_.Draft();
  MakeWalkGrid(terrain, &grid);
  grid.number = ++arena.grounds;
  arena.ground_seed = terrain.seed;
  arena.port.grounds_.Post();
}

}  // namespace metabonk::play
