// Dreams in one launch: T steps of a recurrent state-space model's prior, whose actions an actor
// chooses from the states before them. Weights stay in the shared memory of all multiprocessors.
//
//   u_0 = W_0 h + sum_g table[g, index_g] + b_0,  u_i = W_i elu(u_i-1) + b_i      the actor
//   choice    policy = log softmax(u);  a = the class at which the running sum passes the noise
//   squashed  mean, softplus + floor = u;  a = tanh(mean + deviation noise), and its log density
//
// as metabonk/ops/imagine.py has it; what follows is a step of rssm.cu. A layer of the actor is one
// more meeting of the group; every member samples the actions itself, which costs less than one.
#include <api.h>

#include <rssm_block.cuh>

namespace metabonk::cuda {
namespace {

constexpr float kHalfLogTau = 0.918938533f;  // log(2 pi) / 2
constexpr float kLog2 = 0.693147181f;

__host__ __device__ inline int Outputs(const MetabonkCudaImagine& d) {
  return d.units[d.layers - 1];
}
__host__ __device__ inline int Inputs(const MetabonkCudaImagine& d, int layer) {
  return layer == 0 ? d.rssm.hidden : d.units[layer - 1];
}
// A member's part of one of the actor's layers. Made anew where it is needed: an array of them
// would lie in local memory.
__host__ __device__ inline Part PartOf(const MetabonkCudaImagine& d, int layer, int members) {
  return Part(d.units[layer], Inputs(d, layer), members, 1);
}

// Where the actor's things lie in shared memory, behind the model's.
struct ActorLayout {
  int rows, sums, weights, bytes;

  __host__ __device__ ActorLayout(const MetabonkCudaImagine& d, int members, int from) {
    int deepest = 0, most = kRows * Outputs(d) * 4, of_weights = 0;
    for (int i = 0; i < d.layers; ++i) {
      const Part part = PartOf(d, i, members);
      deepest = part.depth > deepest ? part.depth : deepest;
      most = part.Sums(1) > most ? part.Sums(1) : most;
      of_weights += RoundUp(part.Weights(1), 128);
    }
    rows = from;
    sums = rows + RoundUp(kRows * (deepest + kPad) * 2, 128);
    weights = sums + RoundUp(most, 128);
    bytes = weights + of_weights;
  }
};

// Behind the model's scratch: rows of bf16 of every hidden layer, padded to whole tiles, and what
// the last layer puts out.
struct ActorScratch {
  uint16_t* hidden;
  float* raw;
  float* end;

  __host__ __device__ ActorScratch(uint16_t* from, const MetabonkCudaImagine& d) : hidden(from) {
    const int64_t rows = RoundUp(d.rssm.rows, kRows);
    int64_t columns = 0;
    for (int i = 0; i + 1 < d.layers; ++i) columns += RoundUp(d.units[i], kDepth);
    raw = reinterpret_cast<float*>(hidden + rows * columns);
    end = raw + rows * Outputs(d);
  }
};

struct ImagineBlock : RssmBlock {
  const MetabonkCudaImagine& d;
  const ActorLayout actor;
  const ActorScratch own;

  __device__ ImagineBlock(const MetabonkCudaImagine& arguments, int group_count, int members)
      : RssmBlock(arguments.rssm, group_count, members),
        d(arguments),
        actor(arguments, members, layout.bytes),
        own(scratch.end, arguments) {}

  __device__ int WeightsAt(int layer) const {
    int at = actor.weights;
    for (int i = 0; i < layer; ++i) at += RoundUp(PartOf(d, i, layout.members).Weights(1), 128);
    return at;
  }
  __device__ uint16_t* HiddenOf(int layer) const {
    int64_t columns = 0;
    for (int i = 0; i < layer; ++i) columns += RoundUp(d.units[i], kDepth);
    return own.hidden + columns * RoundUp(r.rows, kRows);
  }

  __device__ void Run() {
    for (int i = 0; i < d.layers; ++i) {
      const Part part = PartOf(d, i, layout.members);
      metabonk::cuda::TakeWeights(d.weights[i], Inputs(d, i), Inputs(d, i), Rows(part, d.units[i]),
                                  part.Columns(), part.depth, At<uint16_t>(WeightsAt(i)),
                                  part.depth + kPad);
    }
    Begin();
    Meet();
    for (int step = 0; step < r.steps; ++step) {
      for (int i = 0; i < d.layers; ++i) {
        ForRows([this, step, i](int first) { Layer(i, step, first); });
        Meet();
      }
      ForRows([this, step](int first) {
        Act(step, first);
        EmbedStaged(step, first);
      });
      Advance(step);
    }
  }

  __device__ void Layer(int layer, int step, int first) const {
    const Part part = PartOf(d, layer, layout.members);
    const bool last = layer + 1 == d.layers;
    const int outputs = d.units[layer], stride = last ? outputs : RoundUp(outputs, kDepth);
    Stage(layer == 0 ? scratch.Before(step) : HiddenOf(layer - 1), part.depth, first, actor.rows);
    WaitForCopies();
    __syncthreads();
    Multiply(part, 1, actor.rows, WeightsAt(layer), actor.sums);
    __syncthreads();
    uint16_t* hidden = HiddenOf(layer);
    ForEach(part, outputs, first, [&](int row, int column, int unit) {
      const int64_t at = first + row;
      float sum = Sum(part, 1, 0, actor.sums, row, column) + d.biases[layer][unit];
      if (layer == 0) sum += Gathered(d.table, outputs, step, at, unit);
      if (last) {
        own.raw[at * stride + unit] = sum;
      } else {
        hidden[at * stride + unit] = Round(Elu(sum));
      }
    });
    __syncthreads();
  }

