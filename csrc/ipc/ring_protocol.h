// The frame ring's protocol: which words the two sides read and write, in which order. Written once
// over `Words`, so that what tests check in every interleaving, weakened access by access, is what
// runs. Knows no memory, no clock and no process; frame_ring.h has the layout.
//
// The idea: a frame that is read is pinned by a lease, and there are more slots than leases, so the
// writer always finds one that nobody holds. Both sides announce before they look (Dekker 1965):
//
//   writer   sequence[slot] = odd; looks at every lease      -> held: takes another slot
//   reader   lease = slot;         looks at sequence[slot]   -> not the frame it came for: again
//
// At least one of two that meet sees the other and steps back. The writer never claims the newest
// slot, so a reader steps back only if a newer frame has come meanwhile.
//
// A reader that died, or a silent one, is evicted: its entry gets a new token and its lease words
// become 0. Lease words carry the token of their owner and change by compare-and-swap only, so that
// one who was evicted and comes back can neither hold a slot nor disturb the entry's next owner,
// whose token is later; that it lost its frame it sees from the slot's sequence.
#pragma once

#include <atomic>
#include <cstdint>

#include "metabonk/frame_ring.h"

namespace metabonk::ipc {

// Every access of the protocol, by name.
enum class Site : uint8_t {
  kClaim,       // writer: sequence = odd
  kLook,        // writer: a lease, as a hint which slots are worth claiming
  kScan,        // writer: a lease, after the claim
  kSeal,        // writer: sequence = even
  kPublish,     // writer: newest
  kRing,        // writer: doorbell
  kNewest,      // reader: newest
  kPin,         // reader: lease = slot
  kConfirm,     // reader: sequence, after the pin
  kUnpin,       // reader: lease = nothing
  kStill,       // reader: its lease, while or after the frame was used
  kWhole,       // reader: sequence, if that lease is gone
  kListen,      // reader: doorbell, before it looks whether to sleep
  kSleep,       // reader: doorbell |= 1
  kFree,        // reader: whether an entry is free
  kEnter,       // reader: its entry in the table
  kOpenLease,   // reader: a lease word of that entry
  kEntered,     // reader: whether the entry is still its own
  kLeave,       // reader: the entry is free
  kEvictLease,  // evictor: a lease word of the evicted
  kEvict,       // evictor: the entry is free
  kCount,
};

// What has to be ordered with what. Announcing and looking have to be sequentially consistent; the
// rest hands over what was written before.
constexpr std::memory_order OrderOf(Site site) {
  switch (site) {
    case Site::kClaim:
    case Site::kScan:
    case Site::kPin:
    case Site::kConfirm:
    case Site::kRing:
    case Site::kSleep:
      return std::memory_order_seq_cst;
    case Site::kSeal:
    case Site::kPublish:
    case Site::kLeave:
    case Site::kUnpin:
      return std::memory_order_release;
    case Site::kLook:
      return std::memory_order_relaxed;
    default:
      return std::memory_order_acq_rel;  // acquire for loads, release for stores
  }
}

// Which word.
enum class Kind : uint8_t { kNewest, kDoorbell, kToken, kLease, kSequence };
struct Place {
  Kind kind;
  uint32_t index = 0;  // slot, or reader
  uint32_t lease = 0;
};

constexpr uint64_t LeaseOf(uint32_t token) { return static_cast<uint64_t>(token) << 32; }
constexpr uint64_t LeaseOf(uint32_t token, uint32_t slot) { return LeaseOf(token) | (slot + 1); }

struct RingCounts {
  uint32_t slots = 0, readers = 0, leases = 0;
};

// Words: Load<Site>(Place), Store<Site>(Place, value), Swap<Site>(Place, value) -> old,
// Cas<Site>(Place, expected&, desired) -> whether.

// The writer's side. One thread.
template <typename Words>
class RingClaims {
 public:
  RingClaims(Words words, RingCounts counts) : words_(words), counts_(counts) {}

  // A slot that nobody reads, whose bytes may be changed from now on; -1 if there is none, which
  // cannot be where slots > readers * leases + 1. Wait-free: each lease can refuse one slot.
  int Claim() {
    if (claimed_ >= 0) Abandon();
    uint64_t refused[2] = {0, 0};
    Look(refused);
    for (uint32_t tries = 0; tries < counts_.slots; ++tries) {
      const int slot = Oldest(refused);
      if (slot < 0) return -1;
      words_.template Store<Site::kClaim>(Sequence(slot), 2 * (number_ + 1) + 1);
      if (!Held(slot)) return claimed_ = slot;
      Mark(refused, slot);
    }
    return -1;
  }

