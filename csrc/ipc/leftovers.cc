#include "ipc/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "ipc/research_shm.h"

namespace metabonk::ipc {
namespace {

bool LetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool Named(std::string_view name, const Unfinished& kind) {
  if (name.size() <= kind.prefix.size() + kind.suffix.size() + kind.random) return false;
  const std::string_view end = name.substr(name.size() - kind.random);
  if (!std::all_of(end.begin(), end.end(), LetterOrDigit)) return false;
  name.remove_suffix(kind.random);
  return name.starts_with(kind.prefix) && name.ends_with(kind.suffix);
}

// Whether this is a plain file of this user's that nobody has written for so long.
bool Old(int file, int64_t age_ns) {
  struct stat about{};
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_uid != geteuid()) {
    return false;
  }
  const int64_t seconds = int64_t{now.tv_sec} - about.st_mtim.tv_sec;
  return age_ns == 0 || seconds > age_ns / 1'000'000'000;
}

bool Remove(const std::string& path, const Unfinished& kind) {
  const int found = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (found < 0) return false;
  const ResearchFile file(found);
  // With the lock, so that a maker who has not taken it yet sees that this name is gone; and asked
  // again, for it may have got its real name meanwhile.
  return Old(found, kind.age_ns) && file.Lock(kind.lock) && file.IsAt(path) &&
         unlink(path.c_str()) == 0;
}

}  // namespace

int SweepUnfinished(const std::string& folder, const Unfinished& kind) {
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return 0;
  int swept = 0;
  while (const dirent* entry = readdir(entries)) {
    if (!Named(entry->d_name, kind)) continue;
    swept += Remove(folder + "/" + entry->d_name, kind) ? 1 : 0;
  }
  closedir(entries);
  return swept;
}

}  // namespace metabonk::ipc
