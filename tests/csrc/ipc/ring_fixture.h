// What tests of the frame ring share: a folder that must be empty in the end, its two ends, frames
// of one number in every byte.
#pragma once

#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "check.h"
#include "ipc/futex.h"
#include "ipc/ring_reader.h"
#include "ipc/ring_writer.h"

namespace ring_fixture {

using namespace metabonk;
using namespace metabonk::ipc;

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kHang =
    20'000 * kMs;  // no claim about time: how long until a test gives up

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

inline std::unique_ptr<RingWriter> Writer(const Folder& folder, RingOptions options = {}) {
  if (options.name.empty()) options.name = "ring";
  if (options.frame_bytes == 0) options.frame_bytes = 64 * 64 * 3;
  options.folder = folder;
  std::unique_ptr<RingWriter> writer;
  const Status status = RingWriter::Create(options, &writer);
  if (!status.ok()) check::Fail(__FILE__, __LINE__, std::string(status.where) + status.what);
  return writer;
}

inline std::unique_ptr<RingReader> Reader(const Folder& folder, ReaderOptions options = {}) {
  if (options.name.empty()) options.name = "ring";
  options.folder = folder;
  std::unique_ptr<RingReader> reader;
  CHECK(RingReader::Open(options, &reader).ok());
  return reader;
}

inline Status Put(RingWriter* writer, uint64_t step,
                  FrameShape shape = {.width = 64, .height = 64}) {
  std::span<uint8_t> pixels;
  const Status status = writer->Begin(shape, &pixels);
  if (!status.ok()) return status;
  std::memset(pixels.data(), static_cast<int>(step & 0xFF), pixels.size());
  return writer->Commit(step, 1000 + step);
}

inline bool Holds(const Lease& frame, uint64_t step) {
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

}  // namespace ring_fixture