  // Sixteen actions into shared memory, where the embedding reads them. The first member writes
  // them down.
  __device__ void Act(int step, int first) const {
    const int outputs = Outputs(d), stride = layout.embed.depth + kPad;
    float* raw = At<float>(actor.sums);
    for (int i = Thread(); i < kRows * outputs; i += kThreads) {
      const int64_t row = first + i / outputs;
      raw[i] = row < r.rows ? Fresh(own.raw + row * outputs + i % outputs) : 0.0f;
    }
    uint16_t* actions = At<uint16_t>(layout.rows);
    for (int i = Thread(); i < kRows * layout.embed.depth; i += kThreads) {
      actions[i / layout.embed.depth * stride + i % layout.embed.depth] = 0;
    }
    __syncthreads();
    for (int row = Thread(); row < kRows && first + row < r.rows; row += kThreads) {
      const int64_t at = Place(step, first + row);
      float* out = raw + row * outputs;
      uint16_t* action = actions + row * stride;
      const float log_prob = d.squashed ? Squash(at, out, action) : Choice(at, out, action);
      if (member == 0) d.out_log_prob[at] = log_prob;
    }
    __syncthreads();
  }

  // out becomes log-probabilities; the action is one-hot.
  __device__ float Choice(int64_t at, float* out, uint16_t* action) const {
    const int classes = r.actions;
    float largest = out[0], total = 0.0f;
    for (int i = 1; i < classes; ++i) largest = out[i] > largest ? out[i] : largest;
    for (int i = 0; i < classes; ++i) total += FastExp(out[i] - largest);
    const float start = largest + FastLog(total), u = d.action_noise[at];
    float running = 0.0f;
    int passed = 0;
    for (int i = 0; i < classes; ++i) {
      running += FastExp(out[i] - largest) / total;
      passed += running <= u ? 1 : 0;
    }
    const int chosen = passed < classes ? passed : classes - 1;
    action[chosen] = Round(1.0f);
    const float log_prob = out[chosen] - start;
    for (int i = 0; member == 0 && i < classes; ++i) {
      d.out_policy[at * classes + i] = out[i] - start;
      d.out_action[at * classes + i] = i == chosen ? 1.0f : 0.0f;
    }
    return log_prob;
  }

  __device__ static float Softplus(float x) {
    const float below = x < 0.0f ? x : -x;
    return (x > 0.0f ? x : 0.0f) + FastLog(1.0f + FastExp(below));
  }

  __device__ float Squash(int64_t at, const float* out, uint16_t* action) const {
    const int width = r.actions;
    float log_prob = 0.0f;
    for (int i = 0; i < width; ++i) {
      const float mean = out[i], deviation = Softplus(out[width + i]) + d.floor;
      const float noise = d.action_noise[at * width + i], before = mean + deviation * noise;
      const float squashed = FastTanh(before);
      // log(1 - tanh^2 u) = 2 (log 2 - u - softplus(-2 u)), which no u makes the log of zero.
      const float bend = 2.0f * (kLog2 - before - Softplus(-2.0f * before));
      log_prob += -0.5f * noise * noise - FastLog(deviation) - kHalfLogTau - bend;
      action[i] = Round(squashed);
      if (member != 0) continue;
      d.out_policy[(2 * at + 0) * width + i] = mean;
      d.out_policy[(2 * at + 1) * width + i] = deviation;
      d.out_action[at * width + i] = squashed;
    }
    return log_prob;
  }
};

__global__ void __launch_bounds__(kThreads, 1)
    ImagineKernel(const __grid_constant__ MetabonkCudaImagine imagine, int groups, int members) {
  ImagineBlock(imagine, groups, members).Run();
}

}  // namespace
}  // namespace metabonk::cuda

int64_t metabonk_cuda_imagine_scratch(const MetabonkCudaImagine* imagine) {
  using namespace metabonk::cuda;
  const RssmScratch scratch(nullptr, imagine->rssm);
  return reinterpret_cast<intptr_t>(ActorScratch(scratch.end, *imagine).end);
}

int metabonk_cuda_imagine(const MetabonkCudaImagine* imagine, void* stream) {
  using namespace metabonk::cuda;
  const MetabonkCudaRssm& rssm = imagine->rssm;
  if (!Fits(rssm) || imagine->layers < 1 || imagine->layers > kMetabonkCudaActorLayers) {
    return kMetabonkCudaBadSize;
  }
  for (int i = 0; i < imagine->layers; ++i) {
    if (imagine->units[i] < 1 || imagine->units[i] > 1 << 13) return kMetabonkCudaBadSize;
  }
  if (Outputs(*imagine) != rssm.actions * (imagine->squashed != 0 ? 2 : 1)) {
    return kMetabonkCudaBadSize;
  }
  Limits limits;
  if (const int e = LimitsOfDevice(&limits)) return e;
  const auto bytes = [&](int members) {
    return ActorLayout(*imagine, members, RssmLayout(rssm, members).bytes).bytes;
  };
  const int groups = GroupsFor(rssm.rows, limits, bytes);
  const int members = limits.multiprocessors / groups;
  if (bytes(members) > limits.shared_bytes) return kMetabonkCudaNoRoom;
  const int64_t words = metabonk_cuda_imagine_scratch(imagine) / 4;
  const LaunchShape clear{limits.multiprocessors, kThreads};
  if (const int e =
          Launch(ClearKernel, clear, stream, static_cast<uint32_t*>(rssm.scratch), words)) {
    return e;
  }
  LaunchShape shape{groups * members, kThreads, static_cast<size_t>(bytes(members))};
  shape.cooperative = true;
  return Launch(ImagineKernel, shape, stream, *imagine, groups, members);
}
