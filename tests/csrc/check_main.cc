// Runs the registered tests; the last line is `N passed, M failed`.
#include "check.h"

#include <cstring>

namespace check {

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
  const char* filter = argc > 1 ? argv[1] : "";
  int passed = 0;
  int failed = 0;
  for (const check::Case& test : check::Cases()) {
    if (!std::strstr(test.name, filter)) continue;
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
    std::fprintf(stderr, "no test matches %s\n", filter);
    return 2;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
