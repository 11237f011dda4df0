// The frame ring between processes that are killed, stopped or forked, and what they leave behind.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "ipc/attachment.h"
#include "ipc/heartbeat.h"
#include "ipc/ring_file.h"
#include "ipc/ring_fixture.h"

namespace {

using namespace metabonk;
using namespace metabonk::ipc;
using namespace ring_fixture;

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
    // The file goes first and is counted after, by the reader's own thread.
    CHECK(Eventually([&] { return reader->counts().reclaimed == 1; }));
    CHECK(access(folder.ring("ring").c_str(), F_OK) != 0);
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
    const int64_t began = MonotonicNs();
    const auto writer = Writer(folder);
    // Who showed by no lock that it lived may only have been stopped, as a reader of its ring
    // knows.
    CHECK(locks || MonotonicNs() - began >= kBeatGraceNs);
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

// Time is the test's: the reader's heart is beaten by hand.
TEST(ring_asks_for_the_lock_of_a_writer_that_missed_some_beats) {
  enum class Fate : uint8_t { kKilled, kKilledWithoutLock, kStopped };
  for (const Fate fate : {Fate::kKilled, Fate::kKilledWithoutLock, Fate::kStopped}) {
    const Folder folder;
    int told[2];
    CHECK_EQ(pipe(told), 0);
    const pid_t child = Child([&] {
      const bool locks = fate != Fate::kKilledWithoutLock;
      const auto writer = Writer(folder, {.name = "ring", .locks = locks});
      if (write(told[1], "y", 1) != 1) _exit(1);
      pause();
    });
    char answer = 0;
    CHECK_EQ(read(told[0], &answer, 1), ssize_t{1});
    std::shared_ptr<Attachment> reader;
    bool full = false;
    CHECK(Attachment::Make(folder.ring("ring"), true, false, &reader, &full).ok());
    if (fate == Fate::kStopped) {
      kill(child, SIGSTOP);
      int status = 0;
      waitpid(child, &status, WUNTRACED);
    } else {
      Kill(child);
    }
    int64_t now = kBeatGraceNs;
    const auto beat_until = [&](int64_t end) {
      for (; now <= end; now += kBeatPeriodNs) reader->Beat(now);
    };
    beat_until(kBeatGraceNs + kBeatMissedNs - kBeatPeriodNs);
    CHECK(reader->alive());
    beat_until(kBeatGraceNs + kBeatTimeoutNs - kBeatPeriodNs);
    CHECK_EQ(reader->alive(), fate != Fate::kKilled);
    CHECK_EQ(reader->reclaimed.load(), fate == Fate::kKilled ? 1u : 0u);
    beat_until(kBeatGraceNs + kBeatTimeoutNs);
    CHECK(!reader->alive());
    CHECK_EQ(access(folder.ring("ring").c_str(), F_OK) == 0, fate != Fate::kKilled);
    if (fate == Fate::kStopped) {
      kill(child, SIGCONT);
      Kill(child);
    }
    reader.reset();
    SweepRings(folder);
    unlink(folder.ring("ring").c_str());
    close(told[0]);
    close(told[1]);
  }
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

// What a child inherited of a reader is its parent's: it lets nothing go, takes an entry of its
// own, and leaves the parent's frame whole.
TEST(ring_leases_are_left_alone_by_a_forked_child) {
  const Folder folder;
  const auto writer = Writer(folder);
  const auto reader = Reader(folder);
  CHECK(Put(writer.get(), 1).ok());
  Lease frame;
  CHECK(reader->Latest(kHang, &frame) == Take::kFrame);
  const pid_t child = fork();
  if (child == 0) {
    bool fine = frame && !frame.Valid() && !frame.Release();
    Lease own;
    fine = fine && reader->Again(kHang, &own) == Take::kFrame && own.Valid() && Holds(own, 1);
    fine = fine && reader->counts().attached == 2;
    own.Release();
    _exit(fine ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  CHECK_EQ(status, 0);
  for (uint64_t step = 2; step < 100; ++step) CHECK(Put(writer.get(), step).ok());
  CHECK(frame.Valid() && Holds(frame, 1));
  CHECK(frame.Release());
  CHECK(reader->Latest(kHang, &frame) == Take::kFrame && Holds(frame, 99));
  CHECK_EQ(reader->counts().attached, 1u);
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

// An empty file of that name, last written so many seconds ago.
void Plant(const std::string& path, int64_t age) {
  const int file = open(path.c_str(), O_CREAT | O_RDWR, 0600);
  timespec times[2] = {};
  clock_gettime(CLOCK_REALTIME, &times[1]);
  times[1].tv_sec -= age;
  times[0] = times[1];
  CHECK_EQ(futimens(file, times), 0);
  close(file);
}

TEST(ring_sweeps_what_writers_left_who_died_while_they_made_theirs) {
  const Folder folder;
  const std::string old = std::string(folder) + "/.metabonk-ring-a.partial";
  const std::string fresh = std::string(folder) + "/.metabonk-ring-b.partial";
  const std::string locked = std::string(folder) + "/.metabonk-ring-c.partial";
  const std::string named = folder.ring("d.partial");  // a ring may be called so
  const std::string others = std::string(folder) + "/.metabonk-ring-e.txt";
  for (const std::string& path : {old, locked, named, others}) Plant(path, 3600);
  Plant(fresh, 0);  // somebody may be making it now
  {
    std::unique_ptr<Segment> living;
    CHECK(Segment::Find(locked, 0, &living).ok());
    CHECK(living->Lock(0));
    CHECK_EQ(SweepRings(folder), 1);
  }
  CHECK(access(old.c_str(), F_OK) != 0);
  for (const std::string& path : {fresh, locked, named, others}) {
    CHECK_EQ(access(path.c_str(), F_OK), 0);
  }
  const auto reader = Reader(folder);  // who opens a ring sweeps; nobody has a lock now
  CHECK(access(locked.c_str(), F_OK) != 0);
  for (const std::string& path : {fresh, named, others}) unlink(path.c_str());
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
