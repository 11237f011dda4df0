#include "nn/rssm_imagine.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/math.h"

namespace metabonk::nn {

namespace {

constexpr int kBlockRows = 48;  // rows that dream together: they stay in the cache
constexpr int64_t kShareMacs = int64_t{4} << 20;  // less is not worth waking a thread for
constexpr int kPanelVectors = 4;                  // as in rssm.inl
constexpr float kHalfLogTau = 0.918938533f;       // log(2 pi) / 2
constexpr float kLog2 = 0.693147181f;

float Softplus(float x) { return (x > 0.0f ? x : 0.0f) + std::log1p(std::exp(-std::fabs(x))); }

// What the actor put out -> its distribution in place, an action and its logarithmic density.
void Squash(const RssmActor& actor, int width, const float* noise, float* policy, float* action,
            float* log_prob) {
  float sum = 0.0f;
  for (int j = 0; j < width; ++j) {
    const float deviation = Softplus(policy[width + j]) + actor.floor;
    policy[width + j] = deviation;
    const float before = policy[j] + deviation * noise[j];
    action[j] = std::tanh(before);
    // log(1 - tanh^2 u) = 2 (log 2 - u - softplus(-2 u)), which no u makes the logarithm of zero.
    const float bend = 2.0f * (kLog2 - before - Softplus(-2.0f * before));
    sum += -0.5f * noise[j] * noise[j] - Log(deviation) - kHalfLogTau - bend;
  }
  *log_prob = sum;
}

}  // namespace

int RssmActor::widest() const { return *std::max_element(units, units + layers); }

int RssmActor::first(int layer) const { return std::accumulate(units, units + layer, 0); }

void RssmImagination::Pack(const RssmShape& shape, const RssmActor& actor, bool dense, int lanes) {
  const int width = kPanelVectors * lanes, joined = shape.deter + shape.stoch();
  const float* first = actor.weights[0];
  actor_.deter.Pack(first, 1, joined, shape.deter, actor.units[0], width);
  const float* of_stoch = first + shape.deter;
  if (dense || shape.classes == 0) {
    actor_.stoch.Pack(of_stoch, 1, joined, shape.stoch(), actor.units[0], width);
  }
  if (shape.classes > 0) {
    actor_.rows.Pack(of_stoch, 1, joined, shape.stoch(), actor.units[0], actor.units[0]);
  }
  if (actor_.layers.size() < static_cast<size_t>(actor.layers)) {
    actor_.layers.resize(static_cast<size_t>(actor.layers));
  }
  for (int i = 1; i < actor.layers; ++i) {
    const int inputs = actor.units[i - 1];
    actor_.layers[static_cast<size_t>(i)].Pack(actor.weights[i], 1, inputs, inputs, actor.units[i],
                                               width);
  }
}

struct RssmImagination::Job {
  RssmImagination* engine;
  const RssmKernels* kernels;
  RssmShape shape;
  RssmActor actor;
  RssmStarts starts;
  RssmDream dream;
  int shares;

  void Share(int share) const;
  void Block(int64_t first, int rows, Part& part) const;
  void Act(const float* deter, const RssmState& state, int64_t at, int rows, Part& part) const;
  // Where the hidden units of a layer go: into scratch, or to be kept for the gradient.
  struct Units {
    float* to;
    int64_t stride;
  };
  Units UnitsOf(int layer, int64_t at, Part& part) const;
  void ActorLayers(const float* deter, const RssmState& state, int64_t at, int rows, float* out,
                   Part& part) const;
  void Step(const float* deter, const RssmState& state, int64_t at, int rows, Part& part) const;
};

void RssmImagination::Run(const RssmShape& shape, const RssmWeights& weights,
                          const RssmActor& actor, const RssmStarts& starts,
                          const RssmDream& dream) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  const RssmKernels& kernels = ActiveRssmKernels();
  Prepare(kernels, shape, weights, actor, starts.state.numbers != nullptr);
  Dream(kernels, shape, actor, starts, dream);
}

void RssmImagination::Prepare(const RssmKernels& kernels, const RssmShape& shape,
                              const RssmWeights& weights, const RssmActor& actor, bool dense) {
  forward_.Pack(shape, weights, dense, kernels.lanes);
  Pack(shape, actor, dense, kernels.lanes);
  const auto room = [](int columns) { return static_cast<size_t>(kBlockRows) * columns; };
  for (Part& part : parts_) {
    part.x.Reserve(room(shape.hidden));
    part.hidden.Reserve(room(shape.hidden));
    for (Buffer<float>& units : part.units) units.Reserve(room(actor.widest()));
    part.index.Reserve(kBlockRows);
  }
}

int RssmImagination::Shares(const RssmShape& shape, const RssmStarts& starts, int threads) {
  const int64_t macs = int64_t{3} * shape.deter * (shape.hidden + shape.deter) +
                       int64_t{shape.hidden} * (shape.deter + shape.parameters());
  return static_cast<int>(
      std::clamp<int64_t>(macs * starts.steps * starts.batch / kShareMacs, 1, threads));
}

void RssmImagination::Dream(const RssmKernels& kernels, const RssmShape& shape,
                            const RssmActor& actor, const RssmStarts& starts,
                            const RssmDream& dream) {
  ThreadPool& pool = engine_.pool_;
  Job job{this, &kernels, shape, actor, starts, dream, Shares(shape, starts, pool.threads())};
  pool.Run(
      job.shares, [](void* context, int share, int) { static_cast<Job*>(context)->Share(share); },
      &job);
}

