// Segment: a file in a folder of shared memory and its mapping, with the locks by which the kernel
// itself says who lives. Knows files; no ring, no heartbeat.
//
// Locks are those of an open file description (fcntl F_OFD_SETLK): they end with the process that
// opened it, however that ends, and are seen across PID namespaces and containers that share the
// folder. A child after a fork gives up what it inherited of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "metabonk/status.h"

namespace metabonk::ipc {

class Segment {
 public:
  // A new file of zeros without a name: what is killed now leaves nothing behind. Its memory is
  // not taken yet, see Reserve.
  static Status Make(const std::string& folder, uint64_t bytes, std::unique_ptr<Segment>* out);
  // An existing one, mapped to be read and written. kUnavailable if there is none. Refuses links,
  // what belongs to another user, and what is smaller than `least`; takes others' rights away. An
  // empty file is not mapped.
  static Status Find(const std::string& path, uint64_t least, std::unique_ptr<Segment>* out);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  // False in a child after a fork, which must leave file and locks alone.
  bool ours() const;

  // Gives a nameless file its name; false if something has that name.
  bool Name(const std::string& path);
  // Whether the file of that name is this one.
  bool Is(const std::string& path) const;
  // Takes memory for a range, so that writing there cannot fail; false if there is none left.
  bool Reserve(uint64_t offset, uint64_t bytes);
  // Maps a range's pages now, so that the first touch of each does not fault; harmless if it fails.
  void Populate(uint64_t offset, uint64_t bytes, bool writable);
  // From `offset` on, writing becomes a fault of the program (or is allowed again).
  bool Protect(uint64_t offset, bool writable);

  // Locks one byte, without waiting; whether it is ours now. It stays so while the segment lives.
  bool Lock(uint64_t byte);
  void Unlock(uint64_t byte);
  // Whether somebody else holds it.
  bool Locked(uint64_t byte) const;

 private:
  Segment(int fd, uint64_t bytes);
  Status Map();
  std::string Self() const;

  int fd_;
  uint64_t bytes_;
  uint8_t* data_ = nullptr;
  uint32_t generation_;  // of forks, when it was opened
};

// Removes the file of that name if it is this segment. To be called with the lock on byte 0, which
// keeps two from removing one file and the file that came after it.
bool RemoveSegment(const Segment& segment, const std::string& path);

}  // namespace metabonk::ipc
