#include "ipc/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "ipc/open_files.h"

#ifndef MADV_POPULATE_READ  // Linux 5.14
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace metabonk::ipc {
namespace {

struct flock ByteLock(uint64_t byte, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = 1;
  return lock;
}

Status NotOpened(int error) {
  if (error == ENOENT) return {Code::kUnavailable, "name", "there is no ring of this name"};
  if (error == ELOOP) return {Code::kCorrupt, "name", "is a symbolic link, which no ring is"};
  return {Code::kUnavailable, "name", "the file cannot be opened: see its owner and mode"};
}

}  // namespace

Segment::Segment(int fd, uint64_t bytes)
    : fd_(fd), bytes_(bytes), generation_(OpenFiles::generation()) {}

Status Segment::Make(const std::string& folder, uint64_t bytes, std::unique_ptr<Segment>* out) {
  const int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) {
    return {
        Code::kUnavailable, "folder",
        "no shared file can be made there: it must be a tmpfs that can be written, as /dev/shm"};
  }
  OpenFiles::Add(fd);
  std::unique_ptr<Segment> segment(new Segment(fd, bytes));
  if (fchmod(fd, 0600) != 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    return {Code::kUnavailable, "frame_bytes", "the folder takes no file of this size"};
  }
  if (const Status status = segment->Map(); !status.ok()) return status;
  *out = std::move(segment);
  return Status::Ok();
}

Status Segment::Find(const std::string& path, uint64_t least, std::unique_ptr<Segment>* out) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return NotOpened(errno);
  OpenFiles::Add(fd);
  std::unique_ptr<Segment> segment(new Segment(fd, 0));
  struct stat about;
  if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
    return {Code::kCorrupt, "name", "is not a plain file, which every ring is"};
  }
  if (about.st_uid != geteuid()) {
    return {Code::kUnavailable, "name", "belongs to another user: choose another name"};
  }
  if ((about.st_mode & 077) != 0) fchmod(fd, 0600);  // writers that cannot say so when they open
  if (static_cast<uint64_t>(about.st_size) < least) {
    return {Code::kUnavailable, "name", "the ring is not ready yet"};
  }
  segment->bytes_ = static_cast<uint64_t>(about.st_size);
  if (segment->bytes_ == 0) {
    *out = std::move(segment);
    return Status::Ok();
  }
  if (const Status status = segment->Map(); !status.ok()) return status;
  *out = std::move(segment);
  return Status::Ok();
}

// A mapping keeps its file description, and that its locks, alive in a forked child however much it
// closes: so the mapping is of another description than the locks.
Status Segment::Map() {
  const int twin = open(Self().c_str(), O_RDWR | O_CLOEXEC);
  if (twin < 0) return {Code::kUnavailable, "name", "cannot be opened again: is /proc mounted?"};
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, twin, 0);
  close(twin);
  if (memory == MAP_FAILED) {
    return {Code::kUnavailable, "frame_bytes", "the address space has no room for the ring"};
  }
  data_ = static_cast<uint8_t*>(memory);
  return Status::Ok();
}

Segment::~Segment() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (ours()) OpenFiles::Close(fd_);
}

bool Segment::ours() const { return generation_ == OpenFiles::generation(); }

std::string Segment::Self() const { return "/proc/self/fd/" + std::to_string(fd_); }

bool Segment::Name(const std::string& path) {
  return linkat(AT_FDCWD, Self().c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

bool Segment::Is(const std::string& path) const {
  struct stat here, there;
  return fstat(fd_, &here) == 0 && lstat(path.c_str(), &there) == 0 &&
         here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

bool Segment::Reserve(uint64_t offset, uint64_t bytes) {
  int error = EINTR;
  while (error == EINTR) {
    error = posix_fallocate(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  }
  return error == 0;
}

void Segment::Populate(uint64_t offset, uint64_t bytes, bool writable) {
  madvise(data_ + offset, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

bool Segment::Protect(uint64_t offset, bool writable) {
  return mprotect(data_ + offset, bytes_ - offset, PROT_READ | (writable ? PROT_WRITE : 0)) == 0;
}

bool Segment::Lock(uint64_t byte) {
  struct flock lock = ByteLock(byte, F_WRLCK);
  return fcntl(fd_, F_OFD_SETLK, &lock) == 0;
}

void Segment::Unlock(uint64_t byte) {
  struct flock lock = ByteLock(byte, F_UNLCK);
  fcntl(fd_, F_OFD_SETLK, &lock);
}

bool Segment::Locked(uint64_t byte) const {
  struct flock lock = ByteLock(byte, F_WRLCK);
  return fcntl(fd_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool RemoveSegment(const Segment& segment, const std::string& path) {
  return segment.ours() && segment.Is(path) && unlink(path.c_str()) == 0;
}

}  // namespace metabonk::ipc