  // The claimed slot is the newest frame. Whether a reader sleeps and wants to be woken.
  bool Publish() {
    const int slot = claimed_;
    claimed_ = -1;
    newest_ = slot;
    written_[slot] = ++number_;
    words_.template Store<Site::kSeal>(Sequence(slot), 2 * number_);
    words_.template Store<Site::kPublish>({Kind::kNewest},
                                          number_ << 8 | static_cast<uint64_t>(slot));
    const uint64_t bell = (number_ & 0x7FFFFFFFu) << 1;
    return words_.template Swap<Site::kRing>({Kind::kDoorbell}, bell) & 1;
  }

  // The claimed slot has no frame any more, which its odd sequence goes on saying.
  void Abandon() {
    if (claimed_ < 0) return;
    written_[claimed_] = 0;
    claimed_ = -1;
  }

  // Slots that are used while no reader holds one: 0 to this.
  static constexpr uint32_t kInUse = 4;

  int claimed() const { return claimed_; }
  uint64_t number() const { return number_; }

 private:
  // As few slots as will do are in use, so that they stay in cache; among those the oldest frame
  // goes first, so that a reader has the longest time to pin one.
  static constexpr int kHot = kInUse - 1;

  static Place Sequence(int slot) { return {Kind::kSequence, static_cast<uint32_t>(slot)}; }
  static void Mark(uint64_t* set, int slot) { set[slot >> 6] |= 1ull << (slot & 63); }
  static bool In(const uint64_t* set, int slot) { return set[slot >> 6] >> (slot & 63) & 1; }

  void Look(uint64_t* refused) {
    for (uint32_t reader = 0; reader < counts_.readers; ++reader) {
      for (uint32_t lease = 0; lease < counts_.leases; ++lease) {
        const auto held =
            static_cast<uint32_t>(words_.template Load<Site::kLook>({Kind::kLease, reader, lease}));
        if (held != 0 && held <= counts_.slots) Mark(refused, static_cast<int>(held - 1));
      }
    }
  }

  int Oldest(const uint64_t* refused) const {
    int best = -1;
    int seen = 0;
    for (int slot = 0; slot < static_cast<int>(counts_.slots) && seen < kHot; ++slot) {
      if (slot == newest_ || In(refused, slot)) continue;
      ++seen;
      if (best < 0 || written_[slot] < written_[best]) best = slot;
    }
    return best;
  }

  bool Held(int slot) {
    for (uint32_t reader = 0; reader < counts_.readers; ++reader) {
      for (uint32_t lease = 0; lease < counts_.leases; ++lease) {
        const uint64_t word = words_.template Load<Site::kScan>({Kind::kLease, reader, lease});
        if (static_cast<uint32_t>(word) == static_cast<uint32_t>(slot) + 1) return true;
      }
    }
    return false;
  }

  Words words_;
  RingCounts counts_;
  int claimed_ = -1, newest_ = -1;
  uint64_t number_ = 0;
  uint64_t written_[METABONK_RING_SLOTS_MAX] = {};  // number of the frame in each slot
};

enum class Pinned { kTaken, kNothing, kEvicted, kOvertaken, kImpossible };

// A reader's side, once it has an entry.
template <typename Words>
class RingLeases {
 public:
  RingLeases(Words words, RingCounts counts) : words_(words), counts_(counts) {}

  // Finds an entry in the table of readers. False if all are taken, or if it was evicted at once.
  bool Enter() {
    for (reader_ = 0; reader_ < counts_.readers; ++reader_) {
      uint64_t free = words_.template Load<Site::kFree>({Kind::kToken, reader_});
      if (free & 1) continue;
      token_ = static_cast<uint32_t>(free) + 1;
      if (!words_.template Cas<Site::kEnter>({Kind::kToken, reader_}, free, token_)) continue;
      bool open = true;
      for (uint32_t lease = 0; lease < counts_.leases; ++lease) open = open && Open(lease);
      if (open && Entered()) return true;
      break;
    }
    token_ = 0;
    return false;
  }

