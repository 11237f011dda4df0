#include "play/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace metabonk::play {

namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

bool IsDirectory(const std::string& path) {
  struct stat found{};
  return ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

Status ReadFile(const std::string& path, uint64_t most, Buffer<uint64_t>* memory,
                std::span<const uint8_t>* bytes) {
  const Descriptor file(path);
  struct stat found{};
  if (file.number() < 0 || ::fstat(file.number(), &found) != 0) {
    const bool absent = errno == ENOENT || errno == ENOTDIR;
    return {
        Code::kUnavailable, "file",
        absent ? "there is none: check the path" : "it cannot be opened: check its permissions"};
  }
  if (!S_ISREG(found.st_mode)) {
    return {Code::kInvalidArgument, "file", "it is no regular file: check the path"};
  }
  const auto size = static_cast<uint64_t>(found.st_size);
  if (size > most) return {Code::kCorrupt, "file", "it is larger than any file of its kind"};
  auto* to = reinterpret_cast<uint8_t*>(memory->Reserve(size / sizeof(uint64_t) + 1));
  uint64_t got = 0;
  while (got < size) {
    const ssize_t more = ::read(file.number(), to + got, size - got);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return {Code::kUnavailable, "file", "it cannot be read: check the disk"};
    if (more == 0) return {Code::kUnavailable, "file", "it shrank while it was read: try again"};
    got += static_cast<uint64_t>(more);
  }
  *bytes = {to, size};
  return Status::Ok();
}

}  // namespace metabonk::play
