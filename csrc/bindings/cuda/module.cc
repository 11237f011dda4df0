// metabonk._cuda: the CUDA kernels as Python sees them. Pointers, sizes and streams come from
// metabonk/ops, which has checked them; nothing here knows tensors, and nothing waits for a device.
#include <driver.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bindings/cuda/kernels.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Found = std::tuple<std::string, int, int, bool>;

std::vector<Found> DevicesFound() {
  std::vector<Found> all;
  for (const cuda::Device& d : cuda::FindDevices().found) {
    all.emplace_back(d.name, d.major, d.minor, d.runs);
  }
  return all;
}

}  // namespace

NB_MODULE(_cuda, module) {
  module.doc() = "CUDA kernels of MetaBonk.";
  module.def("devices", &DevicesFound,
             "Name, compute capability (major, minor) and whether this build has code for it, of "
             "every device.");
  module.def(
      "why_not", [] { return cuda::FindDevices().why_not; },
      "Why no kernel can run here; empty if one can.");
  module.def("has_code_for", &cuda::HasCodeFor, nb::arg("major"), nb::arg("minor"),
             "Whether code of this build runs on a device of this compute capability.");
  BindCudaCfc(module);
  BindCudaLinear(module);
  BindCudaFrames(module);
  BindCudaRssm(module);
  BindCudaFloors(module);
}

}  // namespace metabonk::bindings
