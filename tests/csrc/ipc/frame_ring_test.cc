// The frame ring as its users meet it: one process, or two of which one is killed.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "ipc/futex.h"
#include "ipc/ring_file.h"
#include "ipc/ring_memory.h"
#include "ipc/ring_reader.h"
#include "ipc/ring_writer.h"
#include "ipc/segment.h"

namespace {

using namespace metabonk;
using namespace metabonk::ipc;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kHang = 20'000 * kMs;  // no claim about time: how long until a test gives up

// A folder of its own, gone with all that is in it. Asks at the end that nothing is left.
class Folder {
 public:
  Folder() {
    char path[] = "/dev/shm/metabonk-test-XXXXXX";
    if (mkdtemp(path) != nullptr) path_ = path;
  }
  ~Folder() {
    CHECK(std::filesystem::is_empty(path_));
    std::filesystem::remove_all(path_);
  }
  operator const std::string&() const { return path_; }
  std::string ring(const char* name) const { return path_ + "/metabonk-ring-" + name; }

 private:
  std::string path_;
};

std::unique_ptr<RingWriter> Writer(const Folder& folder, RingOptions options = {}) {
  if (options.name.empty()) options.name = "ring";
  if (options.frame_bytes == 0) options.frame_bytes = 64 * 64 * 3;
  options.folder = folder;
  std::unique_ptr<RingWriter> writer;
  const Status status = RingWriter::Create(options, &writer);
  if (!status.ok()) check::Fail(__FILE__, __LINE__, std::string(status.where) + status.what);
  return writer;
}

std::unique_ptr<RingReader> Reader(const Folder& folder, ReaderOptions options = {}) {
  if (options.name.empty()) options.name = "ring";
  options.folder = folder;
  std::unique_ptr<RingReader> reader;
  CHECK(RingReader::Open(options, &reader).ok());
  return reader;
}

Status Put(RingWriter* writer, uint64_t step, FrameShape shape = {.width = 64, .height = 64}) {
  std::span<uint8_t> pixels;
  const Status status = writer->Begin(shape, &pixels);
  if (!status.ok()) return status;
  std::memset(pixels.data(), static_cast<int>(step & 0xFF), pixels.size());
  return writer->Commit(step, 1000 + step);
}

bool Holds(const Lease& frame, uint64_t step) {
  const auto wanted = static_cast<uint8_t>(step);
  for (uint64_t i = 0; i < frame.info().bytes; ++i) {
    if (frame.data()[i] != wanted) return false;
  }
  return frame.info().step == step;
}

template <typename Condition>
bool Eventually(Condition&& condition) {
  const int64_t until = MonotonicNs() + kHang;
  while (!condition()) {
    if (MonotonicNs() > until) return false;
    SleepNs(kMs);
  }
  return true;
}

// Runs `body` in a child that never returns to the test.
template <typename Body>
pid_t Child(Body&& body) {
  const pid_t child = fork();
  if (child != 0) return child;
  body();
  _exit(0);
}

void Kill(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

}  // namespace

TEST(ring_hands_over_the_newest_frame) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  Lease frame;
  CHECK(reader->Latest(0, &frame) == Take::kTimeout);
  CHECK(Put(writer.get(), 7).ok());
  CHECK(Put(writer.get(), 8).ok());
  CHECK(reader->Latest(0, &frame) == Take::kFrame);
  CHECK(Holds(frame, 8));
  CHECK_EQ(frame.info().number, 2u);
  CHECK_EQ(frame.info().capture_ns, 1008u);
  CHECK_EQ(frame.info().width, 64u);
  CHECK_EQ(frame.info().row_stride, 192u);
  CHECK_EQ(frame.info().session, writer->session());
  CHECK(frame.Valid());
  CHECK(frame.Release());
  CHECK(reader->Latest(0, &frame) == Take::kTimeout);
  CHECK(reader->Again(0, &frame) == Take::kFrame);
  CHECK(Holds(frame, 8));
  CHECK(Put(writer.get(), 9).ok());
  CHECK(Put(writer.get(), 10).ok());
  CHECK(reader->Latest(kHang, &frame) == Take::kFrame);
  CHECK(Holds(frame, 10));
  CHECK_EQ(reader->counts().skipped, 1u);
  CHECK_EQ(reader->counts().frames, 3u);
}

