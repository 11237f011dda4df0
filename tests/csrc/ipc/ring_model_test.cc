// The frame ring's protocol in every interleaving: csrc/ipc/ring_protocol.h itself, over words of a
// small memory that is weaker than any processor's, with threads that are killed at every point.
// What has to hold: the writer always finds a slot; a frame that was handed out is the one that was
// asked for and stays whole while it is held, or says that it did not where its holder was taken
// for dead; nobody sleeps through a frame; a reader that asks when the writer is done gets the last
// one. Then each access is weakened or left out, and one of these has to break.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"
#include "ipc/interleavings.h"
#include "ipc/ring_protocol.h"

namespace {

using namespace metabonk::ipc;
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

constexpr uint64_t kLimit = 30'000'000;

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

// slots, readers, leases: as few slots as let the writer always find one.
const std::vector<Scenario> kScenarios = {
    {.name = "one reader", .counts = {3, 1, 1}, .frames = 4, .takes = 2},
    {.name = "either is killed", .counts = {3, 1, 1}, .killable = 3, .kills = 2},
    {.name = "a frame is abandoned", .counts = {3, 1, 1}, .frames = 4, .abandons = true},
    {.name = "two leases", .counts = {4, 1, 2}, .frames = 4, .takes = 2, .holds = true},
    {.name = "two readers", .counts = {4, 2, 1}, .frames = 2, .readers = 2, .pixels = 1},
    {.name = "two who sleep",
     .counts = {4, 2, 1},
     .frames = 1,
     .readers = 2,
     .waits = true,
     .killable = 4,
     .kills = 1,
     .pixels = 1},
    {.name = "one who sleeps twice", .counts = {3, 1, 1}, .frames = 2, .takes = 2, .waits = true},
    {.name = "a dead reader's entry",
     .counts = {3, 1, 1},
     .frames = 1,
     .readers = 2,
     .evicts = true,
     .killable = 2,
     .kills = 1,
     .pixels = 1,
     .asks = false},
    {.name = "a living reader is evicted",
     .counts = {3, 1, 1},
     .frames = 4,
     .evicts = true,
     .victim = 1,
     .pixels = 1,
     .asks = false},
    {.name = "and its entry taken",
     .counts = {3, 1, 1},
     .frames = 1,
     .readers = 2,
     .evicts = true,
     .victim = 1,
     .pixels = 1,
     .asks = false},
};

Outcome Explore(const Scenario& scenario, Weak weak = {}) {
  return Model(scenario, weak).Explore();
}

}  // namespace

TEST(ring_protocol_holds_in_every_interleaving) {
  uint64_t states = 0;
  for (const Scenario& scenario : kScenarios) {
    const Outcome outcome = Explore(scenario);
    CHECK(outcome.complete);
    if (!outcome.violation.empty()) {
      check::Fail(__FILE__, __LINE__, std::string(scenario.name) + ": " + outcome.violation);
    }
    if (std::getenv("RING_MODEL_VERBOSE")) {
      std::fprintf(stderr, "%-28s %9llu states\n", scenario.name,
                   static_cast<unsigned long long>(outcome.states));
    }
    states += outcome.states;
  }
  CHECK(states > 100'000);
}

TEST(ring_model_needs_every_access) {
  const struct {
    const char* name;
    Weak weak;
    const char* scenario;  // in which it breaks something
  } faults[] = {
      {"claim, buffered", {Site::kClaim, Fault::kWeaken}, "one reader"},
      {"claim, left out", {Site::kClaim, Fault::kSkip}, "one reader"},
      {"scan, left out", {Site::kScan, Fault::kSkip}, "one reader"},
      {"seal, left out", {Site::kSeal, Fault::kSkip}, "one reader"},
      // Either of the two hands the pixels over.
      {"seal and publish, relaxed", {Site::kSeal, Fault::kWeaken, Site::kPublish}, "one reader"},
      {"pin, not atomic", {Site::kPin, Fault::kWeaken}, "one reader"},
      {"pin, left out", {Site::kPin, Fault::kSkip}, "one reader"},
      {"confirm, left out", {Site::kConfirm, Fault::kSkip}, "one reader"},
      {"unpin, left out", {Site::kUnpin, Fault::kSkip}, "one reader"},
      {"doorbell, left out", {Site::kRing, Fault::kSkip}, "two who sleep"},
      {"doorbell, not atomic", {Site::kRing, Fault::kWeaken}, "two who sleep"},
      {"sleep, left out", {Site::kSleep, Fault::kSkip}, "two who sleep"},
      {"enter, not atomic", {Site::kEnter, Fault::kWeaken}, "two readers"},
      {"still, left out", {Site::kStill, Fault::kSkip}, "a living reader is evicted"},
      {"whole, left out", {Site::kWhole, Fault::kSkip}, "a living reader is evicted"},
      {"open lease, not atomic", {Site::kOpenLease, Fault::kWeaken}, "and its entry taken"},
      {"evict lease, left out", {Site::kEvictLease, Fault::kSkip}, "a dead reader's entry"},
  };
  for (const auto& fault : faults) {
    const auto scenario =
        std::find_if(kScenarios.begin(), kScenarios.end(),
                     [&](const Scenario& s) { return std::string(s.name) == fault.scenario; });
    const Outcome outcome = Explore(*scenario, fault.weak);
    if (std::getenv("RING_MODEL_VERBOSE")) {
      std::fprintf(stderr, "%-28s %s\n", fault.name, outcome.violation.c_str());
    }
    if (outcome.violation.empty()) {
      check::Fail(__FILE__, __LINE__, std::string(fault.name) + " broke nothing");
    }
  }
}

TEST(ring_model_needs_a_slot_more_than_leases) {
  Scenario scenario = kScenarios[0];
  scenario.counts.slots = 2;
  CHECK_EQ(Explore(scenario).violation, std::string("the writer found no slot"));
}
