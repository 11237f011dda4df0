// The frame ring's protocol as a model: csrc/ipc/ring_protocol.h itself, over words of a small
// memory that is weaker than any processor's, with threads that are killed at every point. Knows
// what has to hold, and how an access is weakened or left out; the scenarios are
// ring_model_test.cc's.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "ipc/interleavings.h"
#include "ipc/ring_protocol.h"

namespace ring_model {

using namespace metabonk::ipc;  // NOLINT(google-build-using-namespace)
using interleavings::Body;
using interleavings::Explorer;
using interleavings::Op;
using interleavings::Outcome;
using interleavings::Thread;

enum class Fault {
  kNone,
  kSkip,    // the access is left out; what is read is what would let the protocol go on
  kWeaken,  // a store or read-modify-write becomes a plain store (after a plain load)
};

struct Weak {
  Site site = Site::kCount;
  Fault fault = Fault::kNone;
  Site as_well = Site::kCount;  // another one with the same fault
};

inline constexpr uint64_t kLimit = 30'000'000;

// Where everything lies in the model's memory.
struct Map {
  RingCounts counts;
  uint32_t pixels;  // words of a frame

  uint32_t At(Place place) const {
    switch (place.kind) {
      case Kind::kNewest:
        return 0;
      case Kind::kDoorbell:
        return 1;
      case Kind::kToken:
        return 2 + place.index;
      case Kind::kLease:
        return 2 + counts.readers + place.index * counts.leases + place.lease;
      case Kind::kSequence:
        return Slots() + place.index;
    }
    std::abort();
  }
  uint32_t Slots() const { return 2 + counts.readers * (1 + counts.leases); }
  uint32_t Pixel(uint32_t slot, uint32_t i) const {
    return Slots() + counts.slots + slot * pixels + i;
  }
  uint32_t Owner(uint32_t entry, uint64_t token) const {  // which thread made it its own
    return Slots() + counts.slots * (1 + pixels) + entry * 8 + static_cast<uint32_t>(token);
  }
  size_t Words() const { return Owner(counts.readers, 0); }
};

// The protocol's words, over a thread of the explorer.
class ModelWords {
 public:
  ModelWords(Thread* thread, const Map* map, Weak weak) : thread_(thread), map_(map), weak_(weak) {}

  template <Site kSite>
  uint64_t Load(Place place) {
    if (Is<kSite>(Fault::kSkip)) {
      if (kSite == Site::kStill) return *pinned_;
      return kSite == Site::kConfirm || kSite == Site::kWhole ? 2 * (*newest_ >> 8) : 0;
    }
    const uint64_t value = thread_->Load(map_->At(place));
    if (kSite == Site::kNewest) *newest_ = value;
    return value;
  }

  template <Site kSite>
  void Store(Place place, uint64_t value) {
    if (Is<kSite>(Fault::kSkip)) return;
    const bool weak = Is<kSite>(Fault::kWeaken);
    const bool straight = OrderOf(kSite) == std::memory_order_seq_cst;
    thread_->Store(map_->At(place), value, straight && !weak, !weak);
  }

  template <Site kSite>
  uint64_t Swap(Place place, uint64_t value) {
    if (Is<kSite>(Fault::kSkip)) return 0;
    if (Is<kSite>(Fault::kWeaken)) {
      const uint64_t old = thread_->Load(map_->At(place));
      thread_->Store(map_->At(place), value);
      return old;
    }
    return thread_->Do({.op = Op::kSwap, .address = map_->At(place), .value = value});
  }

