// RingWriter: the one side that puts frames into a ring (frame_ring.h). Never waits for a reader,
// whatever readers do. Knows shared memory and frames; no games, no sockets.
//
//   std::unique_ptr<RingWriter> ring;
//   RETURN_IF(RingWriter::Create({.name = "arena-0", .frame_bytes = 640 * 360 * 3}, &ring));
//   std::span<uint8_t> pixels;
//   ring->Begin({.width = 640, .height = 360}, &pixels);   // then write all of them
//   ring->Commit(step, capture_ns);
//
// The ring goes when the writer does: in its destructor, or, where it was killed, by the first
// reader that notices (within a tenth of a second) or the next writer of that name.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ipc/frame.h"
#include "metabonk/status.h"

namespace metabonk::ipc {

struct RingOptions {
  std::string name;          // [A-Za-z0-9._-], up to 64
  uint64_t frame_bytes = 0;  // of the largest frame to begin with; larger ones make it grow
  uint32_t readers = 6;      // at once
  uint32_t leases = 3;       // frames that each of them may hold
  std::string folder = "/dev/shm";
  // What a writer that is no Linux process would not do; tests leave them out.
  bool wakes = true, locks = true, beats = true;
};

struct WriterCounts {
  uint64_t frames = 0;        // committed
  uint64_t replaced = 0;      // times that the ring grew, or was made anew after it was reclaimed
  uint64_t readers_lost = 0;  // that died or fell silent, whose leases were taken back
  uint32_t readers = 0;       // now
};

class RingWriter {
 public:
  // Refuses a name that a living writer has; takes over that of a dead one.
  static Status Create(const RingOptions& options, std::unique_ptr<RingWriter>* out);
  ~RingWriter();
  RingWriter(const RingWriter&) = delete;
  RingWriter& operator=(const RingWriter&) = delete;

  // Memory for the next frame, all of which is to be written: what is in it is an old frame. One
  // thread at a time calls Begin, Commit and Abandon. A second Begin gives up the first. Allocates
  // and calls the system only for a frame that is larger than any before it, the first time that a
  // slot is used, and after the ring was reclaimed.
  Status Begin(const FrameShape& shape, std::span<uint8_t>* pixels);
  // Publishes it and wakes who waits. Wait-free.
  Status Commit(uint64_t step, uint64_t capture_ns);
  // Says that Commit follows within microseconds: who sleeps wakes up meanwhile and looks for it.
  // Harmless without a begun frame.
  void Announce();
  // Begin, a copy of `frame`, which has the shape's bytes, and Commit; the end of a large frame is
  // announced before it is copied.
  Status Write(const FrameShape& shape, std::span<const uint8_t> frame, uint64_t step,
               uint64_t capture_ns);
  // Gives the begun frame up; harmless without one.
  void Abandon();

  const std::string& name() const;
  const std::string& path() const;
  uint64_t session() const;
  uint64_t frame_bytes() const;  // room that a frame has now
  // Keeps what Begin returned mapped, for those who cannot let go of it before the ring grows.
  std::shared_ptr<const void> memory() const;
  WriterCounts counts() const;

 private:
  struct Ring;
  explicit RingWriter(const RingOptions& options);
  std::unique_ptr<Ring> ring_;
};

}  // namespace metabonk::ipc
