// The frame ring as its users meet it, within one process.
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ipc/ring_fixture.h"
#include "ipc/ring_memory.h"
#include "ipc/segment.h"

namespace {

using namespace metabonk;
using namespace metabonk::ipc;
using namespace ring_fixture;

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

// Who takes any frame must not look for the one that was refused until its time is up.
TEST(ring_reader_sleeps_on_a_refused_frame) {
  const Folder folder;
  const auto writer = Writer(folder);
  CHECK(Put(writer.get(), 1).ok());
  std::unique_ptr<Segment> other;
  CHECK(Segment::Find(writer->path(), 1, &other).ok());
  auto& header = *reinterpret_cast<metabonk_ring_header*>(other->data());
  RingGeometry geometry;
  CHECK(RingGeometry::Read(header, other->bytes(), &geometry).ok());
  SharedWords(other->data(), geometry).slot(header.newest & 0xFF).bytes = 0;
  const auto reader = Reader(folder);
  Lease frame;
  // Two hundred milliseconds are ten sleeps of twenty; a reader that never sleeps looks more than
  // a hundred thousand times.
  CHECK(reader->Again(200 * kMs, &frame) == Take::kTimeout);
  CHECK(reader->counts().looks >= 1 && reader->counts().looks <= 100);
  CHECK_EQ(reader->counts().refused, 1u);
  CHECK(Put(writer.get(), 2).ok());
  CHECK(reader->Again(kHang, &frame) == Take::kFrame);
  CHECK(Holds(frame, 2));
  CHECK(reader->Again(0, &frame) == Take::kFrame);  // and once more
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
  // Others ask meanwhile what a reader and the writer are at, as who watches them does.
  const auto watched = Reader(folder);
  const auto watch = [&] {
    while (!done) {
      uint64_t bytes = 0;
      std::shared_ptr<const void> hold;
      const bool there = watched->Region(&bytes, &hold) != nullptr;
      if (there != (hold != nullptr) || watched->counts().lost != 0) ++wrong;
      watched->alive();
      watched->session();
      if (!watched->why().ok() && watched->why().what == nullptr) ++wrong;
      if (writer->session() == 0 || writer->frame_bytes() < 64 * 64 * 3) ++wrong;
      if (!writer->memory()) ++wrong;
    }
  };
  const auto follow = [&] {
    Lease frame;
    while (!done) watched->Latest(5 * kMs, &frame);
  };
  std::thread readers[] = {std::thread(read), std::thread(read), std::thread(watch),
                           std::thread(follow)};
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
