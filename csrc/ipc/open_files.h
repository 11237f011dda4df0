// OpenFiles: descriptors that belong to this process alone. A child after a fork closes what it
// inherited of them: an open file description would keep its parent's locks after the parent's
// death. Knows descriptors; not what the files are.
#pragma once

#include <cstdint>

namespace metabonk::ipc {

class OpenFiles {
 public:
  // From now on a child closes it.
  static void Add(int descriptor);
  static void Close(int descriptor);
  // Of forks: another number in a child, where descriptors that were added before are no longer
  // open and their numbers may be another file's.
  static uint32_t generation();
};

}  // namespace metabonk::ipc
