// Conversions to and from 16, 8 and 4 bits against tables and against the nearest code by search.
#include "nn/formats.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.h"

namespace metabonk::nn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The non-negative values of a format by code, finite ones only.
std::vector<double> Values(int count, float (*decode)(uint8_t)) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(static_cast<double>(decode(static_cast<uint8_t>(i))));
  }
  return values;
}

// Nearest by search; of two that are equally near the one with the even code.
int Nearest(const std::vector<double>& values, double x) {
  x = std::min(x, values.back());  // far beyond it all distances are equal in double
  size_t best = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    const double now = std::fabs(values[i] - x), before = std::fabs(values[best] - x);
    if (now < before || (now == before && i % 2 == 0)) best = i;
  }
  return static_cast<int>(best);
}

// Every code's value, the middles between neighbours, and the floats just beside those.
std::vector<float> Interesting(const std::vector<double>& values) {
  std::vector<float> numbers;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(values[i]);
    const double next = i + 1 < values.size() ? values[i + 1] : values[i] * 2.0;
    for (const float x : {value, static_cast<float>((values[i] + next) / 2.0)}) {
      for (const float y : {std::nextafter(x, 0.0f), x, std::nextafter(x, kInfinity)}) {
        numbers.push_back(y);
      }
    }
  }
  uint32_t seed = 1;
  for (int i = 0; i < 20000; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const float x = std::fabs(std::bit_cast<float>(seed));
    if (std::isfinite(x)) numbers.push_back(x);
  }
  return numbers;
}

}  // namespace

TEST(nn_formats_e4m3_rounds_to_the_nearest_code) {
  const std::vector<double> values = Values(0x7F, FloatFromE4m3);
  for (const float x : Interesting(values)) {
    const int code = Nearest(values, static_cast<double>(x));
    CHECK_EQ(static_cast<int>(E4m3FromFloat(x)), code);
    CHECK_EQ(static_cast<int>(E4m3FromFloat(-x)), code | 0x80);
  }
}

TEST(nn_formats_e2m1_rounds_to_the_nearest_code) {
  const std::vector<double> values = Values(8, FloatFromE2m1);
  for (const float x : Interesting(values)) {
    const int code = Nearest(values, static_cast<double>(x));
    CHECK_EQ(static_cast<int>(E2m1FromFloat(x)), code);
    CHECK_EQ(static_cast<int>(E2m1FromFloat(-x)), code | 0x8);
  }
}

TEST(nn_formats_every_code_comes_back) {
  for (int i = 0; i < 256; ++i) {
    const auto code = static_cast<uint8_t>(i);
    CHECK_EQ(E4m3FromFloat(FloatFromE4m3(code)), i == 0xFF ? uint8_t{0x7F} : code);  // -NaN
    CHECK_EQ(E8m0FromFloat(FloatFromE8m0(code), PowerRounding::kDown), code);
    CHECK_EQ(E8m0FromFloat(FloatFromE8m0(code), PowerRounding::kUp), code);
  }
  for (int i = 0; i < 16; ++i) {
    const auto code = static_cast<uint8_t>(i);
    CHECK_EQ(E2m1FromFloat(FloatFromE2m1(code)), code);
  }
  for (int i = 0; i < 65536; ++i) {
    const auto code = static_cast<uint16_t>(i);
    const float value = FloatFromBf16(code);
    if (std::isnan(value)) {
      CHECK(std::isnan(FloatFromBf16(Bf16FromFloat(value))));
    } else {
      CHECK_EQ(Bf16FromFloat(value), code);
    }
  }
}