  template <Site kSite>
  bool Cas(Place place, uint64_t& expected, uint64_t desired) {
    if (kSite == Site::kPin) *pinned_ = desired;
    if (Is<kSite>(Fault::kSkip)) return true;
    const uint64_t wanted = expected;
    if (Is<kSite>(Fault::kWeaken)) {
      expected = thread_->Load(map_->At(place));
      if (expected == wanted) thread_->Store(map_->At(place), desired);
    } else {
      expected = thread_->Do(
          {.op = Op::kCas, .address = map_->At(place), .value = desired, .expected = wanted});
    }
    if (kSite == Site::kEnter && owner_ != 0 && expected == wanted) {
      thread_->Store(map_->Owner(place.index, desired), owner_, true);
    }
    return expected == wanted;
  }

  void Fence() {}  // loads are in order here
  // owner: whose tokens the evictor finds by this; 0: nobody's.
  void Remember(uint64_t* newest, uint64_t* pinned, uint32_t owner) {
    newest_ = newest;
    pinned_ = pinned;
    owner_ = owner;
  }

 private:
  template <Site kSite>
  bool Is(Fault fault) const {
    return (weak_.site == kSite || weak_.as_well == kSite) && weak_.fault == fault;
  }

  Thread* thread_;
  const Map* map_;
  Weak weak_;
  uint64_t *newest_ = nullptr, *pinned_ = nullptr;
  uint32_t owner_ = 0;
};

struct Scenario {
  const char* name;
  RingCounts counts;
  int frames = 3;
  int takes = 1;          // of each reader
  int readers = 1;        // threads
  bool waits = false;     // readers sleep until a frame comes
  bool holds = false;     // a reader keeps its first frame while it takes another one
  bool abandons = false;  // the writer gives its second frame up
  bool evicts = false;    // a thread frees the entries of dead readers
  uint32_t victim = 0;    // the reader's thread that is evicted although it lives
  uint32_t killable = 0;  // threads: 0 is the writer, then the readers
  int kills = 0;
  uint32_t pixels = 2;  // words of a frame
  bool asks = true;     // at the end for the last frame
};

class Model {
 public:
  Model(const Scenario& scenario, Weak weak)
      : s_(scenario), map_{scenario.counts, scenario.pixels}, weak_(weak) {}

  Outcome Explore() {
    std::vector<Body> bodies{[this](Thread& thread) { Write(thread); }};
    for (int i = 1; i <= s_.readers; ++i) {
      bodies.push_back([this, i](Thread& thread) { Read(thread, static_cast<uint32_t>(i)); });
    }
    if (s_.evicts) bodies.push_back([this](Thread& thread) { Evict(thread); });
    return Explorer(std::move(bodies), map_.Words()).Run(s_.killable, s_.kills, kLimit);
  }

 private:
  void Write(Thread& thread) {
    RingClaims<ModelWords> claims(ModelWords(&thread, &map_, weak_), s_.counts);
    for (int i = 0; i < s_.frames; ++i) {
      const int slot = claims.Claim();
      thread.Check(slot >= 0, "the writer found no slot");
      const uint64_t number = claims.number() + 1;
      const bool abandons = s_.abandons && i == 1;
      for (uint32_t p = 0; p < s_.pixels; ++p) {
        thread.Store(map_.Pixel(static_cast<uint32_t>(slot), p), abandons ? 99 : number);
      }
      if (abandons) {
        claims.Abandon();
      } else if (claims.Publish()) {
        thread.Wake();
      }
    }
  }

  struct Held {
    uint32_t lease, slot;
    uint64_t number;
  };

  // Every pixel is that of the frame, or the lease says that it was lost, as only the evicted may.
  void Use(Thread& thread, RingLeases<ModelWords>& leases, const Held& held, uint32_t self) {
    bool good = true;
    for (uint32_t p = 0; p < s_.pixels; ++p) {
      good = thread.Load(map_.Pixel(held.slot, p)) == held.number && good;
    }
    if (leases.Whole(held.lease, held.slot, held.number)) {
      thread.Check(good, "a torn frame was handed out");
    } else {
      thread.Check(self == s_.victim, "a frame was overwritten while it was held");
    }
  }

