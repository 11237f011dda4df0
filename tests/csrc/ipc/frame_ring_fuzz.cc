// Fuzzes both ends of the frame ring against what another process may write into it: header, table
// of readers and slots are overwritten, before the reader comes and again while it is there. It
// hands out what lies inside the mapping or nothing, the writer writes inside its slots or refuses.
//
// An input is a list of writes: 2 bytes where, 1 byte how many (1, 4 or 8) and when, 8 bytes what.
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ipc/ring_memory.h"
#include "ipc/ring_reader.h"
#include "ipc/ring_writer.h"
#include "ipc/segment.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::ipc {
namespace {

constexpr size_t kWrite = 11;
constexpr FrameShape kShape{.width = 16, .height = 16};

void Must(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// One ring for all inputs, brought back to how it was before each.
class Target {
 public:
  Target() {
    char folder[] = "/dev/shm/metabonk-fuzz-XXXXXX";
    Must(mkdtemp(folder) != nullptr, "no folder");
    folder_ = folder;
    const RingOptions options{
        .name = "ring", .frame_bytes = 768, .readers = 2, .folder = folder_, .beats = false};
    Must(RingWriter::Create(options, &writer_).ok(), "no ring");
    for (uint64_t step = 1; step < 6; ++step) Must(Put(step), "no frame");
    Must(Segment::Find(writer_->path(), 1, &segment_).ok(), "no segment");
    Must(RingGeometry::Read(*reinterpret_cast<metabonk_ring_header*>(segment_->data()),
                            segment_->bytes(), &geometry_)
             .ok(),
         "no geometry");
    before_.assign(segment_->data(), segment_->data() + geometry_.pixels_offset);
  }
  ~Target() {
    segment_.reset();
    writer_.reset();
    rmdir(folder_.c_str());
  }

  void Try(const uint8_t* data, size_t size) {
    std::memcpy(segment_->data(), before_.data(), before_.size());
    Write(data, size, 0);
    std::unique_ptr<RingReader> reader;
    const ReaderOptions options{
        .name = "ring", .folder = folder_, .spin_us = 0, .locks = false, .beats = false};
    Must(RingReader::Open(options, &reader).ok(), "a reader that does not open");
    Lease first, second;
    Look(reader.get(), &first);
    Write(data, size, 1);
    Put(7);
    Look(reader.get(), &second);
    Write(data, size, 2);
    for (uint64_t step = 8; step < 12; ++step) Put(step);
    Look(reader.get(), &second);
    first.Valid();
    first.Release();
  }

 private:
  bool Put(uint64_t step) {
    std::span<uint8_t> pixels;
    if (!writer_->Begin(kShape, &pixels).ok()) return false;
    std::memset(pixels.data(), static_cast<int>(step), pixels.size());
    return writer_->Commit(step, step).ok();
  }

  static void Look(RingReader* reader, Lease* lease) {
    if (reader->Again(0, lease) != Take::kFrame) return;
    uint64_t bytes = 0;
    std::shared_ptr<const void> hold;
    const uint8_t* region = reader->Region(&bytes, &hold);
    Must(lease->data() >= region && lease->data() + lease->info().bytes <= region + bytes,
         "a frame outside of the ring");
    static volatile uint64_t sum;
    for (uint64_t i = 0; i < lease->info().bytes; ++i) sum = sum + lease->data()[i];
  }

  void Write(const uint8_t* data, size_t size, uint8_t when) {
    for (size_t at = 0; at + kWrite <= size; at += kWrite) {
      uint16_t where;
      std::memcpy(&where, data + at, sizeof where);
      const uint8_t how = data[at + 2];
      if (how / 3 % 3 != when) continue;
      constexpr size_t kBytes[] = {1, 4, 8};
      const size_t bytes = kBytes[how % 3];
      const size_t offset = where / bytes * bytes % (before_.size() - 8);
      std::memcpy(segment_->data() + offset, data + at + 3, bytes);
    }
  }

  std::string folder_;
  std::unique_ptr<RingWriter> writer_;
  std::unique_ptr<Segment> segment_;
  RingGeometry geometry_;
  std::vector<uint8_t> before_;
};

}  // namespace
}  // namespace metabonk::ipc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static metabonk::ipc::Target target;
  target.Try(data, size);
  return 0;
}

// Writes to every word of the header, an entry and two slots, at each of the three times.
size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  constexpr size_t kPlaces = (256 + 64 + 2 * 64) / 4;
  out->clear();
  const size_t place = index % kPlaces * 4;
  const size_t slots = 256 + 2 * 64;
  const size_t offset = place < 320 ? place : slots + (place - 320) / 64 * 128 + (place - 320) % 64;
  for (size_t when = 0; when < 3; ++when) {
    out->push_back(static_cast<uint8_t>(offset));
    out->push_back(static_cast<uint8_t>(offset >> 8));
    out->push_back(static_cast<uint8_t>(1 + 3 * ((when + index / kPlaces) % 3)));
    for (size_t i = 0; i < 8; ++i) out->push_back(static_cast<uint8_t>(index * 37 + i * when));
  }
  return kPlaces * 3;
}
