// metabonk._cuda.nothing, meet and meet_cluster: what scripts/gpu_check times to know the floors.
#include "bindings/cuda/kernels.h"

namespace nb = nanobind;

namespace metabonk::bindings {

void BindCudaFloors(nb::module_& module) {
  module.def(
      "nothing",
      [](Address stream) {
        RaiseUnlessStarted("nothing", metabonk_cuda_nothing(At<void>(stream)));
      },
      nb::arg("stream"));
  module.def(
      "meet",
      [](Address counter, uint32_t first, int rounds, Address stream) {
        int blocks = 0;
        RaiseUnlessStarted("meet", metabonk_cuda_meet(At<uint32_t>(counter), first, rounds, &blocks,
                                                      At<void>(stream)));
        return blocks;
      },
      nb::arg("counter"), nb::arg("first"), nb::arg("rounds"), nb::arg("stream"),
      "Blocks that met; the counter now stands at first + rounds x blocks.");
  module.def(
      "meet_cluster",
      [](int rounds, Address stream) {
        RaiseUnlessStarted("meet_cluster", metabonk_cuda_meet_cluster(rounds, At<void>(stream)));
      },
      nb::arg("rounds"), nb::arg("stream"));
}

}  // namespace metabonk::bindings
