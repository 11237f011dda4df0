#include "ipc/attachment.h"

#include <bit>

#include "ipc/futex.h"
#include "ipc/ring_file.h"

namespace metabonk::ipc {

Status Attachment::Make(const std::string& path, bool locks, bool beats,
                        std::shared_ptr<Attachment>* out, bool* full) {
  *full = false;
  std::unique_ptr<Segment> segment;
  Status status = Segment::Find(path, sizeof(metabonk_ring_header), &segment);
  if (!status.ok()) return status;
  auto made = std::make_shared<Attachment>(std::move(segment));
  const auto& header = *reinterpret_cast<metabonk_ring_header*>(made->segment_->data());
  status = RingGeometry::Read(header, made->segment_->bytes(), &made->geometry_);
  if (!status.ok()) return status;
  made->path_ = path;
  made->session_ = header.session;
  made->wakes_ = header.flags & METABONK_RING_WRITER_WAKES;
  made->writer_locks_ = header.flags & METABONK_RING_WRITER_LOCKS;
  made->words_ = SharedWords(made->segment_->data(), made->geometry_);
  if (!made->open()) return {Code::kUnavailable, "name", "the ring's writer has closed it"};
  if (!made->segment_->Protect(made->geometry_.pixels_offset, false)) {
    return {Code::kUnavailable, "name",
            "its pixels cannot be mapped for reading alone, for want of mappings: close other "
            "rings, or raise vm.max_map_count"};
  }
  for (uint32_t slot = 0; slot < made->geometry_.counts.slots; ++slot) {
    const Place sequence{Kind::kSequence, slot};
    if (made->words_.Load<Site::kWhole>(sequence) != 0) made->Touch(slot);
  }
  status = made->Enter(locks, beats);
  *full = !status.ok();
  if (status.ok()) *out = std::move(made);
  return status;
}

Attachment::Attachment(std::unique_ptr<Segment> segment) : segment_(std::move(segment)) {}

Attachment::~Attachment() {
  if (beating_) StopBeating(this);
  if (leases_ && segment_->ours()) leases_->Leave();
}

Status Attachment::Enter(bool locks, bool beats) {
  leases_ = std::make_unique<RingLeases<SharedWords>>(words_, geometry_.counts);
  if (!leases_->Enter()) {
    leases_.reset();
    return {Code::kUnavailable, "readers",
            "the ring's table of readers is full: end one, or make the ring with more"};
  }
  const uint32_t entry = leases_->reader();
  const bool locked = locks && segment_->Lock(1 + entry);
  const uint32_t flags = locked ? uint32_t{METABONK_RING_READER_LOCKS} : 0;
  std::atomic_ref(words_.reader(entry).flags).store(flags, std::memory_order_release);
  beats_ = std::atomic_ref(words_.reader(entry).beat).load(std::memory_order_acquire);
  beating_ = beats;
  if (beats) StartBeating(this);
  return Status::Ok();
}

bool Attachment::open() const {
  return std::atomic_ref(words_.header().state).load(std::memory_order_acquire) ==
             METABONK_RING_OPEN &&
         !evicted_.load(std::memory_order_relaxed);
}

void Attachment::Beat(int64_t now_ns) {
  if (!leases_->Entered()) {
    evicted_.store(true, std::memory_order_relaxed);
  } else {
    std::atomic_ref(words_.reader(leases_->reader()).beat)
        .store(++beats_, std::memory_order_release);
  }
  if (!open()) return;
  metabonk_ring_header& header = words_.header();
  const int64_t still =
      pulse_.Still(std::atomic_ref(header.beat).load(std::memory_order_acquire), now_ns);
  const bool unlocked = writer_locks_ && still >= kBeatMissedNs && !segment_->Locked(0);
  const bool silent = unlocked || still >= kBeatTimeoutNs;
  if (silent_.exchange(silent, std::memory_order_relaxed) != silent) FutexWake(&header.doorbell);
  if (!silent) return;
  const bool dead = writer_locks_ ? unlocked : still >= kBeatGraceNs;
  if (dead && ReclaimRing(segment_.get(), path_)) reclaimed.store(1, std::memory_order_relaxed);
}

int Attachment::Hold() {
  uint32_t held = held_.load(std::memory_order_acquire);
  while (true) {
    const int lease = std::countr_one(held);
    if (lease >= static_cast<int>(geometry_.counts.leases)) return -1;
    if (held_.compare_exchange_weak(held, held | 1u << lease, std::memory_order_acquire)) {
      return lease;
    }
  }
}

void Attachment::Touch(uint32_t slot) {
  uint64_t& word = touched_[slot >> 6];
  const uint64_t bit = 1ull << (slot & 63);
  if (word & bit) return;
  word |= bit;
  segment_->Populate(geometry_.pixels_of(slot), geometry_.pixels_stride, false);
}

}  // namespace metabonk::ipc
