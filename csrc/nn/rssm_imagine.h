// Imagination: H steps of an RSSM's prior and an actor from B states, on threads, and the gradients
// of all that. Knows what rssm.h knows, and the actor: layers of elu units over [h, s], the last
// one linear, whose outputs are the distribution of the action.
//
//   choice    log-softmax of A outputs; one uniform number picks a class, the action is one-hot
//   squashed  A means, then A deviations softplus + floor; a = tanh(mean + deviation noise), with
//             the density of a: log N - sum log(1 - a^2) (Haarnoja et al. 2018)
//
// Gradients reach choices straight through, as they reach categorical states.
#pragma once

#include <mutex>
#include <vector>

#include "nn/rssm.h"
#include "nn/rssm_scan.h"
#include "support/buffer.h"
#include "support/thread_pool.h"

namespace metabonk::nn {

enum class ActionKind : int { kChoice, kSquashed };

inline constexpr int kActorLayersMax = 16;

// Layer i reads units[i - 1] numbers, the first one [deter, stoch], and puts out units[i].
struct RssmActor {
  ActionKind kind;
  float floor;
  int layers;
  int units[kActorLayersMax];
  const float* weights[kActorLayersMax];  // [units, inputs] as torch.nn.Linear keeps them
  const float* biases[kActorLayersMax];

  int outputs() const { return units[layers - 1]; }
  int first(int layer) const;  // of its units among all hidden ones
  int hidden() const { return first(layers - 1); }
  int widest() const;
};

struct RssmStarts {
  int steps, batch;
  const float* deter;         // [B, deter]
  RssmState state;            // of B rows
  const float* noise;         // [H, B, groups]
  const float* action_noise;  // [H, B, 1] of choices, [H, B, A]
};

// Of every step t: the action taken in the state before it, and the state after it. The last four
// are for the gradient and may be null, all or none.
struct RssmDream {
  float* deter;         // [H, B, deter]
  float* stoch;         // [H, B, stoch]
  float* prior;         // [H, B, parameters]
  int32_t* index;       // [H, B, groups], of categoricals
  float* action;        // [H, B, A]
  float* log_prob;      // [H, B]
  float* policy;        // [H, B, outputs]
  float* x;             // [H, B, hidden]
  float* gates;         // [H, B, 4 deter]
  float* prior_hidden;  // [H, B, hidden]
  float* units;         // [H, B, hidden units of all the actor's layers]
};

// Gradients of what Run writes; any may be null.
struct RssmDreamGiven {
  const float *deter, *stoch, *prior, *action, *log_prob, *policy;
};

struct RssmActorGradients {
  float* weights[kActorLayersMax];
  float* biases[kActorLayersMax];
};

// Keeps scratch memory, which grows to the largest dream seen and is then reused. Calls from
// several threads wait for each other.
class RssmImagination {
 public:
  explicit RssmImagination(int threads)
      : engine_(threads), parts_(static_cast<size_t>(engine_.pool_.threads())) {}

  void Run(const RssmShape& shape, const RssmWeights& weights, const RssmActor& actor,
           const RssmStarts& starts, const RssmDream& dream);
  // How many threads of at most `threads` are worth their waking.
  static int Shares(const RssmShape& shape, const RssmStarts& starts, int threads);
  // saved: all that Run wrote. Of `gradients` those of actions and observations are null.
  void Backward(const RssmShape& shape, const RssmWeights& weights, const RssmActor& actor,
                const RssmStarts& starts, const RssmDream& saved, const RssmDreamGiven& given,
                const RssmGradients& gradients, const RssmActorGradients& of_actor);

 private:
  friend class RssmDreamPlan;

  struct Part {  // of one thread
    Buffer<float> x, hidden, units[2], d_action, d_log;
    Buffer<int32_t> index;
  };
  struct Job;
  struct Back;

  // The actor's layers; the first one in two parts, and as rows that a one-hot state picks.
  struct Packed {
    Panels deter, stoch, rows;
    std::vector<Panels> layers;
  };

  // What Dream needs: packed weights, of which biases stay the caller's, and scratch.
  void Prepare(const RssmKernels& kernels, const RssmShape& shape, const RssmWeights& weights,
               const RssmActor& actor, bool dense);
  // With what was prepared; allocates nothing.
  void Dream(const RssmKernels& kernels, const RssmShape& shape, const RssmActor& actor,
             const RssmStarts& starts, const RssmDream& dream);
  void Pack(const RssmShape& shape, const RssmActor& actor, bool dense, int lanes);
  void PackBack(const RssmShape& shape, const RssmActor& actor, int lanes);

  RssmEngine engine_;  // whose threads these are, and whose steps backwards
  std::vector<Part> parts_;
  Buffer<float> d_rows_;
  std::vector<Buffer<float>> d_units_;  // of every layer, what reaches its sums
  std::mutex one_caller_;
  Packed actor_, actor_back_;
  RssmForward forward_;
};

}  // namespace metabonk::nn
