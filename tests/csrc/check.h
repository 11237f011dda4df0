// A small test harness: TEST(name) { CHECK(x); CHECK_EQ(a, b); CHECK_NEAR(a, b, tolerance); }
// Tests register themselves; check_main.cc runs those whose names contain an argument.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

namespace check {

struct Case {
  const char* name;
  void (*body)();
};

std::vector<Case>& Cases();
void Fail(const char* file, int line, const std::string& message);

// Allocations by operator new in this program so far, on any thread: for tests that hot paths make
// none. The operators are in check_main.cc.
std::size_t Allocations();

struct Register {
  Register(const char* name, void (*body)()) { Cases().push_back({name, body}); }
};

template <typename T>
std::string Show(const T& value) {
  std::ostringstream text;
  text.precision(9);
  if constexpr (sizeof(T) == 1) {
    text << static_cast<int>(value);
  } else if constexpr (std::is_enum_v<T>) {
    text << static_cast<long long>(value);
  } else {
    text << value;
  }
  return text.str();
}

}  // namespace check

#define TEST(name)                                                  \
  static void Test_##name();                                        \
  static const check::Register register_##name(#name, Test_##name); \
  static void Test_##name()

#define CHECK(condition) \
  ((condition) ? (void)0 : check::Fail(__FILE__, __LINE__, "CHECK failed: " #condition))

#define CHECK_EQ(a, b)                                                                       \
  do {                                                                                       \
    const auto check_a = (a);                                                                \
    const auto check_b = (b);                                                                \
    if (!(check_a == check_b))                                                               \
      check::Fail(__FILE__, __LINE__,                                                        \
                  #a " == " #b ": " + check::Show(check_a) + " != " + check::Show(check_b)); \
  } while (0)

#define CHECK_NEAR(a, b, tolerance)                                                              \
  do {                                                                                           \
    const double check_a = static_cast<double>(a);                                               \
    const double check_b = static_cast<double>(b);                                               \
    if (!(std::fabs(check_a - check_b) <= static_cast<double>(tolerance)))                       \
      check::Fail(__FILE__, __LINE__,                                                            \
                  #a " ~ " #b ": " + check::Show(check_a) + " against " + check::Show(check_b)); \
  } while (0)