  void Read(Thread& thread, uint32_t self) {
    uint64_t newest = 0, pinned_word = 0;
    ModelWords words(&thread, &map_, weak_);
    words.Remember(&newest, &pinned_word, s_.evicts ? self : 0);
    RingLeases<ModelWords> leases(words, s_.counts);
    if (!leases.Enter()) {
      thread.Check(s_.evicts || s_.readers > static_cast<int>(s_.counts.readers),
                   "there was room, but no entry");
      return;
    }
    uint64_t last = 0;
    std::vector<Held> held;
    for (int take = 0; take < s_.takes; ++take) {
      if (s_.waits && last == static_cast<uint64_t>(s_.frames)) break;
      if (s_.waits) AwaitFrame(thread, leases, last);
      const auto lease = static_cast<uint32_t>(held.size());
      Held now{lease, 0, 0};
      const Pinned pinned = leases.Pin(lease, last, 2, &now.slot, &now.number);
      if (pinned == Pinned::kEvicted) {
        thread.Check(self == s_.victim, "a living reader lost its entry");
        return;
      }
      thread.Check(!s_.waits || pinned != Pinned::kNothing, "woken for nothing new");
      if (pinned != Pinned::kTaken) continue;
      thread.Check(now.number > last, "an old frame was handed out");
      last = now.number;
      Use(thread, leases, now, self);
      if (s_.holds && held.empty()) {
        held.push_back(now);
      } else {
        thread.Check(leases.Unpin(lease, now.slot) || self == s_.victim, "a lease was lost");
      }
    }
    for (const Held& old : held) Use(thread, leases, old, self);
    for (const Held& old : held) leases.Unpin(0, old.slot);
    if (s_.asks && !s_.waits) Last(thread, leases, last, self);
    leases.Leave();
  }

  void AwaitFrame(Thread& thread, RingLeases<ModelWords>& leases, uint64_t last) {
    uint32_t bell = 0;
    for (int i = 0; i < 4; ++i) {
      if (leases.MaySleep(last, &bell)) {
        thread.WaitBell(map_.At({Kind::kDoorbell}), bell);
      } else if (thread.Load(map_.At({Kind::kNewest})) >> 8 > last) {
        return;
      }
    }
  }

  // Once the writer is done: what it published last is there for who asks.
  void Last(Thread& thread, RingLeases<ModelWords>& leases, uint64_t last, uint32_t self) {
    thread.Join(0);
    if (thread.Dead(0)) return;
    Held now{};
    const Pinned pinned = leases.Pin(0, last, 1, &now.slot, &now.number);
    if (pinned == Pinned::kTaken) {
      Use(thread, leases, now, self);
      last = now.number;
      leases.Unpin(0, now.slot);
    }
    const auto frames = static_cast<uint64_t>(s_.frames - (s_.abandons ? 1 : 0));
    thread.Check(last == frames || (self == s_.victim && pinned == Pinned::kEvicted),
                 "the last frame could not be had");
  }

  void Evict(Thread& thread) {
    for (uint32_t entry = 0; entry < s_.counts.readers; ++entry) {
      const auto token = static_cast<uint32_t>(thread.Load(map_.At({Kind::kToken, entry})));
      if (token % 2 == 0) continue;
      const auto owner = static_cast<uint32_t>(thread.Load(map_.Owner(entry, token)));
      if (owner == 0 || (owner != s_.victim && !thread.Dead(owner))) continue;
      RingLeases<ModelWords>::Evict(ModelWords(&thread, &map_, weak_), s_.counts, entry, token);
      for (uint32_t lease = 0; lease < s_.counts.leases; ++lease) {
        const uint64_t word = thread.Load(map_.At({Kind::kLease, entry, lease}));
        thread.Check(word >> 32 != token || static_cast<uint32_t>(word) == 0,
                     "a slot is held by one who was evicted");
      }
    }
  }

  Scenario s_;
  Map map_;
  Weak weak_;
};

}  // namespace ring_model