TEST(nn_formats_e4m3_is_the_published_table) {
  CHECK_EQ(FloatFromE4m3(0x01), 0x1p-9f);
  CHECK_EQ(FloatFromE4m3(0x07), 7 * 0x1p-9f);
  CHECK_EQ(FloatFromE4m3(0x08), 0x1p-6f);
  CHECK_EQ(FloatFromE4m3(0x38), 1.0f);
  CHECK_EQ(FloatFromE4m3(0x7E), 448.0f);
  CHECK_EQ(FloatFromE4m3(0xFE), -448.0f);
  CHECK(std::isnan(FloatFromE4m3(0x7F)));
  CHECK(std::isnan(FloatFromE4m3(0xFF)));
  CHECK(std::signbit(FloatFromE4m3(0x80)));
  CHECK_EQ(static_cast<int>(E4m3FromFloat(464.0f)), 0x7E);  // the tie with the missing 480
  CHECK_EQ(static_cast<int>(E4m3FromFloat(kInfinity)), 0x7E);
  CHECK_EQ(static_cast<int>(E4m3FromFloat(-kInfinity)), 0xFE);
  CHECK_EQ(static_cast<int>(E4m3FromFloat(kNan)), 0x7F);
  CHECK_EQ(static_cast<int>(E4m3FromFloat(-kNan)), 0x7F);
  CHECK_EQ(static_cast<int>(E4m3FromFloat(0x1p-10f)), 0x00);  // a tie, to even
  CHECK_EQ(static_cast<int>(E4m3FromFloat(3 * 0x1p-10f)), 0x02);
}

TEST(nn_formats_e2m1_saturates_and_has_no_nan) {
  CHECK_EQ(static_cast<int>(E2m1FromFloat(5.0f)), 0x6);  // ties, to even
  CHECK_EQ(static_cast<int>(E2m1FromFloat(0.25f)), 0x0);
  CHECK_EQ(static_cast<int>(E2m1FromFloat(0.75f)), 0x2);
  CHECK_EQ(static_cast<int>(E2m1FromFloat(2.5f)), 0x4);
  CHECK_EQ(static_cast<int>(E2m1FromFloat(3.5f)), 0x6);
  CHECK_EQ(static_cast<int>(E2m1FromFloat(1e30f)), 0x7);
  CHECK_EQ(static_cast<int>(E2m1FromFloat(-kInfinity)), 0xF);
  CHECK_EQ(static_cast<int>(E2m1FromFloat(kNan)), 0x7);
  CHECK_EQ(static_cast<int>(E2m1FromFloat(-kNan)), 0x7);
}

TEST(nn_formats_e8m0_rounds_down_or_up) {
  CHECK_EQ(FloatFromE8m0(0), 0x1p-127f);
  CHECK_EQ(FloatFromE8m0(127), 1.0f);
  CHECK_EQ(FloatFromE8m0(254), 0x1p127f);
  CHECK(std::isnan(FloatFromE8m0(255)));
  const auto down = [](float x) { return int{E8m0FromFloat(x, PowerRounding::kDown)}; };
  const auto up = [](float x) { return int{E8m0FromFloat(x, PowerRounding::kUp)}; };
  CHECK_EQ(down(1.5f), 127);
  CHECK_EQ(up(1.5f), 128);
  CHECK_EQ(up(-1.5f), 128);
  CHECK_EQ(up(std::nextafter(1.0f, 2.0f)), 128);
  CHECK_EQ(down(0.0f), 0);
  CHECK_EQ(up(0.0f), 0);
  CHECK_EQ(up(0x1p-127f), 0);
  CHECK_EQ(up(std::nextafter(0x1p-127f, 1.0f)), 1);
  CHECK_EQ(down(kInfinity), 254);
  CHECK_EQ(up(std::numeric_limits<float>::max()), 254);
  CHECK_EQ(up(kNan), 255);
}

TEST(nn_formats_bf16_ties_and_ends) {
  CHECK_EQ(Bf16FromFloat(1.00390625f), uint16_t{0x3F80});  // ties, to even
  CHECK_EQ(Bf16FromFloat(1.01171875f), uint16_t{0x3F82});
  CHECK_EQ(Bf16FromFloat(std::nextafter(1.00390625f, 2.0f)), uint16_t{0x3F81});
  CHECK_EQ(Bf16FromFloat(std::numeric_limits<float>::max()), uint16_t{0x7F80});
  CHECK_EQ(Bf16FromFloat(-kInfinity), uint16_t{0xFF80});
  CHECK_EQ(Bf16FromFloat(std::bit_cast<float>(0x00008000u)), uint16_t{0x0000});
  CHECK_EQ(Bf16FromFloat(std::bit_cast<float>(0x00018000u)), uint16_t{0x0002});
  CHECK(std::isnan(FloatFromBf16(Bf16FromFloat(std::bit_cast<float>(0x7F800001u)))));
}

}  // namespace metabonk::nn