TEST(ring_keeps_a_held_frame_whole_while_the_writer_goes_on) {
  const Folder folder;
  const auto writer = Writer(folder, {.name = "ring", .readers = 2, .leases = 2});
  const auto reader = Reader(folder);
  Lease first, second, third;
  CHECK(Put(writer.get(), 1).ok());
  CHECK(reader->Latest(0, &first) == Take::kFrame);
  for (uint64_t step = 2; step < 200; ++step) CHECK(Put(writer.get(), step).ok());
  CHECK(Holds(first, 1));
  CHECK(first.Valid());
  CHECK(reader->Latest(0, &second) == Take::kFrame);
  for (uint64_t step = 200; step < 400; ++step) CHECK(Put(writer.get(), step).ok());
  CHECK(reader->Latest(0, &third) == Take::kNoLease);
  CHECK(Holds(first, 1));
  CHECK(Holds(second, 199));
  CHECK(first.Release());
  CHECK(reader->Latest(0, &third) == Take::kFrame);
  CHECK(Holds(third, 399));
}

TEST(ring_takes_every_format_and_refuses_what_cannot_be) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  Lease frame;
  std::span<uint8_t> pixels;
  const FrameShape good[] = {
      {.width = 5, .height = 3, .channels = 4, .format = FrameFormat::kRgba8},
      {.width = 5, .height = 3, .channels = 4, .format = FrameFormat::kBgra8},
      {.width = 7, .height = 2, .channels = 1, .format = FrameFormat::kGrey8},
      {.width = 9, .height = 2, .row_order = RowOrder::kBottomUp},
      {.width = 640, .height = 360, .format = FrameFormat::kJpeg, .bytes = 999},
      {.format = FrameFormat::kBytes, .bytes = 12288},
  };
  for (const FrameShape& shape : good) {
    CHECK(Put(writer.get(), 3, shape).ok());
    CHECK(reader->Latest(0, &frame) == Take::kFrame);
    CHECK(Holds(frame, 3));
    CHECK(frame.info().format == shape.format && frame.info().row_order == shape.row_order);
  }
  const FrameShape bad[] = {
      {.width = 0, .height = 3},
      {.width = 20000, .height = 3},
      {.width = 5, .height = 3, .channels = 4},
      {.width = 5, .height = 3, .bytes = 44},
      {.width = 5, .height = 3, .format = FrameFormat::kJpeg},
      {.format = FrameFormat::kBytes, .bytes = uint64_t{1} << 40},
      {.width = 5, .height = 3, .format = static_cast<FrameFormat>(5)},
      {.width = 5, .height = 3, .row_order = static_cast<RowOrder>(2)},
  };
  for (const FrameShape& shape : bad) CHECK(!writer->Begin(shape, &pixels).ok());
  CHECK(writer->Commit(1, 1).code == Code::kInvalidArgument);
  CHECK(reader->Latest(0, &frame) == Take::kTimeout);
}

TEST(ring_abandoned_frames_are_never_seen) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  Lease frame;
  std::span<uint8_t> pixels;
  CHECK(Put(writer.get(), 1).ok());
  for (int i = 0; i < 20; ++i) {
    CHECK(writer->Begin({.width = 64, .height = 64}, &pixels).ok());
    std::memset(pixels.data(), 0xEE, pixels.size());
    if (i % 2) writer->Abandon();
  }
  writer->Abandon();
  CHECK(writer->Commit(2, 2).code == Code::kInvalidArgument);
  CHECK(reader->Latest(0, &frame) == Take::kFrame);
  CHECK(Holds(frame, 1));
}

TEST(ring_grows_while_frames_are_held) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  Lease small, large;
  CHECK(Put(writer.get(), 1).ok());
  CHECK(reader->Latest(0, &small) == Take::kFrame);
  const uint64_t session = writer->session();
  CHECK(Put(writer.get(), 2, {.width = 640, .height = 360}).ok());
  CHECK(writer->session() != session);
  CHECK(writer->frame_bytes() >= 640 * 360 * 3);
  CHECK(reader->Latest(0, &large) == Take::kFrame);
  CHECK(Holds(small, 1));
  CHECK(Holds(large, 2));
  CHECK_EQ(large.info().width, 640u);
  CHECK_EQ(reader->counts().attached, 2u);
  CHECK(Put(writer.get(), 3, {.width = 32, .height = 16}).ok());  // smaller ones need no other ring
  CHECK(reader->Latest(0, &large) == Take::kFrame);
  CHECK_EQ(large.info().height, 16u);
  CHECK_EQ(writer->counts().replaced, 1u);
  CHECK(small.Valid());
}