void RssmImagination::Job::Share(int share) const {
  const int64_t end = int64_t{starts.batch} * (share + 1) / shares;
  for (int64_t first = int64_t{starts.batch} * share / shares; first < end; first += kBlockRows) {
    const int rows = static_cast<int>(std::min<int64_t>(kBlockRows, end - first));
    Block(first, rows, engine->parts_[static_cast<size_t>(share)]);
  }
}

void RssmImagination::Job::Block(int64_t first, int rows, Part& part) const {
  const float* deter = starts.deter + first * shape.deter;
  RssmState state{};
  if (starts.state.numbers != nullptr) {
    state.numbers = starts.state.numbers + first * shape.stoch();
  } else {
    state.index = starts.state.index + first * shape.groups;
  }
  for (int t = 0; t < starts.steps; ++t) {
    const int64_t at = int64_t{t} * starts.batch + first;
    Act(deter, state, at, rows, part);
    Step(deter, state, at, rows, part);
    deter = dream.deter + at * shape.deter;
    state = {};
    if (shape.classes > 0) {
      state.index = dream.index + at * shape.groups;
    } else {
      state.numbers = dream.stoch + at * shape.groups;
    }
  }
}

RssmImagination::Job::Units RssmImagination::Job::UnitsOf(int layer, int64_t at, Part& part) const {
  if (dream.units == nullptr) return {part.units[layer % 2].data(), actor.units[layer]};
  return {dream.units + at * actor.hidden() + actor.first(layer), actor.hidden()};
}

void RssmImagination::Job::ActorLayers(const float* deter, const RssmState& state, int64_t at,
                                       int rows, float* out, Part& part) const {
  const int units = actor.units[0];
  const bool only = actor.layers == 1;
  Units y = only ? Units{out, units} : UnitsOf(0, at, part);
  RssmLayer first{};
  first.weights = &engine->actor_.deter;
  first.rows = rows;
  first.x = deter;
  first.x_stride = first.depth = shape.deter;
  first.bias = actor.biases[0];
  first.y = y.to;
  first.y_stride = y.stride;
  kernels->layer(first);
  if (state.numbers != nullptr) {
    RssmLayer more = first;
    more.weights = &engine->actor_.stoch;
    more.x = state.numbers;
    more.x_stride = more.depth = shape.stoch();
    more.bias = nullptr;
    more.start = y.to;
    more.start_stride = y.stride;
    kernels->layer(more);
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int g = 0; state.numbers == nullptr && g < shape.groups; ++g) {
      const int64_t picked = int64_t{g} * shape.classes + state.index[i * shape.groups + g];
      kernels->add_row(engine->actor_.rows.data.data() + picked * units, 1.0f, units,
                       y.to + i * y.stride);
    }
    if (!only) kernels->elu(y.to + i * y.stride, units);
  }
  for (int i = 1; i < actor.layers; ++i) {
    const bool last = i + 1 == actor.layers;
    RssmLayer layer{};
    layer.weights = &engine->actor_.layers[static_cast<size_t>(i)];
    layer.rows = rows;
    layer.x = y.to;
    layer.x_stride = y.stride;
    layer.depth = actor.units[i - 1];
    layer.bias = actor.biases[i];
    y = last ? Units{out, actor.units[i]} : UnitsOf(i, at, part);
    layer.y = y.to;
    layer.y_stride = y.stride;
    layer.last = last ? RssmLast::kNone : RssmLast::kElu;
    kernels->layer(layer);
  }
}

void RssmImagination::Job::Act(const float* deter, const RssmState& state, int64_t at, int rows,
                               Part& part) const {
  float* policy = dream.policy + at * actor.outputs();
  float* action = dream.action + at * shape.action;
  ActorLayers(deter, state, at, rows, policy, part);
  if (actor.kind == ActionKind::kSquashed) {
    for (int64_t i = 0; i < rows; ++i) {
      Squash(actor, shape.action, starts.action_noise + (at + i) * shape.action,
             policy + i * actor.outputs(), action + i * shape.action, dream.log_prob + at + i);
    }
    return;
  }
  RssmShape choice{};
  choice.groups = 1;
  choice.classes = shape.action;
  int32_t* picked = part.index.data();
  kernels->sample({choice, rows, policy, starts.action_noise + at, action, picked});
  for (int64_t i = 0; i < rows; ++i) {
    dream.log_prob[at + i] = policy[i * shape.action + picked[i]];
  }
}

void RssmImagination::Job::Step(const float* deter, const RssmState& state, int64_t at, int rows,
                                Part& part) const {
  const RssmForward& weights = engine->forward_;
  const int hidden = shape.hidden;
  const bool saves = dream.x != nullptr;
  float* x = saves ? dream.x + at * hidden : part.x.data();
  RssmLayer in{};
  in.weights = &weights.action;
  in.rows = rows;
  in.x = dream.action + at * shape.action;
  in.x_stride = in.depth = shape.action;
  in.bias = weights.in_bias;
  in.y = x;
  in.y_stride = hidden;
  kernels->layer(in);
  RssmTakeState(*kernels, shape, weights, state, nullptr, rows, nullptr, x);
  float* after = dream.deter + at * shape.deter;
  float* gates = saves ? dream.gates + at * kGates * shape.deter : nullptr;
  kernels->gru(weights.gru, {rows, hidden, shape.deter, x, deter, after, gates});
  float* prior = dream.prior + at * shape.parameters();
  float* units = saves ? dream.prior_hidden + at * hidden : part.hidden.data();
  RssmRunHead(*kernels, shape, {&weights.prior, rows, after, nullptr, units, prior});
  kernels->sample({shape, rows, prior, starts.noise + at * shape.groups,
                   dream.stoch + at * shape.stoch(),
                   shape.classes > 0 ? dream.index + at * shape.groups : nullptr});
}

}  // namespace metabonk::nn
