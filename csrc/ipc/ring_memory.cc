#include "ipc/ring_memory.h"

namespace metabonk::ipc {
namespace {

constexpr uint64_t kPage = METABONK_RING_PAGE;

constexpr uint64_t Pages(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

Status CheckCounts(uint32_t readers, uint32_t leases) {
  if (readers < 1 || readers > METABONK_RING_READERS_MAX) {
    return {Code::kOutOfRange, "readers", "must be 1..16"};
  }
  if (leases < 1 || leases > METABONK_RING_LEASES_MAX) {
    return {Code::kOutOfRange, "leases", "must be 1..6"};
  }
  return Status::Ok();
}

}  // namespace

Status RingGeometry::Make(uint32_t readers, uint32_t leases, uint64_t frame_bytes,
                          RingGeometry* out) {
  if (const Status status = CheckCounts(readers, leases); !status.ok()) return status;
  if (frame_bytes < 1 || frame_bytes > METABONK_RING_BYTES_MAX) {
    return {Code::kOutOfRange, "frame_bytes", "must be 1..2^30"};
  }
  RingGeometry g;
  // One that is newest, one to write, and one more, so that the newest stays for another frame.
  g.counts = {3 + readers * leases, readers, leases};
  g.pixels_offset = Pages(g.slots_offset() + g.counts.slots * uint64_t{sizeof(metabonk_ring_slot)});
  g.pixels_stride = Pages(frame_bytes);
  g.total_bytes = g.pixels_of(g.counts.slots);
  *out = g;
  return Status::Ok();
}

Status RingGeometry::Read(const metabonk_ring_header& header, uint64_t file_bytes,
                          RingGeometry* out) {
  auto& shared = const_cast<metabonk_ring_header&>(header);
  if (std::atomic_ref(shared.magic).load(std::memory_order_acquire) != METABONK_RING_MAGIC) {
    return {Code::kUnavailable, "magic", "this is no frame ring, or it is not ready yet"};
  }
  if (header.version != METABONK_RING_VERSION || header.header_bytes != sizeof header) {
    return {Code::kVersionMismatch, "version",
            "the other side speaks another version of the ring: update one of them"};
  }
  RingGeometry g;
  g.counts = {header.slot_count, header.reader_count, header.lease_count};
  g.pixels_offset = header.pixels_offset;
  g.pixels_stride = header.pixels_stride;
  g.total_bytes = header.total_bytes;
  if (!CheckCounts(g.counts.readers, g.counts.leases).ok()) {
    return {Code::kCorrupt, "reader_count", "out of the layout's limits"};
  }
  if (g.counts.slots < 3 + g.counts.readers * g.counts.leases ||
      g.counts.slots > METABONK_RING_SLOTS_MAX) {
    return {Code::kCorrupt, "slot_count", "must be 3 + readers * leases or more, up to 128"};
  }
  const uint64_t least = g.slots_offset() + g.counts.slots * uint64_t{sizeof(metabonk_ring_slot)};
  if (g.pixels_offset < least || g.pixels_offset % kPage || g.pixels_offset > file_bytes) {
    return {Code::kCorrupt, "pixels_offset", "must be whole pages behind the slots"};
  }
  if (g.pixels_stride < kPage || g.pixels_stride % kPage ||
      g.pixels_stride > Pages(METABONK_RING_BYTES_MAX)) {
    return {Code::kCorrupt, "pixels_stride", "must be whole pages, up to 2^30 bytes"};
  }
  if (g.total_bytes != g.pixels_of(g.counts.slots) || g.total_bytes > file_bytes) {
    return {Code::kCorrupt, "total_bytes", "the file is not as large as its slots"};
  }
  if (header.session == 0) return {Code::kCorrupt, "session", "must not be 0"};
  *out = g;
  return Status::Ok();
}

}  // namespace metabonk::ipc
