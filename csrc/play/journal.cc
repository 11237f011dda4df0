#include "play/journal.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace metabonk::play {

namespace {

constexpr size_t kMemoryMax = size_t{256} << 20;
constexpr auto kDrainPeriod = std::chrono::milliseconds(20);

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82F63B78u : value >> 1;
    table[i] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

bool WriteAll(int file, const uint8_t* bytes, size_t count) {
  while (count != 0) {
    const ssize_t done = ::write(file, bytes, count);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    bytes += done;
    count -= static_cast<size_t>(done);
  }
  return true;
}

void MakeHeader(const std::string& name, size_t record_bytes, uint8_t* header) {
  std::memset(header, 0, kJournalHeader);
  const auto size = static_cast<uint32_t>(record_bytes);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const uint64_t begun =
      static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
  std::memcpy(header, kJournalMagic, 8);
  std::memcpy(header + 8, &kJournalFormat, 4);
  std::memcpy(header + 12, &size, 4);
  std::memcpy(header + 16, &begun, 8);
  std::copy(name.begin(), name.end(), header + 24);  // zeros behind it
  const uint32_t crc = Crc32c({header, kJournalHeader - 4});
  std::memcpy(header + kJournalHeader - 4, &crc, 4);
}

}  // namespace

uint32_t Crc32c(std::span<const uint8_t> bytes) {
  uint32_t crc = ~0u;
  for (const uint8_t byte : bytes) crc = kCrcTable[(crc ^ byte) & 0xFF] ^ crc >> 8;
  return ~crc;
}

Status Journal::Create(const std::string& path, const std::string& name, size_t record_bytes,
                       size_t capacity, std::unique_ptr<Journal>* made) {
  if (name.size() > 31) return {Code::kInvalidArgument, "name", "must have at most 31 bytes"};
  if (record_bytes < 8 || record_bytes % 8 != 0 || record_bytes > kMemoryMax) {
    return {Code::kInvalidArgument, "record_bytes", "must be a multiple of 8 up to 256 MiB"};
  }
  if (capacity == 0 || capacity > kMemoryMax / record_bytes) {
    return {Code::kInvalidArgument, "capacity", "must be 1 or more and fit into 256 MiB"};
  }
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) {
    return {Code::kUnavailable, "path",
            errno == EEXIST ? "already holds a journal: choose another directory"
                            : "cannot be created: is its directory there and writeable?"};
  }
  uint8_t header[kJournalHeader];
  MakeHeader(name, record_bytes, header);
  if (!WriteAll(file, header, sizeof header)) {
    ::close(file);
    ::unlink(path.c_str());
    return {Code::kUnavailable, "path", "cannot be written: is the disk full?"};
  }
  made->reset(new Journal(file, record_bytes, capacity));
  return Status::Ok();
}

Journal::Journal(int file, size_t record_bytes, size_t capacity)
    : file_(file),
      record_bytes_(record_bytes),
      capacity_(capacity),
      queue_(record_bytes * capacity),
      thread_([this] { Serve(); }) {}

Journal::~Journal() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
  ::close(file_);
}

uint8_t* Journal::Begin() {
  const uint64_t place = pushed_.load(std::memory_order_relaxed);
  if (place - written_.load(std::memory_order_acquire) >= capacity_) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  return queue_.data() + place % capacity_ * record_bytes_;
}

void Journal::Commit() {
  pushed_.store(pushed_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool Journal::Push(const void* record) {
  uint8_t* to = Begin();
  if (to == nullptr) return false;
  std::memcpy(to, record, record_bytes_);
  Commit();
  return true;
}

JournalCounts Journal::counts() const {
  return {pushed_.load(std::memory_order_relaxed), dropped_.load(std::memory_order_relaxed),
          written_.load(std::memory_order_relaxed), error_.load(std::memory_order_relaxed)};
}

// Whether anything was written. What cannot be written is dropped, so that the queue stays open.
bool Journal::WriteOut() {
  const uint64_t from = written_.load(std::memory_order_relaxed);
  const uint64_t to = pushed_.load(std::memory_order_acquire);
  for (uint64_t at = from; at != to && error_.load(std::memory_order_relaxed) == 0;) {
    const uint64_t place = at % capacity_;
    const uint64_t run = std::min<uint64_t>(to - at, capacity_ - place);  // up to the queue's end
    for (uint64_t i = 0; i < run; ++i) {
      uint8_t* record = queue_.data() + (place + i) * record_bytes_;
      const uint32_t crc = Crc32c({record + 4, record_bytes_ - 4});
      std::memcpy(record, &crc, 4);
    }
    if (!WriteAll(file_, queue_.data() + place * record_bytes_, run * record_bytes_)) {
      error_.store(errno == 0 ? EIO : errno, std::memory_order_relaxed);
    }
    at += run;
  }
  if (error_.load(std::memory_order_relaxed) != 0) dropped_.fetch_add(to - from);
  written_.store(to, std::memory_order_release);
  return to != from;
}

void Journal::Flush() {
  std::unique_lock<std::mutex> lock(mutex_);
  flush_ = true;
  stop_changed_.notify_all();
  flushed_.wait(lock, [this] { return !flush_; });
}

void Journal::Serve() {
  int64_t synced = MonotonicClock().Now();
  bool unsynced = false;
  std::unique_lock<std::mutex> lock(mutex_);
  for (bool last = false; !last;) {
    stop_changed_.wait_for(lock, kDrainPeriod, [this] { return stop_ || flush_; });
    last = stop_;
    const bool flush = flush_;
    lock.unlock();
    unsynced |= WriteOut();
    const int64_t now = MonotonicClock().Now();
    if (unsynced && (last || flush || now - synced >= kSyncPeriod)) {
      ::fdatasync(file_);
      synced = now;
      unsynced = false;
    }
    lock.lock();
    if (flush) {
      flush_ = false;
      flushed_.notify_all();
    }
  }
}

}  // namespace metabonk::play