TEST(ring_has_one_writer_and_no_room_for_more_readers_than_entries) {
  const Folder folder;
  auto writer = Writer(folder, {.name = "ring", .readers = 1});
  std::unique_ptr<RingWriter> second;
  const Status status =
      RingWriter::Create({.name = "ring", .frame_bytes = 1, .folder = folder}, &second);
  CHECK(status.code == Code::kUnavailable);
  auto one = Reader(folder);
  const auto two = Reader(folder);
  Lease frame;
  CHECK(Put(writer.get(), 1).ok());
  CHECK(one->Latest(0, &frame) == Take::kFrame);
  frame.Release();
  CHECK(two->Latest(0, &frame) == Take::kNoRoom);
  one.reset();
  CHECK(two->Latest(kHang, &frame) == Take::kFrame);
  frame.Release();
  writer.reset();
  CHECK(two->Latest(0, &frame) == Take::kNoWriter);
  writer = Writer(folder);
  CHECK(Put(writer.get(), 5).ok());
  CHECK(two->Latest(kHang, &frame) == Take::kFrame);
  CHECK(Holds(frame, 5));
}

TEST(ring_refuses_names_folders_and_numbers) {
  const Folder folder;
  std::unique_ptr<RingWriter> writer;
  std::unique_ptr<RingReader> reader;
  for (const char* name : {"", "../up", "a/b", ".hidden", "a b", "-x", "ä"}) {
    const RingOptions options{.name = name, .frame_bytes = 1, .folder = folder};
    CHECK(RingWriter::Create(options, &writer).code == Code::kInvalidArgument);
    CHECK(RingReader::Open({.name = name, .folder = folder}, &reader).code ==
          Code::kInvalidArgument);
  }
  CHECK(!RingWriter::Create({.name = "a", .frame_bytes = 0, .folder = folder}, &writer).ok());
  CHECK(
      !RingWriter::Create({.name = "a", .frame_bytes = 1, .readers = 17, .folder = folder}, &writer)
           .ok());
  CHECK(!RingWriter::Create({.name = "a", .frame_bytes = 1, .leases = 7, .folder = folder}, &writer)
             .ok());
  CHECK(!RingWriter::Create({.name = "a", .frame_bytes = 1, .folder = "/nowhere"}, &writer).ok());
  CHECK(!RingWriter::Create({.name = "a", .frame_bytes = 1, .folder = "dev/shm"}, &writer).ok());
}

TEST(ring_file_is_its_owners_only) {
  const Folder folder;
  const auto writer = Writer(folder);
  struct stat about;
  CHECK_EQ(stat(folder.ring("ring").c_str(), &about), 0);
  CHECK_EQ(about.st_mode & 0777u, 0600u);
  // A writer that cannot say so when it makes the file: whoever opens it first says it.
  CHECK_EQ(chmod(folder.ring("ring").c_str(), 0644), 0);
  const auto reader = Reader(folder);
  CHECK_EQ(stat(folder.ring("ring").c_str(), &about), 0);
  CHECK_EQ(about.st_mode & 0777u, 0600u);
  // Neither a link nor a folder is a ring.
  CHECK_EQ(symlink(folder.ring("ring").c_str(), folder.ring("link").c_str()), 0);
  CHECK_EQ(mkdir(folder.ring("folder").c_str(), 0700), 0);
  Lease frame;
  CHECK(Reader(folder, {.name = "link"})->Latest(0, &frame) == Take::kNoWriter);
  CHECK(Reader(folder, {.name = "folder"})->Latest(0, &frame) == Take::kNoWriter);
  unlink(folder.ring("link").c_str());
  rmdir(folder.ring("folder").c_str());
}

TEST(ring_hot_paths_do_not_allocate) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  Lease frame;
  for (uint64_t step = 0; step < 50; ++step) CHECK(Put(writer.get(), step).ok());
  CHECK(reader->Latest(0, &frame) == Take::kFrame);
  SleepNs(30 * kMs);  // the heart has begun
  const std::size_t before = check::Allocations();
  bool fine = true;
  for (uint64_t step = 50; step < 500; ++step) {
    fine = fine && Put(writer.get(), step).ok();
    fine = fine && reader->Latest(0, &frame) == Take::kFrame && frame.Valid();
    fine = fine && reader->Latest(1, &frame) == Take::kTimeout;
  }
  CHECK_EQ(check::Allocations() - before, std::size_t{0});
  CHECK(fine);
}

