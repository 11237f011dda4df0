// Attachment: one ring that a reader is attached to, for as long as the reader or a lease needs it.
// Keeps the memory mapped, the reader's entry alive and an eye on the writer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "ipc/heartbeat.h"
#include "ipc/ring_memory.h"
#include "ipc/segment.h"
#include "metabonk/status.h"

namespace metabonk::ipc {

class Attachment final : public Beating {
 public:
  // kUnavailable if there is no ring, or no entry free in its table; *full says which.
  static Status Make(const std::string& path, bool locks, bool beats,
                     std::shared_ptr<Attachment>* out, bool* full);
  explicit Attachment(std::unique_ptr<Segment> segment);
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  void Beat(int64_t now_ns) override;

  // The writer is there and its heart beats.
  bool alive() const { return open() && !silent_.load(std::memory_order_relaxed); }
  // Frames may still come here: else the name is to be opened anew.
  bool open() const;
  // This reader has lost its entry.
  void Evicted() { evicted_.store(true, std::memory_order_relaxed); }
  uint64_t session() const { return session_; }
  bool wakes() const { return wakes_; }
  const RingGeometry& geometry() const { return geometry_; }
  const SharedWords& words() const { return words_; }
  RingLeases<SharedWords>& leases() { return *leases_; }
  Segment& segment() { return *segment_; }

  // One of the reader's leases that is free, marked as held; -1 if there is none.
  int Hold();
  void Free(uint32_t lease) { held_.fetch_and(~(1u << lease), std::memory_order_release); }
  // Maps a slot's pages when it is seen for the first time.
  void Touch(uint32_t slot);

  std::atomic<uint64_t> lost{0};       // leases
  std::atomic<uint64_t> reclaimed{0};  // 1 if this side removed the ring

 private:
  Status Enter(bool locks, bool beats);

  std::unique_ptr<Segment> segment_;
  std::string path_;
  RingGeometry geometry_;
  SharedWords words_;
  std::unique_ptr<RingLeases<SharedWords>> leases_;
  uint64_t session_ = 0, beats_ = 0;
  uint64_t touched_[2] = {0, 0};
  bool wakes_ = false, writer_locks_ = false, beating_ = false;
  Pulse pulse_;
  std::atomic<uint32_t> held_{0};
  std::atomic<bool> silent_{false}, evicted_{false};
};

}  // namespace metabonk::ipc