  bool Entered() {
    return token_ != 0 && words_.template Load<Site::kEntered>({Kind::kToken, reader_}) == token_;
  }

  void Leave() {
    if (token_ == 0) return;
    Evict(words_, counts_, reader_, token_);
    token_ = 0;
  }

  // Pins the newest frame with that lease, if it is newer than frame `after`. kOvertaken: not
  // within `tries`, because the writer was faster each time.
  Pinned Pin(uint32_t lease, uint64_t after, int tries, uint32_t* slot, uint64_t* number) {
    const Place mine{Kind::kLease, reader_, lease};
    for (int i = 0; i < tries; ++i) {
      const uint64_t newest = words_.template Load<Site::kNewest>({Kind::kNewest});
      *slot = static_cast<uint32_t>(newest & 0xFF);
      *number = newest >> 8;
      if (*number <= after) return Pinned::kNothing;
      if (*slot >= counts_.slots) return Pinned::kImpossible;
      uint64_t expected = LeaseOf(token_);
      if (!words_.template Cas<Site::kPin>(mine, expected, LeaseOf(token_, *slot))) {
        return Pinned::kEvicted;
      }
      if (words_.template Load<Site::kConfirm>({Kind::kSequence, *slot}) == 2 * *number) {
        return Pinned::kTaken;
      }
      if (!Unpin(lease, *slot)) return Pinned::kEvicted;
    }
    return Pinned::kOvertaken;
  }

  // Whether a pinned frame has been whole until now. Who still has the lease has the frame; the
  // sequence alone does not say so, since a writer may have claimed the slot until it saw the
  // lease. Reads of the frame before this are ordered before it.
  bool Whole(uint32_t lease, uint32_t slot, uint64_t number) {
    words_.Fence();
    const uint64_t held = words_.template Load<Site::kStill>({Kind::kLease, reader_, lease});
    if (held == LeaseOf(token_, slot)) return true;
    return words_.template Load<Site::kWhole>({Kind::kSequence, slot}) == 2 * number;
  }

  // False if the lease had been taken away.
  bool Unpin(uint32_t lease, uint32_t slot) {
    uint64_t held = LeaseOf(token_, slot);
    return words_.template Cas<Site::kUnpin>({Kind::kLease, reader_, lease}, held, LeaseOf(token_));
  }

  // Whether to sleep until the doorbell changes from `*bell`, because no frame is newer than
  // `after`; from then on the writer wakes.
  bool MaySleep(uint64_t after, uint32_t* bell) {
    uint64_t heard = words_.template Load<Site::kListen>({Kind::kDoorbell});
    if (words_.template Load<Site::kNewest>({Kind::kNewest}) >> 8 > after) return false;
    *bell = static_cast<uint32_t>(heard | 1);
    if (heard & 1) return true;
    return words_.template Cas<Site::kSleep>({Kind::kDoorbell}, heard, heard | 1);
  }

  // Frees an entry and its slots. Done to others only once they are dead, or silent where that
  // cannot be known; false if it was no longer that token's. The entry goes first: one who is just
  // entering sees that before it takes a slot.
  static bool Evict(Words words, RingCounts counts, uint32_t reader, uint32_t token) {
    uint64_t mine = token;
    if (!words.template Cas<Site::kEvict>({Kind::kToken, reader}, mine, token + 1)) return false;
    for (uint32_t lease = 0; lease < counts.leases; ++lease) {
      const Place place{Kind::kLease, reader, lease};
      uint64_t word = words.template Load<Site::kEvictLease>(place);
      while (word >> 32 == token && !words.template Cas<Site::kEvictLease>(place, word, 0)) {
      }
    }
    return true;
  }

  uint32_t reader() const { return reader_; }
  uint32_t token() const { return token_; }

 private:
  // What is in the word is the last owner's; or the next owner's, if we were evicted meanwhile.
  // The token tells the two apart.
  bool Open(uint32_t lease) {
    const Place place{Kind::kLease, reader_, lease};
    uint64_t word = words_.template Load<Site::kOpenLease>(place);
    while (static_cast<int32_t>(token_ - static_cast<uint32_t>(word >> 32)) > 0) {
      if (words_.template Cas<Site::kOpenLease>(place, word, LeaseOf(token_))) return true;
    }
    return false;
  }

  Words words_;
  RingCounts counts_;
  uint32_t reader_ = 0, token_ = 0;
};

}  // namespace metabonk::ipc
