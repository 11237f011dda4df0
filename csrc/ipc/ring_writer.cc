#include "ipc/ring_writer.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "ipc/futex.h"
#include "ipc/heartbeat.h"
#include "ipc/ring_file.h"
#include "ipc/ring_memory.h"
#include "ipc/segment.h"

namespace metabonk::ipc {
namespace {

using Claims = RingClaims<SharedWords>;
using Leases = RingLeases<SharedWords>;

constexpr uint32_t kBeatsPerLook = 16;  // how seldom the name is looked at
// Of a frame that is copied: its last part, which takes about as long as a sleeper takes to wake,
// and how little of one is over before the announcement would be worth its system call.
constexpr size_t kLastPart = 512 << 10;
constexpr size_t kWorthAnnouncing = 64 << 10;
constexpr Status kTaken{Code::kUnavailable, "name",
                        "another writer has taken this ring's name: end it, or choose another"};
constexpr Status kFull{Code::kUnavailable, "folder",
                       "has no memory left for the ring's frames: free some, or make them smaller"};

uint64_t NewSession() {
  uint64_t session = 0;
  while (session == 0) {
    if (getrandom(&session, sizeof session, 0) != sizeof session) {
      session = static_cast<uint64_t>(MonotonicNs());
    }
  }
  return session;
}

// One file and what the writer knows of it.
struct Made {
  std::shared_ptr<Segment> segment;
  RingGeometry geometry;
  SharedWords words;
  std::unique_ptr<Claims> claims;
  std::vector<bool> reserved;  // slots that have memory
};

// Memory for a slot's pixels, so that writing there is no fault, now or ever.
bool ReserveSlot(Made* made, uint32_t slot) {
  if (made->reserved[slot]) return true;
  const uint64_t offset = made->geometry.pixels_of(slot);
  const uint64_t bytes = made->geometry.pixels_stride;
  if (!made->segment->Reserve(offset, bytes)) return false;
  made->segment->Populate(offset, bytes, true);
  made->reserved[slot] = true;
  return true;
}

Status MakeRing(const RingOptions& options, uint64_t frame_bytes, Made* out) {
  Made made;
  Status status = RingGeometry::Make(options.readers, options.leases, frame_bytes, &made.geometry);
  if (!status.ok()) return status;
  const RingGeometry& g = made.geometry;
  std::unique_ptr<Segment> segment;
  status = Segment::Make(options.folder, g.total_bytes, &segment);
  if (!status.ok()) return status;
  made.segment = std::move(segment);
  if (!made.segment->Reserve(0, g.pixels_offset)) return kFull;
  made.words = SharedWords(made.segment->data(), g);
  metabonk_ring_header& header = made.words.header();
  header.version = METABONK_RING_VERSION;
  header.header_bytes = sizeof header;
  header.session = NewSession();
  header.total_bytes = g.total_bytes;
  header.slot_count = g.counts.slots;
  header.reader_count = g.counts.readers;
  header.lease_count = g.counts.leases;
  if (options.wakes) header.flags |= METABONK_RING_WRITER_WAKES;
  if (options.locks) header.flags |= METABONK_RING_WRITER_LOCKS;
  header.pixels_offset = g.pixels_offset;
  header.pixels_stride = g.pixels_stride;
  header.state = METABONK_RING_OPEN;
  std::atomic_ref(header.magic).store(METABONK_RING_MAGIC, std::memory_order_release);
  if (options.locks && !made.segment->Lock(0)) {
    return {Code::kUnavailable, "folder", "takes no file locks: use another, as /dev/shm"};
  }
  made.claims = std::make_unique<Claims>(made.words, g.counts);
  made.reserved.assign(g.counts.slots, false);
  for (uint32_t slot = 0; slot < Claims::kInUse; ++slot) {
    if (!ReserveSlot(&made, slot)) return kFull;
  }
  *out = std::move(made);
  return Status::Ok();
}

void SayState(const Made& made, uint32_t state) {
  metabonk_ring_header& header = made.words.header();
  std::atomic_ref(header.state).store(state, std::memory_order_release);
  FutexWake(&header.doorbell);
}

// Gives a new ring its name, which a dead writer may have had.
Status TakeName(Segment* segment, const std::string& path) {
  for (int tries = 0; tries < 4; ++tries) {
    if (segment->Name(path)) return Status::Ok();
    const Status status = ClearRing(path);
    if (!status.ok()) return status;
  }
  return kTaken;
}

// The readers of one ring as its writer sees them.
class Roll {
 public:
  void Look(const Made& made, int64_t now) {
    uint32_t living = 0;
    for (uint32_t i = 0; i < made.geometry.counts.readers; ++i) living += Lives(made, i, now);
    living_.store(living, std::memory_order_relaxed);
  }
  void Clear() { std::fill(std::begin(seen_), std::end(seen_), Seen{}); }

