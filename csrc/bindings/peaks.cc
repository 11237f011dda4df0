// metabonk._core.nn: what one core can do at most, for benchmarks.
#include "nn/peaks.h"

#include <nanobind/nanobind.h>

#include <cstdint>

#include "bindings/address.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {

void BindPeaks(nb::module_& module) {
  module.def(
      "peak_multiply_add", [](int64_t macs) { return nn::ActivePeakLoops().multiply_add(macs); },
      nb::arg("macs"),
      "Does at least so many multiply-adds of float32 in registers on one core; how many.");
  module.def(
      "peak_read",
      [](Address address, int64_t count) {
        return nn::ActivePeakLoops().read(Floats(address), count);
      },
      nb::arg("address"), nb::arg("count"), "Reads so many float32 once; their sum.");
  module.def(
      "peak_byte_products",
      [](int64_t products) {
        const nn::ProductLoop loop = nn::ActiveBytePeak();
        return loop == nullptr ? 0 : loop(products);
      },
      nb::arg("products"),
      "Adds up at least so many products of bytes (VNNI) on one core; how many, 0 without VNNI.");
  module.def(
      "peak_bf16_products",
      [](int64_t products) {
        const nn::ProductLoop loop = nn::ActiveBf16Peak();
        return loop == nullptr ? 0 : loop(products);
      },
      nb::arg("products"), "The same of bf16; 0 without AVX512_BF16.");
}

}  // namespace metabonk::bindings
