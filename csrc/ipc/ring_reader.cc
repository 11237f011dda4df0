#include "ipc/ring_reader.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "ipc/attachment.h"
#include "ipc/futex.h"
#include "ipc/ring_file.h"
#include "metabonk/count.h"

namespace metabonk::ipc {
namespace {

constexpr int kPinTries = 64;
constexpr int64_t kSleepNs = 20'000'000;        // at most, between two looks at who lives
constexpr int64_t kAttachPeriodNs = 1'000'000;  // between two looks for a file
constexpr int64_t kMicrosecond = 1'000;
// For how long an announced frame is looked for: some times what its last part takes to copy.
constexpr int64_t kComingNs = 200'000;

}  // namespace

Lease::Lease() = default;
Lease::~Lease() { Release(); }

Lease::Lease(Lease&& other) noexcept { *this = std::move(other); }

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  from_ = std::move(other.from_);
  data_ = std::exchange(other.data_, nullptr);
  index_ = other.index_;
  slot_ = other.slot_;
  info_ = other.info_;
  return *this;
}

// A child after a fork has a copy of its parent's lease, which is the parent's to give back.
bool Lease::Valid() const {
  return data_ != nullptr && from_->segment().ours() &&
         from_->leases().Whole(index_, slot_, info_.number);
}

bool Lease::Release() {
  if (data_ == nullptr) return false;
  const bool whole = Valid();
  if (from_->segment().ours()) {
    from_->leases().Unpin(index_, slot_);
    from_->Free(index_);
    if (!whole) from_->lost.fetch_add(1, std::memory_order_relaxed);
  }
  data_ = nullptr;
  from_.reset();
  return whole;
}

bool Lease::AllowWriting() {
  return data_ != nullptr && from_->segment().Protect(from_->geometry().pixels_offset, true);
}

// One thread takes frames; others may ask meanwhile what it is attached to, why and how often.
struct RingReader::State {
  explicit State(const ReaderOptions& o) : options(o) {}

  struct Counted {
    Count frames, skipped, attached, looks, overtaken, awaited, vain, refused, lost, reclaimed;
  };

  Take Get(int64_t timeout_ns, Lease* lease, bool again);
  bool Attached();
  void Detach();
  Take Try(Lease* lease, uint64_t after);
  Take Fill(Lease* lease, uint32_t index, uint32_t slot, uint64_t number);
  void Wait(int64_t ns, uint64_t after);
  bool Announced(uint64_t after);
  bool Look(int64_t ns, uint64_t after) const;
  void Say(const Status& status);
  bool alive() const { return at && at->alive(); }
  std::shared_ptr<Attachment> Shared() const;

  ReaderOptions options;
  std::string path;
  mutable std::mutex mutex;  // held for changes of `at` and `why`, and by others who read them
  std::shared_ptr<Attachment> at;
  uint64_t last = 0, last_session = 0;
  uint64_t refused = 0;  // the last frame that could not be handed out, in this session
  uint64_t coming = 0;   // the last announcement that was heeded, in this session
  int64_t next_look_ns = 0;
  bool full = false;
  Status why;
  Counted counts;
};

void RingReader::State::Detach() {
  std::shared_ptr<Attachment> old;  // ends without the mutex: it leaves the table and its heart
  {
    const std::lock_guard lock(mutex);
    counts.lost.Add(at->lost.load(std::memory_order_relaxed));
    counts.reclaimed.Add(at->reclaimed.load(std::memory_order_relaxed));
    at.swap(old);
  }
  next_look_ns = 0;
}

void RingReader::State::Say(const Status& status) {
  if (why.ok() && status.ok()) return;
  const std::lock_guard lock(mutex);
  why = status;
}

std::shared_ptr<Attachment> RingReader::State::Shared() const {
  const std::lock_guard lock(mutex);
  return at;
}