  uint32_t living() const { return living_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  struct Seen {
    uint32_t token = 0;
    Pulse pulse;
  };

  bool Lives(const Made& made, uint32_t i, int64_t now) {
    metabonk_ring_reader& reader = made.words.reader(i);
    const uint32_t token = std::atomic_ref(reader.token).load(std::memory_order_acquire);
    if (token != seen_[i].token) seen_[i] = {token, {}};
    if (token % 2 == 0) return false;
    const int64_t still =
        seen_[i].pulse.Still(std::atomic_ref(reader.beat).load(std::memory_order_acquire), now);
    if (still < kBeatMissedNs) return true;
    const uint32_t flags = std::atomic_ref(reader.flags).load(std::memory_order_acquire);
    const bool locks = flags & METABONK_RING_READER_LOCKS;
    const bool unlocked = locks && !made.segment->Locked(1 + i);
    if (!unlocked && still < kBeatTimeoutNs) return true;
    const bool dead = locks ? unlocked : still >= kBeatGraceNs;
    if (dead && Leases::Evict(made.words, made.geometry.counts, i, token)) {
      lost_.fetch_add(1, std::memory_order_relaxed);
    }
    return false;
  }

  Seen seen_[METABONK_RING_READERS_MAX];
  std::atomic<uint32_t> living_{0};
  std::atomic<uint64_t> lost_{0};
};

}  // namespace

struct RingWriter::Ring final : Beating {
  explicit Ring(const RingOptions& o) : options(o) {}

  void Beat(int64_t now_ns) override {
    const std::lock_guard lock(mutex);
    metabonk_ring_header& header = made.words.header();
    std::atomic_ref(header.beat).store(++beats, std::memory_order_release);
    roll.Look(made, now_ns);
    const uint32_t state = std::atomic_ref(header.state).load(std::memory_order_acquire);
    const bool named = beats % kBeatsPerLook != 0 || made.segment->Is(path);
    if (state != METABONK_RING_OPEN || !named) reclaimed.store(true, std::memory_order_relaxed);
  }

  // A new file under the ring's name, for larger frames or because the old one is gone.
  Status Renew(uint64_t frame_bytes) {
    Made next;
    Status status = MakeRing(options, frame_bytes, &next);
    if (!status.ok()) return status;
    RemoveSegment(*made.segment, path);
    status = TakeName(next.segment.get(), path);
    if (!status.ok()) {
      reclaimed.store(true, std::memory_order_relaxed);  // so that the next frame tries again
      return status;
    }
    {
      const std::lock_guard lock(mutex);
      std::swap(made, next);
      roll.Clear();
      reclaimed.store(false, std::memory_order_relaxed);
    }
    SayState(next, METABONK_RING_REPLACED);
    replaced.fetch_add(1, std::memory_order_relaxed);
    return Status::Ok();
  }

