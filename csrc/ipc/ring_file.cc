#include "ipc/ring_file.h"

#include <dirent.h>

#include <atomic>
#include <cstring>

#include "ipc/futex.h"
#include "ipc/heartbeat.h"
#include "ipc/leftovers.h"
#include "metabonk/frame_ring.h"

namespace metabonk::ipc {
namespace {

// Rings of writers without nameless files (plugins/Core), which take no lock, while they are made.
constexpr Unfinished kPartial{"." METABONK_RING_PREFIX, ".partial", 0, 0, kUnfinishedNs};

bool Letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

metabonk_ring_header& Header(const Segment& segment) {
  return *reinterpret_cast<metabonk_ring_header*>(segment.data());
}

bool Ready(const Segment& segment) {
  return segment.bytes() >= sizeof(metabonk_ring_header) &&
         std::atomic_ref(Header(segment).magic).load(std::memory_order_acquire) ==
             METABONK_RING_MAGIC;
}

// Whether nobody keeps this file, whose lock on byte 0 is ours: who takes no lock must beat within
// the time after which such a one is dead.
bool Deserted(const Segment& segment) {
  if (!Ready(segment)) return true;
  metabonk_ring_header& header = Header(segment);
  if (header.flags & METABONK_RING_WRITER_LOCKS) return true;
  if (std::atomic_ref(header.state).load(std::memory_order_acquire) != METABONK_RING_OPEN) {
    return true;
  }
  const uint64_t before = std::atomic_ref(header.beat).load(std::memory_order_acquire);
  const int64_t began = MonotonicNs();
  while (MonotonicNs() - began < kBeatGraceNs) {
    SleepNs(kBeatPeriodNs);
    if (std::atomic_ref(header.beat).load(std::memory_order_acquire) != before) return false;
  }
  return true;
}

}  // namespace

Status RingPath(const std::string& folder, const std::string& name, std::string* path) {
  bool fine = !name.empty() && name.size() <= METABONK_RING_NAME_MAX && Letter(name[0]);
  for (const char c : name) fine = fine && (Letter(c) || c == '.' || c == '_' || c == '-');
  if (!fine) {
    return {Code::kInvalidArgument, "name",
            "must be 1..64 of letters, digits, '.', '_' and '-', beginning with one of the former"};
  }
  if (folder.empty() || folder[0] != '/') {
    return {Code::kInvalidArgument, "folder", "must be an absolute path, as /dev/shm"};
  }
  *path = folder + "/" METABONK_RING_PREFIX + name;
  return Status::Ok();
}

bool ReclaimRing(Segment* segment, const std::string& path) {
  if (!segment->Lock(0)) return false;  // its writer lives, or somebody else is at it
  const bool removed = RemoveSegment(*segment, path);
  if (Ready(*segment)) {
    metabonk_ring_header& header = Header(*segment);
    uint32_t open = METABONK_RING_OPEN;
    std::atomic_ref(header.state).compare_exchange_strong(open, METABONK_RING_RECLAIMED);
    FutexWake(&header.doorbell);
  }
  segment->Unlock(0);
  return removed;
}

Status ClearRing(const std::string& path) {
  std::unique_ptr<Segment> found;
  Status status = Segment::Find(path, 0, &found);
  if (status.ok() && !Ready(*found)) {
    SleepNs(kBeatTimeoutNs);  // perhaps it is just being made
    found.reset();
    status = Segment::Find(path, 0, &found);
  }
  if (!status.ok() && std::strcmp(status.what, "there is no ring of this name") == 0) {
    return Status::Ok();
  }
  if (!status.ok()) return status;
  constexpr Status kTaken{Code::kUnavailable, "name",
                          "another writer has this ring: end it, or choose another name"};
  if (!found->Lock(0)) return kTaken;
  if (!Deserted(*found)) return kTaken;
  found->Unlock(0);
  ReclaimRing(found.get(), path);
  return Status::Ok();
}

int SweepRings(const std::string& folder) {
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return 0;
  constexpr size_t kPrefix = sizeof(METABONK_RING_PREFIX) - 1;
  int swept = 0;
  while (const dirent* entry = readdir(entries)) {
    if (std::strncmp(entry->d_name, METABONK_RING_PREFIX, kPrefix) != 0) continue;
    const std::string path = folder + "/" + entry->d_name;
    std::unique_ptr<Segment> found;
    if (!Segment::Find(path, sizeof(metabonk_ring_header), &found).ok() || !Ready(*found)) continue;
    if (!(Header(*found).flags & METABONK_RING_WRITER_LOCKS)) continue;
    swept += ReclaimRing(found.get(), path) ? 1 : 0;
  }
  closedir(entries);
  return swept + SweepUnfinished(folder, kPartial);
}

}  // namespace metabonk::ipc
