// The file of ResearchPlugin's shared memory: calls that report a file cut short, and locks that
// end with their process.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "ipc/leftovers.h"
#include "ipc/open_files.h"
#include "ipc/research_shm.h"

namespace metabonk::ipc {

namespace {

struct flock Range(int16_t kind, size_t at) {
  struct flock range{};
  range.l_type = kind;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(at);
  range.l_len = 1;
  return range;
}

// Ours, locked from the beginning, and those of plugins/Core.
constexpr Unfinished kNew{kResearchPrefix, ".new-", 6, kResearchGameByte, 0};
constexpr Unfinished kPartial{kResearchPrefix, ".partial", 0, kResearchGameByte, kUnfinishedNs};

}  // namespace

int SweepResearch(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  return SweepUnfinished(folder, kNew) + SweepUnfinished(folder, kPartial);
}

ResearchFile::ResearchFile(int descriptor) : descriptor_(descriptor) {
  if (descriptor_ < 0) return;
  OpenFiles::Add(descriptor_);
  generation_ = OpenFiles::generation();
}

ResearchFile::~ResearchFile() {
  if (open()) OpenFiles::Close(descriptor_);
}

ResearchFile::ResearchFile(ResearchFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), generation_(other.generation_) {}

ResearchFile& ResearchFile::operator=(ResearchFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(generation_, other.generation_);
  return *this;
}

bool ResearchFile::open() const {
  return descriptor_ >= 0 && generation_ == OpenFiles::generation();
}

// The other end maps the file or calls as we do. Calls copy on this processor, so fences keep their
// order as seen by the other one.
bool ResearchFile::Read(size_t at, std::span<uint8_t> bytes) const {
  if (!open()) return false;
  size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t more =
        ::pread(descriptor_, bytes.data() + got, bytes.size() - got, static_cast<off_t>(at + got));
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) return false;
    got += static_cast<size_t>(more);
  }
  __sync_synchronize();
  return true;
}

bool ResearchFile::Write(size_t at, std::span<const uint8_t> bytes) const {
  if (!open()) return false;
  __sync_synchronize();
  size_t put = 0;
  while (put < bytes.size()) {
    const ssize_t more =
        ::pwrite(descriptor_, bytes.data() + put, bytes.size() - put, static_cast<off_t>(at + put));
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) return false;
    put += static_cast<size_t>(more);
  }
  return true;
}

bool ResearchFile::Resize(size_t bytes) const {
  return open() && ::ftruncate(descriptor_, static_cast<off_t>(bytes)) == 0;
}

size_t ResearchFile::Bytes() const {
  struct stat found{};
  return open() && ::fstat(descriptor_, &found) == 0 ? static_cast<size_t>(found.st_size) : 0;
}

bool ResearchFile::ReadHeader(ResearchHeader* header) const {
  return Read(0, {reinterpret_cast<uint8_t*>(header), sizeof(*header)});
}

bool ResearchFile::WriteFlag(ResearchFlag flag) const {
  const auto word = static_cast<int32_t>(flag);
  return Write(0, {reinterpret_cast<const uint8_t*>(&word), sizeof(word)});
}

bool ResearchFile::Lock(size_t at) const {
  struct flock range = Range(F_WRLCK, at);
  return open() && ::fcntl(descriptor_, F_OFD_SETLK, &range) == 0;
}

bool ResearchFile::IsLocked(size_t at) const {
  struct flock range = Range(F_WRLCK, at);
  return open() && ::fcntl(descriptor_, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

bool ResearchFile::IsAt(const std::string& path) const {
  struct stat here{};
  struct stat there{};
  return open() && ::fstat(descriptor_, &here) == 0 && ::stat(path.c_str(), &there) == 0 &&
         here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

}  // namespace metabonk::ipc