  RingOptions options;
  std::string path;
  Made made;
  FrameShape shape;
  uint64_t shape_bytes = 0;
  Roll roll;
  uint64_t beats = 0;
  std::mutex mutex;  // between a change of `made` and the heart, or others who ask
  std::atomic<bool> reclaimed{false};
  std::atomic<uint64_t> frames{0}, replaced{0};
};

RingWriter::RingWriter(const RingOptions& options) : ring_(std::make_unique<Ring>(options)) {}

Status RingWriter::Create(const RingOptions& options, std::unique_ptr<RingWriter>* out) {
  std::unique_ptr<RingWriter> writer(new RingWriter(options));
  Ring& ring = *writer->ring_;
  Status status = RingPath(options.folder, options.name, &ring.path);
  if (!status.ok()) return status;
  Made made;
  status = MakeRing(options, options.frame_bytes, &made);
  if (!status.ok()) return status;
  SweepRings(options.folder);
  status = TakeName(made.segment.get(), ring.path);
  if (!status.ok()) return status;
  ring.made = std::move(made);
  if (options.beats) StartBeating(&ring);
  *out = std::move(writer);
  return Status::Ok();
}

RingWriter::~RingWriter() {
  if (!ring_->made.segment) return;
  StopBeating(ring_.get());
  if (!ring_->made.segment->ours()) return;
  RemoveSegment(*ring_->made.segment, ring_->path);
  SayState(ring_->made, METABONK_RING_CLOSED);
}

Status RingWriter::Begin(const FrameShape& shape, std::span<uint8_t>* pixels) {
  Ring& ring = *ring_;
  uint64_t bytes = 0;
  Status status = CheckShape(shape, &bytes);
  if (!status.ok()) return status;
  if (!ring.made.segment->ours()) {
    return {Code::kUnavailable, "ring",
            "belongs to the process that was forked from: make another"};
  }
  ring.made.claims->Abandon();
  const uint64_t room = ring.made.geometry.pixels_stride;
  if (bytes > room || ring.reclaimed.load(std::memory_order_relaxed)) {
    // Half as much again, so that pictures whose size varies do not replace the ring every time.
    const uint64_t wanted = bytes > room ? std::max(bytes, room + room / 2) : room;
    status = ring.Renew(std::min(wanted, METABONK_RING_BYTES_MAX));
    if (!status.ok()) return status;
  }
  Made& made = ring.made;
  const int claimed = made.claims->Claim();
  if (claimed < 0) return {Code::kCorrupt, "leases", "more slots are held than there are leases"};
  const auto slot = static_cast<uint32_t>(claimed);
  if (!ReserveSlot(&made, slot)) {
    made.claims->Abandon();
    return kFull;
  }
  ring.shape = shape;
  ring.shape_bytes = bytes;
  *pixels = {made.segment->data() + made.geometry.pixels_of(slot), bytes};
  return Status::Ok();
}

Status RingWriter::Commit(uint64_t step, uint64_t capture_ns) {
  Ring& ring = *ring_;
  const int claimed = ring.made.claims->claimed();
  if (claimed < 0) return {Code::kInvalidArgument, "frame", "none was begun: call Begin first"};
  metabonk_ring_slot& slot = ring.made.words.slot(static_cast<uint32_t>(claimed));
  const FrameShape& shape = ring.shape;
  const bool rows = shape.format != FrameFormat::kJpeg && shape.format != FrameFormat::kBytes;
  const bool picture = shape.format != FrameFormat::kBytes;
  slot.step = step;
  slot.capture_ns = capture_ns;
  slot.bytes = ring.shape_bytes;
  slot.width = picture ? shape.width : 0;
  slot.height = picture ? shape.height : 0;
  slot.channels = picture ? shape.channels : 0;
  slot.row_stride = rows ? shape.width * shape.channels : 0;
  slot.format = static_cast<uint32_t>(shape.format);
  slot.row_order = static_cast<uint32_t>(shape.row_order);
  const bool somebody_sleeps = ring.made.claims->Publish();
  ring.frames.fetch_add(1, std::memory_order_relaxed);
  if (somebody_sleeps && ring.options.wakes) FutexWake(&ring.made.words.header().doorbell);
  return Status::Ok();
}

void RingWriter::Announce() {
  Ring& ring = *ring_;
  if (ring.made.claims->claimed() < 0) return;
  metabonk_ring_header& header = ring.made.words.header();
  const uint16_t here = ProcessorNow();
  std::atomic_ref(header.coming)
      .store((ring.made.claims->number() + 1) << 16 | here, std::memory_order_release);
  // Whoever sleeps on this very processor would only push the writer aside. The bell is left as it
  // is: those who go back to sleep are woken by Commit, as are those who have not heard this.
  const uint32_t bell = std::atomic_ref(header.doorbell).load(std::memory_order_acquire);
  const uint32_t sleeper = std::atomic_ref(header.sleeper).load(std::memory_order_relaxed);
  if ((bell & 1) && sleeper != here + 1u && ring.options.wakes) FutexWake(&header.doorbell);
}

Status RingWriter::Write(const FrameShape& shape, std::span<const uint8_t> frame, uint64_t step,
                         uint64_t capture_ns) {
  std::span<uint8_t> pixels;
  if (const Status status = Begin(shape, &pixels); !status.ok()) return status;
  if (frame.size() != pixels.size()) {
    Abandon();
    return {Code::kInvalidArgument, "frame", "must have as many bytes as its shape says"};
  }
  const size_t last = std::min(frame.size(), kLastPart), first = frame.size() - last;
  std::memcpy(pixels.data(), frame.data(), first);
  if (last >= kWorthAnnouncing) Announce();
  std::memcpy(pixels.data() + first, frame.data() + first, last);
  return Commit(step, capture_ns);
}

void RingWriter::Abandon() { ring_->made.claims->Abandon(); }

const std::string& RingWriter::name() const { return ring_->options.name; }
const std::string& RingWriter::path() const { return ring_->path; }

uint64_t RingWriter::session() const {
  const std::lock_guard lock(ring_->mutex);
  return ring_->made.words.header().session;
}

uint64_t RingWriter::frame_bytes() const {
  const std::lock_guard lock(ring_->mutex);
  return ring_->made.geometry.pixels_stride;
}

std::shared_ptr<const void> RingWriter::memory() const {
  const std::lock_guard lock(ring_->mutex);
  return ring_->made.segment;
}

WriterCounts RingWriter::counts() const {
  return {.frames = ring_->frames.load(std::memory_order_relaxed),
          .replaced = ring_->replaced.load(std::memory_order_relaxed),
          .readers_lost = ring_->roll.lost(),
          .readers = ring_->roll.living()};
}

}  // namespace metabonk::ipc
