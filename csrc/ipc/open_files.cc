#include "ipc/open_files.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace metabonk::ipc {
namespace {

struct Open {
  std::mutex mutex;
  std::vector<int> all;
  uint32_t generation = 1;
};

Open& Files() {
  static Open* files = nullptr;
  static std::once_flag once;
  std::call_once(once, [] {
    files = new Open;  // never destroyed: files may be closed after it
    pthread_atfork([] { files->mutex.lock(); }, [] { files->mutex.unlock(); },
                   [] {
                     for (const int file : files->all) close(file);
                     files->all.clear();
                     ++files->generation;
                     files->mutex.unlock();
                   });
  });
  return *files;
}

}  // namespace

void OpenFiles::Add(int descriptor) {
  Open& files = Files();
  const std::lock_guard lock(files.mutex);
  files.all.push_back(descriptor);
}

void OpenFiles::Close(int descriptor) {
  Open& files = Files();
  const std::lock_guard lock(files.mutex);
  files.all.erase(std::remove(files.all.begin(), files.all.end(), descriptor), files.all.end());
  close(descriptor);
}

uint32_t OpenFiles::generation() { return Files().generation; }

}  // namespace metabonk::ipc
