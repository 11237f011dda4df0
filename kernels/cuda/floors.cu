// What the device takes for doing nothing: a launch, a meeting of all blocks, a meeting of a
// cluster. scripts/gpu_check times these; ops are judged by what remains.
#include <api.h>

#include <device/launch.cuh>
#include <device/ptx.cuh>

namespace metabonk::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kCluster = 8;

__global__ void NothingKernel() {}

// Every block arrives and waits for all, `rounds` times; the counter goes on where it stood.
__global__ void __launch_bounds__(kThreads)
    MeetKernel(uint32_t* counter, uint32_t first, int rounds) {
  for (int round = 1; round <= rounds; ++round) {
    __syncthreads();
    if (threadIdx.x == 0) {
      ArriveAt(counter);
      WaitUntil(counter, first + static_cast<uint32_t>(round) * gridDim.x);
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads) MeetClusterKernel(int rounds) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  for (int round = 0; round < rounds; ++round) SyncCluster();
#endif
}

}  // namespace
}  // namespace metabonk::cuda

int metabonk_cuda_nothing(void* stream) {
  using namespace metabonk::cuda;
  return Launch(NothingKernel, {1, kLanes}, stream);
}

int metabonk_cuda_meet(uint32_t* counter, uint32_t first, int rounds, int* blocks, void* stream) {
  using namespace metabonk::cuda;
  Limits limits;
  if (const int e = LimitsOfDevice(&limits)) return e;
  if (rounds < 1) return kMetabonkCudaBadSize;
  *blocks = limits.multiprocessors;
  LaunchShape shape{limits.multiprocessors, kThreads};
  shape.cooperative = true;
  return Launch(MeetKernel, shape, stream, counter, first, rounds);
}

int metabonk_cuda_meet_cluster(int rounds, void* stream) {
  using namespace metabonk::cuda;
  Limits limits;
  if (const int e = LimitsOfDevice(&limits)) return e;
  if (rounds < 1) return kMetabonkCudaBadSize;
  if (limits.major < 9) return kMetabonkCudaBadDevice;
  return Launch(MeetClusterKernel, {kCluster, kThreads, 0, kCluster}, stream, rounds);
}