TEST(ring_believes_nothing_that_the_other_side_wrote) {
  const Folder folder;
  const auto writer = Writer(folder);
  CHECK(Put(writer.get(), 1).ok());
  std::unique_ptr<Segment> other;
  CHECK(Segment::Find(writer->path(), 1, &other).ok());
  auto& header = *reinterpret_cast<metabonk_ring_header*>(other->data());
  RingGeometry geometry;
  CHECK(RingGeometry::Read(header, other->bytes(), &geometry).ok());
  const SharedWords words(other->data(), geometry);
  const auto reader = Reader(folder);
  Lease frame;
  const auto spoil = [&](auto& field, auto value, auto&& tried) {
    const auto was = field;
    field = static_cast<std::remove_reference_t<decltype(field)>>(value);
    tried();
    field = was;
  };
  const auto not_taken = [&] { CHECK(reader->Latest(0, &frame) != Take::kFrame); };
  uint64_t step = 2;
  for (uint32_t i = 0; i < geometry.counts.slots; ++i) {
    metabonk_ring_slot& slot = words.slot(i);
    const auto each = [&](auto& field, auto value) {
      CHECK(Put(writer.get(), step++).ok());
      if ((header.newest & 0xFF) == i) spoil(field, value, not_taken);
    };
    each(slot.bytes, geometry.pixels_stride + 1);
    each(slot.bytes, 0);
    each(slot.width, 0);
    each(slot.height, 16385);
    each(slot.height, 65);
    each(slot.channels, 4);
    each(slot.row_stride, 191);
    each(slot.row_stride, 0xFFFFFFFFu);
    each(slot.format, 99);
    each(slot.row_order, 2);
  }
  CHECK(reader->counts().refused > 0);
  CHECK(Put(writer.get(), step).ok());
  spoil(header.newest, (header.newest + (uint64_t{1} << 8)) | 0xFF, not_taken);
  const auto never = [&] {
    Lease lease;
    CHECK(Reader(folder)->Latest(0, &lease) == Take::kNoWriter);
  };
  spoil(header.magic, 0, never);
  spoil(header.version, 3, never);
  spoil(header.header_bytes, 128, never);
  spoil(header.session, 0, never);
  spoil(header.slot_count, 1u << 31, never);
  spoil(header.slot_count, geometry.counts.slots - 1, never);
  spoil(header.reader_count, 17, never);
  spoil(header.lease_count, 0, never);
  spoil(header.pixels_offset, 0, never);
  spoil(header.pixels_stride, ~uint64_t{0} - 4095, never);
  spoil(header.total_bytes, other->bytes() + 4096, never);
  {
    Lease lease;
    CHECK(Reader(folder)->Again(0, &lease) == Take::kFrame);
  }
}

TEST(ring_outlives_its_removal) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  CHECK(Put(writer.get(), 1).ok());
  CHECK_EQ(unlink(folder.ring("ring").c_str()), 0);
  uint64_t step = 2;
  CHECK(
      Eventually([&] { return Put(writer.get(), step++).ok() && writer->counts().replaced > 0; }));
  Lease frame;
  CHECK(reader->Latest(kHang, &frame) == Take::kFrame);
  CHECK_EQ(frame.info().session, writer->session());
}

// Writer, readers, what they hold and the heart, each on a thread of its own.
TEST(ring_threads_of_one_process_share_a_ring) {
  const Folder folder;
  auto writer = Writer(folder, {.name = "ring", .readers = 3});
  std::atomic<bool> done{false};
  std::atomic<uint64_t> taken{0}, wrong{0};
  const auto read = [&] {
    while (!done) {
      const auto reader = Reader(folder);
      Lease frame, kept;
      for (int i = 0; i < 200 && !done; ++i) {
        if (reader->Latest(5 * kMs, &frame) != Take::kFrame) continue;
        ++taken;
        if (!Holds(frame, frame.info().step) || !frame.Valid()) ++wrong;
        if (i % 20 == 0) kept = std::move(frame);
      }
      if (kept && !Holds(kept, kept.info().step)) ++wrong;
    }
  };
  std::thread readers[] = {std::thread(read), std::thread(read), std::thread(read)};
  uint64_t step = 0;
  for (const uint32_t side : {16u, 64u, 32u, 128u}) {
    for (int i = 0; i < 2000; ++i) CHECK(Put(writer.get(), step++, {side, side}).ok());
  }
  CHECK(Eventually([&] { return Put(writer.get(), step++).ok() && taken > 100; }));
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK_EQ(wrong.load(), 0u);
  CHECK_EQ(writer->counts().replaced, 1u);
}

