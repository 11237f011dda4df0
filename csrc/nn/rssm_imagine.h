// Imagination: H steps of an RSSM's prior and an actor from B states, on threads. Knows what rssm.h
// knows, and the actor: layers of elu units over [h, s], the last one linear, whose outputs are the
// distribution of the action.
//
//   choice    log-softmax of A outputs; one uniform number picks a class, the action is one-hot
//   squashed  A means, then A deviations softplus + floor; a = tanh(mean + deviation noise), with
//             the density of a: log N - sum log(1 - a^2) (Haarnoja et al. 2018)
#pragma once

#include <mutex>
#include <vector>

#include "nn/rssm.h"
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
  int widest() const;
};

struct RssmStarts {
  int steps, batch;
  const float* deter;         // [B, deter]
  RssmState state;            // of B rows
  const float* noise;         // [H, B, groups]
  const float* action_noise;  // [H, B, 1] of choices, [H, B, A]
};

// Of every step t: the action taken in the state before it, and the state after it.
struct RssmDream {
  float* deter;     // [H, B, deter]
  float* stoch;     // [H, B, stoch]
  float* prior;     // [H, B, parameters]
  int32_t* index;   // [H, B, groups], of categoricals
  float* action;    // [H, B, A]
  float* log_prob;  // [H, B]
  float* policy;    // [H, B, outputs]
};

// Keeps scratch memory, which grows to the largest dream seen and is then reused. Calls from
// several threads wait for each other.
class RssmImagination {
 public:
  explicit RssmImagination(int threads)
      : pool_(threads), parts_(static_cast<size_t>(pool_.threads())) {}

  void Run(const RssmShape& shape, const RssmWeights& weights, const RssmActor& actor,
           const RssmStarts& starts, const RssmDream& dream);

 private:
  struct Part {  // of one thread
    Buffer<float> x, hidden, units[2];
    Buffer<int32_t> index;
  };
  struct Job;

  // The actor's layers; the first one in two parts, and as rows that a one-hot state picks.
  struct Packed {
    Panels deter, stoch, rows;
    std::vector<Panels> layers;
  };

  void Pack(const RssmShape& shape, const RssmActor& actor, bool dense, int lanes);

  std::mutex one_caller_;
  ThreadPool pool_;
  std::vector<Part> parts_;
  RssmForward forward_;
  Packed actor_;
};

}  // namespace metabonk::nn
