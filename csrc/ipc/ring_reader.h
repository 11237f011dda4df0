// RingReader: takes the newest frame out of a ring (frame_ring.h) without copying it. Outlives its
// writers: it finds the ring again after the game was restarted or the frames became larger.
//
//   std::unique_ptr<RingReader> ring;
//   RETURN_IF(RingReader::Open({.name = "arena-0"}, &ring));
//   Lease frame;
//   if (ring->Latest(16'000'000, &frame) == Take::kFrame) Use(frame.data(), frame.info());
//
// A lease keeps its frame whole for as long as it is held and this process lives: the writer has
// more slots than all leases together and never needs one that is held. Only a process that stood
// still for longer than the heartbeat's timeout on a system without file locks may lose one, which
// Valid() says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ipc/frame.h"
#include "metabonk/status.h"

namespace metabonk::ipc {

struct ReaderOptions {
  std::string name;
  std::string folder = "/dev/shm";
  uint32_t spin_us = 50;            // looks before it sleeps; always bounded
  uint32_t poll_us = 500;           // between looks where the writer cannot wake, at most 1000
  bool locks = true, beats = true;  // tests leave them out
};

enum class Take {
  kFrame,     // a frame that this reader has not had
  kTimeout,   // the writer lives, but no new frame came
  kNoWriter,  // there is no ring of this name, or its writer is gone or silent
  kNoRoom,    // the table of readers is full
  kNoLease,   // all leases of this reader are held: let one go
};

struct ReaderCounts {
  uint64_t frames = 0;     // handed out
  uint64_t skipped = 0;    // that were committed between two of those, and never seen here
  uint64_t attached = 0;   // rings that it was attached to, one after the other
  uint64_t looks = 0;      // times that it tried to take one: a wait tries again only now and then
  uint64_t overtaken = 0;  // times that the writer was faster, dozens of times in a row
  uint64_t awaited = 0;    // times that it was up before the frame was, which was announced
  uint64_t vain = 0;       // times that an announced frame did not come in time: it slept again
  uint64_t refused = 0;    // slots that described an impossible frame
  uint64_t lost = 0;       // leases that were overwritten while they were held
  uint64_t reclaimed = 0;  // rings of dead writers that this reader removed
};

class Attachment;  // a mapped ring with this reader in its table

class Lease {
 public:
  Lease();
  ~Lease();  // releases
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;

  explicit operator bool() const { return data_ != nullptr; }
  const uint8_t* data() const { return data_; }  // info().bytes of them, read-only memory
  const FrameInfo& info() const { return info_; }
  // Whether the frame has been whole until now. False for an empty lease.
  bool Valid() const;
  // Lets the frame go, from any thread; whether it was whole all along. data() is null afterwards.
  bool Release();
  // The pixels are mapped for reading alone, so that writing to them is a fault. This lifts that
  // for the whole ring, for libraries that know no memory that cannot be written.
  bool AllowWriting();

 private:
  friend class RingReader;
  std::shared_ptr<Attachment> from_;  // keeps the memory mapped
  const uint8_t* data_ = nullptr;
  uint32_t index_ = 0, slot_ = 0;  // which of the reader's leases, on which slot
  FrameInfo info_;
};

class RingReader {
 public:
  // Refuses an impossible name; there need not be a ring yet.
  static Status Open(const ReaderOptions& options, std::unique_ptr<RingReader>* out);
  ~RingReader();  // leases stay good until they are released
  RingReader(const RingReader&) = delete;
  RingReader& operator=(const RingReader&) = delete;

  // The newest frame, waiting up to `timeout_ns` for one that is newer than the last one handed
  // out: spins, then sleeps. One thread at a time; `alive`, `session`, `Region`, `why` and `counts`
  // may be asked by others meanwhile. After a fork the child gets an entry of its own, and what it
  // inherited of leases is no longer Valid there. `lease` is released first, so that one Lease
  // object in a loop never runs out. Without allocation but for attaching to another ring.
  Take Latest(int64_t timeout_ns, Lease* lease);
  // As Latest, but the frame may be one that this reader has had; waits only for the first of all.
  Take Again(int64_t timeout_ns, Lease* lease);

  // Whether there is a ring whose writer's heart beats.
  bool alive() const;
  uint64_t session() const;  // 0 while there is none
  // The pixels of all slots of the ring that this reader is attached to now, mapped as long as
  // `hold` lives; null without one. For those who tell a device about memory, not to be read.
  uint8_t* Region(uint64_t* bytes, std::shared_ptr<const void>* hold) const;
  // Why the last Take was not kFrame, for people; "" if it was.
  Status why() const;
  ReaderCounts counts() const;

 private:
  struct State;
  explicit RingReader(const ReaderOptions& options);
  std::unique_ptr<State> state_;
};

}  // namespace metabonk::ipc