TEST(ring_notices_a_killed_writer_and_removes_what_it_left) {
  const Folder folder;
  for (int round = 0; round < 3; ++round) {
    const pid_t child = Child([&] {
      const auto writer = Writer(folder);
      for (uint64_t step = 1;; ++step) Put(writer.get(), step);
    });
    const auto reader = Reader(folder);
    Lease frame;
    CHECK(reader->Latest(kHang, &frame) == Take::kFrame);
    const uint64_t step = frame.info().step;
    Kill(child);
    Lease last;
    Take take = Take::kFrame;
    while (take == Take::kFrame) take = reader->Latest(kHang, &last);
    CHECK(take == Take::kNoWriter);
    CHECK(!reader->alive());
    CHECK(Holds(frame, step));
    CHECK(Eventually([&] { return access(folder.ring("ring").c_str(), F_OK) != 0; }));
    CHECK_EQ(reader->counts().reclaimed, 1u);
  }
}

TEST(ring_takes_leases_back_from_killed_readers) {
  const Folder folder;
  const auto writer = Writer(folder, {.name = "ring", .readers = 2, .leases = 2});
  CHECK(Put(writer.get(), 1).ok());
  for (uint64_t round = 0; round < 3; ++round) {
    int told[2];
    CHECK_EQ(pipe(told), 0);
    const pid_t child = Child([&] {
      const auto reader = Reader(folder);
      Lease one, two;
      const bool held =
          reader->Again(kHang, &one) == Take::kFrame && reader->Again(kHang, &two) == Take::kFrame;
      if (write(told[1], held ? "y" : "n", 1) != 1) _exit(1);
      pause();
    });
    char answer = 0;
    CHECK_EQ(read(told[0], &answer, 1), ssize_t{1});
    CHECK_EQ(answer, 'y');
    Kill(child);
    for (uint64_t step = 2; step < 100; ++step) CHECK(Put(writer.get(), step).ok());
    CHECK(Eventually([&] { return writer->counts().readers_lost == round + 1; }));
    CHECK_EQ(writer->counts().readers, 0u);
    close(told[0]);
    close(told[1]);
  }
}

TEST(ring_is_taken_over_from_a_writer_that_was_killed_with_its_readers) {
  const Folder folder;
  for (const bool locks : {true, false}) {
    int told[2];
    CHECK_EQ(pipe(told), 0);
    const pid_t child = Child([&] {
      const auto writer = Writer(folder, {.name = "ring", .locks = locks});
      if (write(told[1], "y", 1) != 1) _exit(1);
      pause();
    });
    char answer = 0;
    CHECK_EQ(read(told[0], &answer, 1), ssize_t{1});
    Kill(child);
    const auto writer = Writer(folder);
    CHECK(Put(writer.get(), 1).ok());
    close(told[0]);
    close(told[1]);
  }
}

TEST(ring_writer_that_is_stopped_is_silent_but_keeps_its_ring) {
  const Folder folder;
  const pid_t child = Child([&] {
    const auto writer = Writer(folder);
    for (uint64_t step = 1;; ++step) {
      Put(writer.get(), step);
      SleepNs(kMs);
    }
  });
  const auto reader = Reader(folder);
  Lease frame;
  CHECK(reader->Latest(kHang, &frame) == Take::kFrame);
  kill(child, SIGSTOP);
  CHECK(Eventually([&] { return reader->Latest(50 * kMs, &frame) == Take::kNoWriter; }));
  CHECK_EQ(access(folder.ring("ring").c_str(), F_OK), 0);
  kill(child, SIGCONT);
  CHECK(Eventually([&] { return reader->Latest(50 * kMs, &frame) == Take::kFrame; }));
  CHECK_EQ(reader->counts().attached, 1u);
  Kill(child);
  CHECK(Eventually([&] { return access(folder.ring("ring").c_str(), F_OK) != 0; }));
}

