// The prior of a recurrent state-space model over T steps of given actions, in one launch: weights
// stay in the shared memory of all multiprocessors, activations pass through the second cache.
//
//   e = elu(W_a action + sum_g table[g, index_g] + b)   the one-hot latent as a gather
//   h = GRU(e, h)                                       gates r, z, n as torch.nn.GRUCell's
//   probs_g = (1 - mix) softmax((V elu(W h + b) + c)_g) + mix / C
//   index_g = the class at which the running sum of probs_g passes u_g
//
// as metabonk/ops/rssm_scan.py has it without observations; table and W_a are the two parts of its
// w_in, transposed and as it is. The block of threads is rssm_block.cuh's.
#include <api.h>

#include <rssm_block.cuh>

namespace metabonk::cuda {
namespace {

__global__ void __launch_bounds__(kThreads, 1)
    RssmKernel(const __grid_constant__ MetabonkCudaRssm rssm, int groups, int members) {
  RssmBlock(rssm, groups, members).Run();
}

}  // namespace
}  // namespace metabonk::cuda

int64_t metabonk_cuda_rssm_scratch(const MetabonkCudaRssm* rssm) {
  using namespace metabonk::cuda;
  const RssmScratch scratch(nullptr, *rssm);
  return reinterpret_cast<intptr_t>(scratch.end);
}

int metabonk_cuda_rssm(const MetabonkCudaRssm* rssm, void* stream) {
  using namespace metabonk::cuda;
  if (!Fits(*rssm)) return kMetabonkCudaBadSize;
  Limits limits;
  if (const int e = LimitsOfDevice(&limits)) return e;
  const int groups =
      GroupsFor(rssm->rows, limits, [&](int members) { return RssmLayout(*rssm, members).bytes; });
  const int members = limits.multiprocessors / groups;
  const RssmLayout layout(*rssm, members);
  if (layout.bytes > limits.shared_bytes) return kMetabonkCudaNoRoom;
  const int64_t words = metabonk_cuda_rssm_scratch(rssm) / 4;
  const LaunchShape clear{limits.multiprocessors, kThreads};
  if (const int e =
          Launch(ClearKernel, clear, stream, static_cast<uint32_t*>(rssm->scratch), words)) {
    return e;
  }
  LaunchShape shape{groups * members, kThreads, static_cast<size_t>(layout.bytes)};
  shape.cooperative = true;
  return Launch(RssmKernel, shape, stream, *rssm, groups, members);
}
