// metabonk._core.support: processor tiers.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bindings/rooms.h"
#include "support/cpu.h"
#include "support/ranges.h"

namespace nb = nanobind;

namespace metabonk::bindings {

namespace {

CpuTier ParseTier(const std::string& name) {
  for (int i = 0; i < static_cast<int>(CpuTier::kCount); ++i) {
    if (name == TierName(static_cast<CpuTier>(i))) return static_cast<CpuTier>(i);
  }
  throw nb::value_error("tier: one of baseline, avx2, avx512");
}

CpuExtension ParseExtension(const std::string& name) {
  for (int i = 0; i < static_cast<int>(CpuExtension::kCount); ++i) {
    if (name == ExtensionName(static_cast<CpuExtension>(i))) return static_cast<CpuExtension>(i);
  }
  throw nb::value_error("extension: one of none, vnni, bf16, amx");
}

}  // namespace

void BindSupport(nb::module_& core) {
  nb::module_ module = core.def_submodule("support", "Processor tiers and threads.");
  module.def(
      "detected_tier", [] { return std::string(TierName(DetectedTier())); },
      "Name of the highest instruction-set tier this processor has.");
  module.def(
      "active_tier", [] { return std::string(TierName(ActiveTier())); },
      "Name of the tier in use: the lower of the detected one and the cap.");
  module.def(
      "cap_tier", [](const std::string& name) { CapTier(ParseTier(name)); }, nb::arg("tier"),
      "Caps the tier: baseline, avx2 or avx512. Raises ValueError.");
  module.def(
      "detected_extension", [] { return std::string(ExtensionName(DetectedExtension())); },
      "What this processor has beyond AVX-512: none, vnni, bf16 or amx, each with those before "
      "it.");
  module.def(
      "active_extension", [] { return std::string(ExtensionName(ActiveExtension())); },
      "The extension in use: the lower of the detected one and the cap, none below AVX-512.");
  module.def(
      "cap_extension", [](const std::string& name) { CapExtension(ParseExtension(name)); },
      nb::arg("extension"), "Caps the extension: none, vnni, bf16 or amx. Raises ValueError.");
  module.def(
      "hardware_threads", [] { return std::thread::hardware_concurrency(); },
      "How many threads the machine runs at once.");
  module.def(
      "nvtx_libraries",
      [] { return std::vector<std::string>(std::begin(kNvtxLibraries), std::end(kNvtxLibraries)); },
      "Names of the libraries that enable_nvtx looks for.");
  module.def(
      "enable_nvtx",
      [] {
        const Status status = EnableNvtx();
        if (!status.ok()) throw std::runtime_error(std::string(status.where) + ": " + status.what);
      },
      "From now on native ticks are ranges of NVTX. Raises RuntimeError where none of its "
      "libraries is found.");
}

}  // namespace metabonk::bindings
