// Peaks: the most that one core can do of what kernels spend their time on, as loops to be timed
// beside them. Knows no kernel and no clock.
#pragma once

#include <cstdint>

namespace metabonk::nn {

struct PeakLoops {
  const char* name;
  // At least `macs` multiply-adds of float32 in registers; how many there were.
  int64_t (*multiply_add)(int64_t macs);
  // Reads `count` floats once; their sum, in an order of its own.
  float (*read)(const float* values, int64_t count);
};

extern const PeakLoops kPeaksPortable;
extern const PeakLoops kPeaksAvx2;
extern const PeakLoops kPeaksAvx512;

// The loops of ActiveTier().
const PeakLoops& ActivePeakLoops();

// At least so many products, of bytes or of bf16, added up in registers; how many there were.
using ProductLoop = int64_t (*)(int64_t products);

extern const ProductLoop kBytePeakVnni;
extern const ProductLoop kBf16Peak;
extern const ProductLoop kBytePeakAmx, kBf16PeakAmx;

// Null where ActiveExtension() has no such products.
ProductLoop ActiveBytePeak();
ProductLoop ActiveBf16Peak();

}  // namespace metabonk::nn
