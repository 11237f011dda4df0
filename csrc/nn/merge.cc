#include "nn/merge.h"

#include <array>
#include <bit>

#include "support/cpu.h"

namespace metabonk::nn {

namespace {

// The bits of a float that is not negative are ordered as it is: 11, 10 and 10 of them at a time.
constexpr int kShifts[] = {20, 10, 0};
constexpr uint32_t kInfinity = 0x7f800000u;

uint32_t Bits(float base, float value) {
  return std::bit_cast<uint32_t>(value - base) & 0x7fffffffu;
}

}  // namespace

const MergeKernels& ActiveMergeKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kBaseline:
      break;
    case CpuTier::kAvx2:
      return kMergeAvx2;
    default:
      return kMergeAvx512;
  }
#endif
  return kMergePortable;
}

int64_t MergeThreshold(const float* base, const float* values, int64_t size, int64_t keep,
                       float* threshold) {
  uint32_t prefix = 0, known = 0;  // the bits found so far, and which they are
  for (const int shift : kShifts) {
    std::array<int64_t, 2048> counts{};
    const uint32_t digits = shift == kShifts[0] ? 2047u : 1023u;
    for (int64_t i = 0; i < size; ++i) {
      const uint32_t bits = Bits(base[i], values[i]);
      if (known == 0 && bits >= kInfinity) return i;
      if ((bits & known) == prefix) ++counts[bits >> shift & digits];
    }
    uint32_t digit = digits;
    for (; counts[digit] < keep && digit > 0; --digit) keep -= counts[digit];
    prefix |= digit << shift;
    known |= digits << shift;
  }
  *threshold = std::bit_cast<float>(prefix);
  return -1;
}

}  // namespace metabonk::nn
