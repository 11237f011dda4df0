// Frames that are announced while their end is copied: who sleeps wakes before the frame is there,
// looks for it for a while and once only, and nothing depends on what was announced.
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "ipc/ring_fixture.h"
#include "ipc/ring_memory.h"
#include "ipc/segment.h"

namespace {

using namespace metabonk;
using namespace metabonk::ipc;
using namespace ring_fixture;

constexpr FrameShape kLarge = {.width = 640, .height = 360};
constexpr size_t kLargeBytes = 640 * 360 * 3;

// A ring's header as another process sees it.
class Seen {
 public:
  explicit Seen(const RingWriter& writer) {
    CHECK(Segment::Find(writer.path(), sizeof(metabonk_ring_header), &segment_).ok());
  }
  metabonk_ring_header& header() const {
    return *reinterpret_cast<metabonk_ring_header*>(segment_->data());
  }
  uint64_t coming() const { return std::atomic_ref(header().coming).load() >> 16; }
  // As a writer says it that runs on a processor which nobody has.
  void Say(uint64_t number) const { std::atomic_ref(header().coming).store(number << 16 | 0xFFFF); }

 private:
  std::unique_ptr<Segment> segment_;
};

// Keeps the calling thread on one processor while it lives: the n-th of those of the program.
class OneProcessor {
 public:
  explicit OneProcessor(int n) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &All()) || n-- > 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      sched_setaffinity(0, sizeof one, &one);
      return;
    }
  }
  ~OneProcessor() { sched_setaffinity(0, sizeof All(), &All()); }
  static int Count() { return CPU_COUNT(&All()); }

 private:
  static const cpu_set_t& All() {  // as it was before anybody was kept anywhere
    static const cpu_set_t all = [] {
      cpu_set_t set;
      CPU_ZERO(&set);
      sched_getaffinity(0, sizeof set, &set);
      return set;
    }();
    return all;
  }
};

std::vector<uint8_t> Pattern(size_t bytes) {
  std::vector<uint8_t> made(bytes);
  for (size_t i = 0; i < bytes; ++i) made[i] = static_cast<uint8_t>(i * 7 + i / 4096);
  return made;
}

}  // namespace

TEST(ring_write_copies_frames_of_every_size) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  Lease frame;
  uint64_t number = 0;
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{64} << 10, size_t{512} << 10,
                             (size_t{512} << 10) + 1, size_t{3} << 20}) {
    const std::vector<uint8_t> wanted = Pattern(bytes);
    const FrameShape shape = {.format = FrameFormat::kBytes, .bytes = bytes};
    CHECK(writer->Write(shape, wanted, ++number, 5).ok());
    CHECK(reader->Latest(0, &frame) == Take::kFrame);
    CHECK_EQ(frame.info().step, number);
    CHECK_EQ(frame.info().bytes, bytes);
    CHECK(std::equal(wanted.begin(), wanted.end(), frame.data()));
  }
  const std::vector<uint8_t> wrong(kLargeBytes - 1);
  CHECK(writer->Write(kLarge, wrong, 9, 9).code == Code::kInvalidArgument);
  CHECK(writer->Write({.width = 0, .height = 1}, wrong, 9, 9).code == Code::kOutOfRange);
  CHECK(writer->Commit(9, 9).code == Code::kInvalidArgument);  // nothing was left begun
  CHECK(reader->Latest(0, &frame) == Take::kTimeout);
  CHECK_EQ(writer->counts().frames, number);
}

TEST(ring_announces_large_frames_alone_and_allocates_nothing) {
  const Folder folder;
  const auto writer = Writer(folder, {.name = "ring", .frame_bytes = kLargeBytes});
  const Seen seen(*writer);
  const std::vector<uint8_t> pixels(kLargeBytes, 3);
  CHECK(writer->Write({.width = 64, .height = 64}, {pixels.data(), 64 * 64 * 3}, 1, 1).ok());
  CHECK_EQ(seen.coming(), 0u);
  writer->Announce();  // without a frame that was begun
  CHECK_EQ(seen.coming(), 0u);
  CHECK(writer->Write(kLarge, pixels, 2, 2).ok());
  CHECK_EQ(seen.coming(), 2u);
  CHECK(Put(writer.get(), 3, kLarge).ok());  // Begin and Commit alone
  CHECK_EQ(seen.coming(), 2u);
  for (int i = 0; i < 8; ++i) CHECK(writer->Write(kLarge, pixels, 4, 4).ok());
  const std::size_t before = check::Allocations();
  bool fine = true;
  for (int i = 0; i < 50; ++i) fine = fine && writer->Write(kLarge, pixels, 5, 5).ok();
  CHECK_EQ(check::Allocations() - before, std::size_t{0});
  CHECK(fine);
}

