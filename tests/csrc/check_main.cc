// Runs the registered tests, or those whose name contains one of the arguments; the last line is `N
// passed, M failed`.
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
  int passed = 0;
  int failed = 0;
  for (const check::Case& test : check::Cases()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || std::strstr(test.name, argv[i]);
    if (!wanted) continue;
    check::failures_in_case = 0;
    test.body();
    if (check::failures_in_case == 0) {
      ++passed;
    } else {
      ++failed;
      std::fprintf(stderr, "FAILED %s\n", test.name);
    }
  }
  if (passed + failed == 0) {
    std::fprintf(stderr, "no test has such a name\n");
    return 2;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