// Whether there is a ring to take frames from, after looking for one. What a child inherited is its
// parent's entry: it takes one of its own.
bool RingReader::State::Attached() {
  if (at && (!at->segment().ours() || !at->open())) Detach();
  if (at) return true;
  const int64_t now = MonotonicNs();
  if (now < next_look_ns) return false;
  next_look_ns = now + kAttachPeriodNs;
  std::shared_ptr<Attachment> made;
  Say(Attachment::Make(path, options.locks, options.beats, &made, &full));
  if (!made) return false;
  {
    const std::lock_guard lock(mutex);
    at.swap(made);
  }
  counts.attached.Add();
  if (at->session() != last_session) last = refused = coming = 0;
  last_session = at->session();
  return true;
}

Take RingReader::State::Try(Lease* lease, uint64_t after) {
  counts.looks.Add();
  const int index = at->Hold();
  if (index < 0) {
    Say({Code::kUnavailable, "lease", "all are held: let one go, or make the ring with more"});
    return Take::kNoLease;
  }
  const auto held = static_cast<uint32_t>(index);
  uint32_t slot = 0;
  uint64_t number = 0;
  const Pinned pinned = at->leases().Pin(held, after, kPinTries, &slot, &number);
  if (pinned == Pinned::kTaken) return Fill(lease, held, slot, number);
  at->Free(held);
  if (pinned == Pinned::kOvertaken) counts.overtaken.Add();
  if (pinned == Pinned::kEvicted) at->Evicted();
  if (pinned == Pinned::kImpossible) {
    Say({Code::kCorrupt, "newest", "names a slot that the ring does not have"});
    last = refused = number;
    counts.refused.Add();
  }
  return Take::kTimeout;
}

Take RingReader::State::Fill(Lease* lease, uint32_t index, uint32_t slot, uint64_t number) {
  if (last != 0 && number > last + 1) counts.skipped.Add(number - last - 1);
  const bool anew = number != last;
  last = number;
  const RingGeometry& geometry = at->geometry();
  const Status status = ReadSlot(at->words().slot(slot), geometry.pixels_stride, &lease->info_);
  if (!status.ok()) {
    at->leases().Unpin(index, slot);
    at->Free(index);
    Say(status);
    refused = number;
    counts.refused.Add(anew ? 1 : 0);
    return Take::kTimeout;
  }
  at->Touch(slot);
  lease->info_.session = at->session();
  lease->info_.number = number;
  lease->index_ = index;
  lease->slot_ = slot;
  lease->data_ = at->segment().data() + geometry.pixels_of(slot);
  lease->from_ = at;
  counts.frames.Add();
  Say(Status::Ok());
  return Take::kFrame;
}

// Until a frame newer than `after`, or for a while.
void RingReader::State::Wait(int64_t ns, uint64_t after) {
  if (!at) return SleepNs(std::min(ns, kAttachPeriodNs));
  if (!at->wakes()) return SleepNs(std::min(ns, options.poll_us * kMicrosecond));
  const bool announced = Announced(after);
  const int64_t look = std::max(options.spin_us * kMicrosecond, announced ? kComingNs : 0);
  if (Look(std::min(ns, look), after)) {
    counts.awaited.Add(announced);
    return;
  }
  counts.vain.Add(announced);
  metabonk_ring_header& header = at->words().header();
  std::atomic_ref(header.sleeper).store(ProcessorNow() + 1u, std::memory_order_relaxed);
  uint32_t bell = 0;
  if (at->leases().MaySleep(after, &bell)) {
    FutexWait(&header.doorbell, bell, std::min(ns, kSleepNs));
  }
}

// Whether the next frame is on its way from another processor, said once for each: one that does
// not come is not looked for again, and a writer that this one has pushed aside cannot go on before
// it sleeps.
bool RingReader::State::Announced(uint64_t after) {
  const SharedWords& words = at->words();
  const uint64_t said = std::atomic_ref(words.header().coming).load(std::memory_order_acquire);
  const uint64_t next = said >> 16;
  if (next <= after || next == coming) return false;
  if (next != (words.Load<Site::kNewest>({Kind::kNewest}) >> 8) + 1) return false;
  coming = next;
  return static_cast<uint16_t>(said) != ProcessorNow();
}