// Clients under Wine: nobody wakes, nobody locks; heartbeats alone say who lives.
TEST(ring_without_futex_and_locks) {
  const Folder folder;
  const pid_t child = Child([&] {
    const auto writer = Writer(folder, {.name = "ring", .wakes = false, .locks = false});
    for (uint64_t step = 1;; ++step) {
      Put(writer.get(), step);
      SleepNs(kMs);
    }
  });
  auto reader = Reader(folder, {.name = "ring", .locks = false});
  Lease frame;
  for (int i = 0; i < 20; ++i) CHECK(reader->Latest(kHang, &frame) == Take::kFrame);
  CHECK(frame.Valid());
  Kill(child);
  while (reader->Latest(kHang, &frame) == Take::kFrame) {
  }
  CHECK(!reader->alive());
  CHECK(Eventually([&] {
    reader->Latest(kMs, &frame);
    return access(folder.ring("ring").c_str(), F_OK) != 0;
  }));
}

// One who shows neither lock nor heartbeat loses what it holds, and can tell.
TEST(ring_silent_reader_loses_its_lease_and_knows) {
  const Folder folder;
  const auto writer = Writer(folder, {.name = "ring", .readers = 1, .leases = 1});
  const auto reader = Reader(folder, {.name = "ring", .locks = false, .beats = false});
  CHECK(Put(writer.get(), 1).ok());
  Lease frame;
  CHECK(reader->Latest(0, &frame) == Take::kFrame);
  CHECK(Eventually([&] { return writer->counts().readers_lost == 1; }));
  for (uint64_t step = 2; step < 10; ++step) CHECK(Put(writer.get(), step).ok());
  CHECK(!frame.Valid());
  CHECK(!frame.Release());
  CHECK(Eventually([&] { return reader->Latest(kMs, &frame) == Take::kFrame; }));  // enters again
  CHECK_EQ(reader->counts().lost, 1u);
}

TEST(ring_is_left_alone_by_a_forked_child) {
  const Folder folder;
  auto writer = Writer(folder);
  const auto reader = Reader(folder);
  CHECK(Put(writer.get(), 1).ok());
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = Put(writer.get(), 2).code == Code::kUnavailable;
    writer.reset();  // must not remove the parent's ring
    _exit(refused ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  CHECK_EQ(status, 0);
  CHECK_EQ(access(folder.ring("ring").c_str(), F_OK), 0);
  // A child that lives on keeps no lock: the ring of its dead parent can be taken.
  int told[2];
  CHECK_EQ(pipe(told), 0);
  writer.reset();
  const pid_t parent = Child([&] {
    const auto inner = Writer(folder);
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      if (write(told[1], "y", 1) != 1) _exit(1);
      close(told[1]);
      sleep(5);
      _exit(0);
    }
    pause();
  });
  char answer = 0;
  CHECK_EQ(read(told[0], &answer, 1), ssize_t{1});
  Kill(parent);
  const auto next = Writer(folder);
  CHECK(next != nullptr && Put(next.get(), 1).ok());
  close(told[0]);
  close(told[1]);
}

// Writers without nameless files make theirs step by step: what they left half-made goes too.
TEST(ring_takes_over_a_file_that_was_never_finished) {
  const Folder folder;
  for (const off_t bytes : {0, 100, 70'000}) {
    const int file = open(folder.ring("ring").c_str(), O_CREAT | O_RDWR, 0600);
    CHECK_EQ(ftruncate(file, bytes), 0);
    close(file);
    const auto reader = Reader(folder);
    Lease frame;
    CHECK(reader->Latest(0, &frame) == Take::kNoWriter);
    const auto writer = Writer(folder);
    CHECK(writer != nullptr && Put(writer.get(), 1).ok());
    CHECK(reader->Latest(kHang, &frame) == Take::kFrame);
  }
}

TEST(ring_sweeps_what_dead_writers_left) {
  const Folder folder;
  int told[2];
  CHECK_EQ(pipe(told), 0);
  const pid_t child = Child([&] {
    const auto a = Writer(folder, {.name = "a"});
    const auto b = Writer(folder, {.name = "b"});
    if (write(told[1], "y", 1) != 1) _exit(1);
    pause();
  });
  char answer = 0;
  CHECK_EQ(read(told[0], &answer, 1), ssize_t{1});
  const auto living = Writer(folder, {.name = "c"});
  CHECK_EQ(SweepRings(folder), 0);
  Kill(child);
  CHECK_EQ(SweepRings(folder), 2);
  CHECK_EQ(access(folder.ring("c").c_str(), F_OK), 0);
  close(told[0]);
  close(told[1]);
}
