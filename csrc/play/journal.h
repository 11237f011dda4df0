// Journal: an append-only file of records of one size, written by a thread of its own. Who pushes a
// record never waits for the disk: a full queue loses the record and counts it. Knows bytes, sizes
// and checksums; not what is in a record.
//
//   header    64 bytes: char[8] magic, u32 format, u32 record bytes, u64 when it was begun
//             (nanoseconds since 1970), char[32] name, u32 0, u32 CRC-32C of the 60 bytes before
//   record    u32 CRC-32C of the rest of it, then what the caller wrote
//
// A kill or a full disk leaves whole records and perhaps a torn one at the end, which its checksum
// tells. A record is on the disk at most `kSyncPeriod` after it was pushed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "metabonk/status.h"
#include "play/clock.h"

namespace metabonk::play {

inline constexpr char kJournalMagic[8] = {'M', 'B', 'J', 'O', 'U', 'R', 'N', '1'};
inline constexpr uint32_t kJournalFormat = 1;
inline constexpr size_t kJournalHeader = 64;
inline constexpr int64_t kSyncPeriod = 500 * kMillisecond;

uint32_t Crc32c(std::span<const uint8_t> bytes);

struct JournalCounts {
  uint64_t pushed = 0;   // taken into the queue
  uint64_t dropped = 0;  // lost because it was full
  uint64_t written = 0;
  int error = 0;  // errno of the write that failed, after which nothing more is written; or 0
};

class Journal {
 public:
  // A new file; fails if there is one. record_bytes: with the checksum's four, a multiple of 8.
  // name: at most 31 bytes. capacity: records that the queue holds.
  static Status Create(const std::string& path, const std::string& name, size_t record_bytes,
                       size_t capacity, std::unique_ptr<Journal>* made);
  ~Journal();  // writes what was pushed
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // One thread at a time; wait-free. record: record_bytes of them; the first four become the
  // checksum before it is written. False if the queue is full.
  bool Push(const void* record);
  // The same for who fills the record where it will lie: null if the queue is full, else
  // record_bytes that Commit pushes.
  uint8_t* Begin();
  void Commit();
  // Returns once everything that was pushed before is on the disk, or cannot be written.
  void Flush();
  JournalCounts counts() const;
  size_t record_bytes() const { return record_bytes_; }

 private:
  Journal(int file, size_t record_bytes, size_t capacity);
  void Serve();
  bool WriteOut();

  const int file_;
  const size_t record_bytes_, capacity_;
  std::vector<uint8_t> queue_;
  alignas(64) std::atomic<uint64_t> pushed_{0};
  std::atomic<uint64_t> dropped_{0};
  alignas(64) std::atomic<uint64_t> written_{0};
  std::atomic<int> error_{0};
  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false, flush_ = false;
  std::condition_variable flushed_;
  std::thread thread_;
};

}  // namespace metabonk::play
