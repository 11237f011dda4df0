// RingMemory: where the parts of a ring (frame_ring.h) lie in a mapping, and its words as the
// protocol wants them. Knows the layout and atomics; no files, no time.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/ring_protocol.h"
#include "metabonk/frame_ring.h"
#include "metabonk/status.h"

namespace metabonk::ipc {

// What follows from the numbers that a ring is made with. Kept by every client for itself: what
// lies in shared memory is looked at once and then believed no more.
struct RingGeometry {
  RingCounts counts;
  uint64_t pixels_offset = 0, pixels_stride = 0, total_bytes = 0;

  static constexpr uint64_t kReaders = sizeof(metabonk_ring_header);
  uint64_t slots_offset() const {
    return kReaders + counts.readers * uint64_t{sizeof(metabonk_ring_reader)};
  }
  uint64_t pixels_of(uint32_t slot) const { return pixels_offset + slot * pixels_stride; }

  // For frames of up to `frame_bytes`; refuses numbers beyond the layout's limits.
  static Status Make(uint32_t readers, uint32_t leases, uint64_t frame_bytes, RingGeometry* out);
  // Of a ring that lies in a file of `file_bytes`, of which the header can be read; refuses one
  // that is not as its header says, or whose slots could run out.
  static Status Read(const metabonk_ring_header& header, uint64_t file_bytes, RingGeometry* out);
};

// The words in a mapping. Small, copied freely; the mapping belongs to somebody else.
class SharedWords {
 public:
  SharedWords() = default;
  SharedWords(uint8_t* base, const RingGeometry& geometry)
      : base_(base), slots_(base + geometry.slots_offset()) {}

  metabonk_ring_header& header() const { return *reinterpret_cast<metabonk_ring_header*>(base_); }
  metabonk_ring_reader& reader(uint32_t i) const {
    return reinterpret_cast<metabonk_ring_reader*>(base_ + RingGeometry::kReaders)[i];
  }
  metabonk_ring_slot& slot(uint32_t i) const {
    return reinterpret_cast<metabonk_ring_slot*>(slots_)[i];
  }

  template <Site kSite>
  uint64_t Load(Place place) const {
    return Narrow(place.kind) ? std::atomic_ref(Word32(place)).load(LoadOrder(kSite))
                              : std::atomic_ref(Word64(place)).load(LoadOrder(kSite));
  }

  template <Site kSite>
  void Store(Place place, uint64_t value) const {
    std::atomic_ref(Word64(place)).store(value, StoreOrder(kSite));
  }

  template <Site kSite>
  uint64_t Swap(Place place, uint64_t value) const {
    return std::atomic_ref(Word32(place)).exchange(static_cast<uint32_t>(value), OrderOf(kSite));
  }

  template <Site kSite>
  bool Cas(Place place, uint64_t& expected, uint64_t desired) const {
    if (!Narrow(place.kind)) {
      return std::atomic_ref(Word64(place))
          .compare_exchange_strong(expected, desired, OrderOf(kSite), std::memory_order_acquire);
    }
    auto narrow = static_cast<uint32_t>(expected);
    const bool done = std::atomic_ref(Word32(place))
                          .compare_exchange_strong(narrow, static_cast<uint32_t>(desired),
                                                   OrderOf(kSite), std::memory_order_acquire);
    expected = narrow;
    return done;
  }

  // Plain reads before it are done before loads after it.
  void Fence() const {
#if !defined(__SANITIZE_THREAD__)  // which knows no fences
    std::atomic_thread_fence(std::memory_order_acquire);
#endif
  }

 private:
  static constexpr std::memory_order LoadOrder(Site site) {
    const std::memory_order order = OrderOf(site);
    return order == std::memory_order_acq_rel ? std::memory_order_acquire : order;
  }
  static constexpr std::memory_order StoreOrder(Site site) {
    const std::memory_order order = OrderOf(site);
    return order == std::memory_order_acq_rel ? std::memory_order_release : order;
  }
  static constexpr bool Narrow(Kind kind) {
    return kind == Kind::kDoorbell || kind == Kind::kToken;
  }
  uint32_t& Word32(Place place) const {
    if (place.kind == Kind::kDoorbell) return header().doorbell;
    return reader(place.index).token;
  }
  uint64_t& Word64(Place place) const {
    if (place.kind == Kind::kNewest) return header().newest;
    if (place.kind == Kind::kSequence) return slot(place.index).sequence;
    return reader(place.index).leases[place.lease];
  }

  uint8_t* base_ = nullptr;
  uint8_t* slots_ = nullptr;
};

static_assert(std::atomic_ref<uint64_t>::is_always_lock_free);
static_assert(std::atomic_ref<uint32_t>::is_always_lock_free);

}  // namespace metabonk::ipc
