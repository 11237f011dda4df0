// Ranges begin and end in pairs where somebody takes them, and are nothing where nobody does.
#include "support/ranges.h"

#include <string>
#include <vector>

#include "check.h"

namespace {

using namespace metabonk;

std::vector<std::string> seen;

int Push(const char* name) {
  seen.emplace_back(name);
  return 0;
}
int Pop() {
  seen.emplace_back("pop");
  return 0;
}
constexpr RangeSink kSink = {&Push, &Pop};

void Nested() {
  const Range outer("outer");
  for (const char* name : {"first", "second"}) const Range inner(name);
}

}  // namespace

TEST(ranges_nest_and_end) {
  seen.clear();
  Nested();
  CHECK(seen.empty());
  SetRangeSink(&kSink);
  Nested();
  const std::vector<std::string> wanted = {"outer", "first", "pop", "second", "pop", "pop"};
  CHECK(seen == wanted);
  {
    const Range begun("begun");
    SetRangeSink(nullptr);
    const Range late("late");
  }
  CHECK_EQ(seen.size(), wanted.size() + 2);  // what had begun has ended, the late one never began
  CHECK_EQ(seen.back(), "pop");
  Nested();
  CHECK_EQ(seen.size(), wanted.size() + 2);
}
