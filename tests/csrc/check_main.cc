// Runs the registered tests, or those whose name contains one of the arguments; the last line is `N
// passed, M failed`. `--part I/N` before the names runs every N-th of these, from the I-th on: N
// processes share the work.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "check.h"

static std::atomic<std::size_t> allocations{0};

void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  std::abort();
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const auto align = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align)) return memory;
  std::abort();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace check {

std::size_t Allocations() { return allocations.load(std::memory_order_relaxed); }

static int failures_in_case = 0;

std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

void Fail(const char* file, int line, const std::string& message) {
  ++failures_in_case;
  std::fprintf(stderr, "%s:%d: %s\n", file, line, message.c_str());
}

}  // namespace check

int main(int argc, char** argv) {
  int first = 1;  // of the names
  int part = 1;
  int parts = 1;
  if (argc > 1 && std::strcmp(argv[1], "--part") == 0) {
    const bool read = argc > 2 && std::sscanf(argv[2], "%d/%d", &part, &parts) == 2;
    if (!read || part < 1 || part > parts) {
      std::fprintf(stderr, "--part: give I/N, 1 <= I <= N\n");
      return 2;
    }
    first = 3;
  }
  int found = 0;
  int passed = 0;
  int failed = 0;
  for (const check::Case& test : check::Cases()) {
    bool wanted = argc == first;
    for (int i = first; i < argc; ++i) wanted = wanted || std::strstr(test.name, argv[i]);
    if (!wanted || found++ % parts != part - 1) continue;
    check::failures_in_case = 0;
    test.body();
    if (check::failures_in_case == 0) {
      ++passed;
    } else {
      ++failed;
      std::fprintf(stderr, "FAILED %s\n", test.name);
    }
  }
  if (found == 0) {
    std::fprintf(stderr, "no test has such a name\n");
    return 2;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
