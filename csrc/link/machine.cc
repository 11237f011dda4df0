#include "link/machine.h"

#include <cstdio>

#include "support/random.h"

namespace metabonk::link {

uint64_t MachineId() {
  std::FILE* file = std::fopen("/proc/sys/kernel/random/boot_id", "re");
  if (file == nullptr) return 0;
  char text[64] = {};
  const size_t size = std::fread(text, 1, sizeof text, file);
  std::fclose(file);
  uint64_t id = 0;
  for (size_t i = 0; i < size && text[i] != '\n'; ++i) {
    id = Mix64(id ^ static_cast<uint8_t>(text[i])) + 1;
  }
  return id;
}

}  // namespace metabonk::link
