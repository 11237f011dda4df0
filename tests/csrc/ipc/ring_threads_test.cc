// Patterned frames at full speed: the ring's protocol between threads over one memory, where thread
// sanitizer sees every access, and with a writer that looks at no lease, which must be caught.
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "check.h"
#include "ipc/ring_memory.h"

namespace {

using namespace metabonk::ipc;

#if defined(__SANITIZE_THREAD__)
constexpr uint64_t kFrames = 20'000;
#else
constexpr uint64_t kFrames = 200'000;
#endif
constexpr uint64_t kWords = 512;  // of eight bytes in a frame

// A writer that believes that nobody reads.
struct Careless : SharedWords {
  using SharedWords::SharedWords;
  template <Site kSite>
  uint64_t Load(Place place) const {
    return kSite == Site::kScan || kSite == Site::kLook ? 0 : SharedWords::Load<kSite>(place);
  }
};

struct Shared {
  RingGeometry geometry;
  std::unique_ptr<uint8_t[], void (*)(uint8_t*)> memory{
      nullptr, [](uint8_t* p) { ::operator delete[](p, std::align_val_t{64}); }};
  std::atomic<bool> done{false};
  std::atomic<uint64_t> taken{0}, torn{0}, lost{0}, old{0};

  Shared(uint32_t readers, uint32_t leases) {
    CHECK(RingGeometry::Make(readers, leases, kWords * 8, &geometry).ok());
    memory.reset(new (std::align_val_t{64}) uint8_t[geometry.total_bytes]);
    std::memset(memory.get(), 0, geometry.total_bytes);
  }
  uint64_t* Pixels(uint32_t slot) {
    return reinterpret_cast<uint64_t*>(memory.get() + geometry.pixels_of(slot));
  }
};

template <typename Words>
void Write(Shared* shared, uint64_t frames) {
  RingClaims<Words> claims(Words(shared->memory.get(), shared->geometry), shared->geometry.counts);
  for (uint64_t i = 0; i < frames && shared->torn == 0; ++i) {
    const int slot = claims.Claim();
    CHECK(slot >= 0);
    uint64_t* pixels = shared->Pixels(static_cast<uint32_t>(slot));
    const uint64_t number = claims.number() + 1;
    for (uint64_t w = 0; w < kWords; ++w) pixels[w] = number * 0x9E3779B97F4A7C15ull + w;
    claims.Publish();
  }
  shared->done = true;
}

bool Whole(const uint64_t* pixels, uint64_t number) {
  bool whole = true;
  for (uint64_t w = 0; w < kWords; ++w) {
    whole = whole && pixels[w] == number * 0x9E3779B97F4A7C15ull + w;
  }
  return whole;
}

// Holds two frames, one of them for longer, and enters anew now and then.
void Read(Shared* shared) {
  const RingCounts counts = shared->geometry.counts;
  while (!shared->done) {
    RingLeases<SharedWords> leases(SharedWords(shared->memory.get(), shared->geometry), counts);
    CHECK(leases.Enter());
    uint64_t last = 0, kept = 0;
    uint32_t kept_slot = 0;
    for (int i = 0; i < 500 && !shared->done; ++i) {
      uint32_t slot = 0;
      uint64_t number = 0;
      if (leases.Pin(0, last, 64, &slot, &number) != Pinned::kTaken) continue;
      if (number <= last) ++shared->old;
      last = number;
      if (!Whole(shared->Pixels(slot), number)) ++shared->torn;
      if (!leases.Whole(0, slot, number) || !leases.Unpin(0, slot)) ++shared->lost;
      ++shared->taken;
      if (i % 50 == 25 && leases.Pin(1, 0, 64, &kept_slot, &kept) != Pinned::kTaken) kept = 0;
      if (i % 50 == 49 && kept != 0) {
        if (!Whole(shared->Pixels(kept_slot), kept)) ++shared->torn;
        if (!leases.Whole(1, kept_slot, kept) || !leases.Unpin(1, kept_slot)) ++shared->lost;
        kept = 0;
      }
    }
    if (kept != 0) leases.Unpin(1, kept_slot);
    leases.Leave();
  }
}

}  // namespace

TEST(ring_threads_get_whole_frames_at_full_speed) {
  Shared shared(3, 2);
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(Read, &shared);
  Write<SharedWords>(&shared, kFrames);
  for (std::thread& reader : readers) reader.join();
  CHECK_EQ(shared.torn.load(), 0u);
  CHECK_EQ(shared.lost.load(), 0u);
  CHECK_EQ(shared.old.load(), 0u);
  CHECK(shared.taken.load() > 0);
}

#if !defined(__SANITIZE_THREAD__)  // which would end the program at the race that is meant here
TEST(ring_threads_catch_a_writer_that_looks_at_no_lease) {
  Shared shared(3, 2);
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(Read, &shared);
  Write<Careless>(&shared, 1'000'000'000);  // until it is caught
  for (std::thread& reader : readers) reader.join();
  CHECK(shared.torn.load() > 0);
}
#endif