TEST(ring_threads_wake_before_an_announced_frame_is_there) {
  const Folder folder;
  const auto writer = Writer(folder);
  const Seen seen(*writer);
  const OneProcessor pinned(0);
  metabonk_ring_header& header = seen.header();
  std::atomic_ref(header.doorbell).fetch_or(1);  // as a reader does before it sleeps
  std::atomic_ref(header.sleeper).store(ProcessorNow() + 1u);
  const uint32_t bell = std::atomic_ref(header.doorbell).load();
  std::atomic<bool> awake{false};
  std::thread sleeper([&] {
    FutexWait(&header.doorbell, bell, 3 * kHang);  // longer than is waited for it below
    awake = true;
  });
  std::span<uint8_t> pixels;
  CHECK(writer->Begin({.width = 64, .height = 64}, &pixels).ok());
  for (int i = 0; i < 20; ++i) {
    writer->Announce();
    SleepNs(kMs);
  }
  CHECK(!awake);  // who sleeps on the writer's own processor would push it aside
  std::atomic_ref(header.sleeper).store(ProcessorNow() + 2u);
  CHECK(Eventually([&] {
    writer->Announce();
    return awake.load();
  }));
  CHECK_EQ(header.newest, 0u);                              // the frame is not there yet
  CHECK_EQ(std::atomic_ref(header.doorbell).load(), bell);  // and its bell still rings
  CHECK_EQ(seen.coming(), 1u);
  writer->Abandon();
  FutexWake(&header.doorbell);
  sleeper.join();
}

TEST(ring_reader_looks_once_for_an_announced_frame) {
  const Folder folder;
  const auto writer = Writer(folder);
  const Seen seen(*writer);
  const auto reader = Reader(folder, {.name = "ring", .spin_us = 0});
  Lease frame;
  CHECK(Put(writer.get(), 1).ok());
  CHECK(reader->Latest(0, &frame) == Take::kFrame);
  std::span<uint8_t> pixels;
  CHECK(writer->Begin({.width = 64, .height = 64}, &pixels).ok());
  CHECK(reader->Latest(kMs, &frame) == Take::kTimeout);
  CHECK_EQ(reader->counts().vain, 0u);  // begun, and not announced
  for (int i = 0; i < 3; ++i) {
    seen.Say(2);
    CHECK(reader->Latest(kMs, &frame) == Take::kTimeout);
    CHECK_EQ(reader->counts().vain, 1u);
  }
  std::memset(pixels.data(), 2, pixels.size());
  CHECK(writer->Commit(2, 2).ok());
  CHECK(reader->Latest(0, &frame) == Take::kFrame);
  CHECK(Holds(frame, 2));
  // What cannot be the next frame's number is nobody's announcement.
  for (const uint64_t said : {uint64_t{1}, uint64_t{2}, uint64_t{4}, uint64_t{1} << 47}) {
    seen.Say(said);
    CHECK(reader->Latest(kMs, &frame) == Take::kTimeout);
  }
  CHECK_EQ(reader->counts().vain, 1u);
  // Nor does it look where the writer could not go on meanwhile.
  const OneProcessor pinned(0);
  CHECK(writer->Begin({.width = 64, .height = 64}, &pixels).ok());
  writer->Announce();
  CHECK(reader->Latest(kMs, &frame) == Take::kTimeout);
  CHECK_EQ(reader->counts().vain, 1u);
  CHECK_EQ(reader->counts().awaited, 0u);
}

TEST(ring_threads_are_up_when_an_announced_frame_comes) {
  if (OneProcessor::Count() < 2) return;  // nobody is up while another writes
  // Small ones, or whoever checks every byte of them is never done before the next.
  constexpr FrameShape kSmall = {.width = 16, .height = 16};
  const Folder folder;
  const auto writer = Writer(folder, {.name = "ring", .frame_bytes = kLargeBytes});
  std::atomic<bool> done{false}, wrong{false};
  std::atomic<uint64_t> awaited{0};
  ReaderCounts counts;
  const auto read = [&] {
    const OneProcessor pinned(1);
    const auto reader = Reader(folder, {.name = "ring", .spin_us = 0});
    Lease frame;
    while (!done) {
      if (reader->Latest(20 * kMs, &frame) != Take::kFrame) continue;
      if (!Holds(frame, frame.info().step)) wrong = true;
      awaited = reader->counts().awaited;
    }
    counts = reader->counts();
  };
  const OneProcessor pinned(0);
  {
    std::thread reading(read);
    for (uint64_t step = 0; step < 100; ++step) {
      CHECK(Put(writer.get(), step, kSmall).ok());
      SleepNs(kMs / 5);
    }
    done = true;
    reading.join();
    CHECK(counts.frames > 0);
    CHECK_EQ(counts.awaited, 0u);  // nothing was announced
  }
  done = false;
  std::thread reading(read);
  uint64_t step = 0;
  // How long a machine takes to wake somebody is its own affair: the frame comes a little later
  // each time, so that it meets a reader that is up, however late that is.
  CHECK(Eventually([&] {
    std::span<uint8_t> pixels;
    if (!writer->Begin(kSmall, &pixels).ok()) return true;
    std::fill(pixels.begin(), pixels.end(), static_cast<uint8_t>(++step));
    writer->Announce();
    SleepNs(static_cast<int64_t>(step % 50) * kMs / 10);
    return !writer->Commit(step, step).ok() || awaited > 0;
  }));
  done = true;
  reading.join();
  CHECK(counts.awaited > 0);
  CHECK(!wrong);
}