// Looks for a frame newer than `after` for a while; whether there is one.
bool RingReader::State::Look(int64_t ns, uint64_t after) const {
  const SharedWords& words = at->words();
  const int64_t until = MonotonicNs() + ns;
  do {
    for (int i = 0; i < 16; ++i) {
      if (words.Load<Site::kNewest>({Kind::kNewest}) >> 8 > after) return true;
      Relax();
    }
  } while (MonotonicNs() < until);
  return false;
}

Take RingReader::State::Get(int64_t timeout_ns, Lease* lease, bool again) {
  lease->Release();
  const int64_t deadline = MonotonicNs() + std::max<int64_t>(timeout_ns, 0);
  bool was_alive = alive();
  while (true) {
    const bool attached = Attached();
    const uint64_t after = again ? 0 : last;
    if (attached) {
      const Take take = Try(lease, after);
      if (take != Take::kTimeout) return take;
    }
    const bool is_alive = alive();
    const int64_t left = deadline - MonotonicNs();
    // Who waits for a frame is told at once that its writer went; after that, waiting is for
    // another one.
    if (left <= 0 || (was_alive && !is_alive)) {
      if (is_alive) return Take::kTimeout;
      if (at) Say({Code::kUnavailable, "writer", "is silent: the game hangs or has died"});
      return !at && full ? Take::kNoRoom : Take::kNoWriter;
    }
    was_alive = is_alive;
    // One that was refused is there still: who takes any frame waits for a newer one all the same.
    Wait(left, again ? refused : last);
  }
}

RingReader::RingReader(const ReaderOptions& options) : state_(std::make_unique<State>(options)) {}
RingReader::~RingReader() = default;

Status RingReader::Open(const ReaderOptions& options, std::unique_ptr<RingReader>* out) {
  std::unique_ptr<RingReader> reader(new RingReader(options));
  State& state = *reader->state_;
  const Status status = RingPath(options.folder, options.name, &state.path);
  if (!status.ok()) return status;
  if (options.poll_us < 1 || options.poll_us > 1000) {
    return {Code::kOutOfRange, "poll_us", "must be 1..1000"};
  }
  if (options.spin_us > 1000) return {Code::kOutOfRange, "spin_us", "must be 0..1000"};
  SweepRings(options.folder);
  state.Attached();
  *out = std::move(reader);
  return Status::Ok();
}

Take RingReader::Latest(int64_t timeout_ns, Lease* lease) {
  return state_->Get(timeout_ns, lease, false);
}
Take RingReader::Again(int64_t timeout_ns, Lease* lease) {
  return state_->Get(timeout_ns, lease, true);
}
bool RingReader::alive() const {
  const std::shared_ptr<Attachment> at = state_->Shared();
  return at && at->alive();
}

uint64_t RingReader::session() const {
  const std::shared_ptr<Attachment> at = state_->Shared();
  return at ? at->session() : 0;
}

Status RingReader::why() const {
  const std::lock_guard lock(state_->mutex);
  return state_->why;
}

uint8_t* RingReader::Region(uint64_t* bytes, std::shared_ptr<const void>* hold) const {
  const std::shared_ptr<Attachment> at = state_->Shared();
  if (!at) return nullptr;
  *bytes = at->geometry().total_bytes - at->geometry().pixels_offset;
  *hold = at;
  return at->segment().data() + at->geometry().pixels_offset;
}

ReaderCounts RingReader::counts() const {
  const State::Counted& counted = state_->counts;
  const std::lock_guard lock(state_->mutex);
  ReaderCounts counts{
      .frames = counted.frames.value(),
      .skipped = counted.skipped.value(),
      .attached = counted.attached.value(),
      .looks = counted.looks.value(),
      .overtaken = counted.overtaken.value(),
      .awaited = counted.awaited.value(),
      .vain = counted.vain.value(),
      .refused = counted.refused.value(),
      .lost = counted.lost.value(),
      .reclaimed = counted.reclaimed.value(),
  };
  if (state_->at) {
    counts.lost += state_->at->lost.load(std::memory_order_relaxed);
    counts.reclaimed += state_->at->reclaimed.load(std::memory_order_relaxed);
  }
  return counts;
}

}  // namespace metabonk::ipc
