// The backward pass of RssmImagination: that of a sequence, and between two steps the actor's,
// whose actions the later step took and whose states the earlier one left.
#include <algorithm>
#include <cmath>

#include "nn/rssm_back.h"
#include "nn/rssm_imagine.h"

namespace metabonk::nn {

namespace {

constexpr int kPanelVectors = 4;  // as in rssm.inl

// Of one row of a squashed actor, those given: the gradient of what the actor put out. d_policy may
// be null.
struct SquashBack {
  float floor;
  int width;
  const float *noise, *policy, *action;
  const float *d_action, *d_policy;
  float d_log_prob;

  void Run(float* d_out) const {
    for (int j = 0; j < width; ++j) {
      const float a = action[j], deviation = policy[width + j];
      // Of mean + deviation noise: a is its tanh, and the density's bend has slope -2 a.
      const float d_before = d_action[j] * (1.0f - a * a) + 2.0f * a * d_log_prob;
      const float d_mean = d_policy == nullptr ? 0.0f : d_policy[j];
      const float d_deviation = d_policy == nullptr ? 0.0f : d_policy[width + j];
      d_out[j] = d_before + d_mean;
      // softplus' slope is 1 - exp(-softplus)
      d_out[width + j] = (d_before * noise[j] - d_log_prob / deviation + d_deviation) *
                         -std::expm1(floor - deviation);
    }
  }
};

}  // namespace

void RssmImagination::PackBack(const RssmShape& shape, const RssmActor& actor, int lanes) {
  const int width = kPanelVectors * lanes, joined = shape.deter + shape.stoch();
  const int units = actor.units[0];
  const float* first = actor.weights[0];
  actor_back_.deter.Pack(first, joined, 1, units, shape.deter, width);
  actor_back_.stoch.Pack(first + shape.deter, joined, 1, units, shape.stoch(), width);
  if (actor_back_.layers.size() < static_cast<size_t>(actor.layers)) {
    actor_back_.layers.resize(static_cast<size_t>(actor.layers));
  }
  for (int i = 1; i < actor.layers; ++i) {
    const int inputs = actor.units[i - 1];
    actor_back_.layers[static_cast<size_t>(i)].Pack(actor.weights[i], inputs, 1, actor.units[i],
                                                    inputs, width);
  }
}

struct RssmImagination::Back : RssmEngine::Back {
  RssmImagination* dreams;
  const RssmActor& actor;
  const RssmStarts& starts;
  const RssmDream& saved;
  const RssmDreamGiven& of_dream;
  const RssmActorGradients& of_actor;

  Back(const RssmEngine::Job& job, const RssmGradients& to, RssmImagination* whose,
       const RssmActor& acts, const RssmStarts& from, const RssmDream& dream,
       const RssmDreamGiven& of_results, const RssmActorGradients& to_actor)
      : RssmEngine::Back(job, {of_results.deter, of_results.stoch, of_results.prior, nullptr}, to),
        dreams(whose),
        actor(acts),
        starts(from),
        saved(dream),
        of_dream(of_results),
        of_actor(to_actor) {}

  float* Units(int layer) const { return dreams->d_units_[static_cast<size_t>(layer)].data(); }
  int64_t stride(int layer) const { return Padded(actor.units[layer]); }

  void Between(int t, int64_t first, int count, int share, float* d_deter,
               float* d_stoch) const override;
  void MoreWeights(int share) const override;
  void Outputs(int64_t at, int count, Part& part) const;
};

void RssmImagination::Backward(const RssmShape& shape, const RssmWeights& weights,
                               const RssmActor& actor, const RssmStarts& starts,
                               const RssmDream& saved, const RssmDreamGiven& given,
                               const RssmGradients& gradients, const RssmActorGradients& of_actor) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  const RssmKernels& kernels = ActiveRssmKernels();
  const RssmSequence sequence{starts.steps, starts.batch, starts.deter, starts.state,
                              saved.action, nullptr,      nullptr,      starts.noise};
  const RssmOutputs outputs{saved.deter, saved.stoch, saved.prior,        nullptr, saved.index,
                            saved.x,     saved.gates, saved.prior_hidden, nullptr};
  Back job({&engine_, &kernels, shape, sequence, outputs, 1}, gradients, this, actor, starts, saved,
           given, of_actor);
  PackBack(shape, actor, kernels.lanes);
  if (d_units_.size() < static_cast<size_t>(actor.layers)) {
    d_units_.resize(static_cast<size_t>(actor.layers));
  }
  for (int i = 0; i < actor.layers; ++i) {
    d_units_[static_cast<size_t>(i)].Reserve(static_cast<size_t>(job.rows() * job.stride(i)));
  }
  if (shape.classes > 0) {
    d_rows_.Reserve(static_cast<size_t>(int64_t{shape.stoch()} * actor.units[0]));
  }
  for (Part& part : parts_) {
    part.d_action.Reserve(static_cast<size_t>(int64_t{kRssmBlockRows} * shape.action));
    part.d_log.Reserve(static_cast<size_t>(int64_t{kRssmBlockRows} * shape.action));
  }
  engine_.RunBack(weights, &job);
}

void RssmImagination::Back::Between(int t, int64_t first, int count, int share, float* d_deter,
                                    float* d_stoch) const {
  const int64_t at = At(t, first);
  Part& part = dreams->parts_[static_cast<size_t>(share)];
  float* d_action = part.d_action.data();
  const float* d_x = engine->d_x_.data() + at * hidden_stride();
  kernels->layer(
      Layer(engine->backward_.action, count, d_x, hidden_stride(), d_action, shape.action));
  if (of_dream.action != nullptr) {
    kernels->add_row(of_dream.action + at * shape.action, 1.0f, count * shape.action, d_action);
  }
  Outputs(at, count, part);
  for (int i = actor.layers - 1; i > 0; --i) {
    RssmLayer layer =
        Layer(dreams->actor_back_.layers[static_cast<size_t>(i)], count, Units(i) + at * stride(i),
              stride(i), Units(i - 1) + at * stride(i - 1), stride(i - 1));
    layer.last = RssmLast::kEluBack;
    layer.slope = saved.units + at * actor.hidden() + actor.first(i - 1);
    layer.slope_stride = actor.hidden();
    kernels->layer(layer);
  }
  const auto add = [&](const Panels& panels, float* to, int width) {
    RssmLayer layer =
        Layer(panels, count, Units(0) + at * stride(0), stride(0), to, int64_t{width});
    layer.start = to;
    layer.start_stride = width;
    kernels->layer(layer);
  };
  add(dreams->actor_back_.deter, d_deter, shape.deter);
  if (wants_stoch(t)) add(dreams->actor_back_.stoch, d_stoch, shape.stoch());
}

// Through the action and its distribution, part.d_action and those given, to what the actor put
// out.
void RssmImagination::Back::Outputs(int64_t at, int count, Part& part) const {
  const int outputs_of = actor.outputs(), width = shape.action, last = actor.layers - 1;
  const float* d_policy = Of(of_dream.policy, at * outputs_of);
  float* d_out = Units(last) + at * stride(last);
  if (actor.kind == ActionKind::kSquashed) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = at + i;
      const SquashBack back{actor.floor,
                            width,
                            starts.action_noise + row * width,
                            saved.policy + row * outputs_of,
                            saved.action + row * width,
                            part.d_action.data() + i * width,
                            Of(d_policy, i * outputs_of),
                            of_dream.log_prob == nullptr ? 0.0f : of_dream.log_prob[row]};
      back.Run(d_out + i * stride(last));
    }
    return;
  }
  const float* d_log = d_policy;
  if (of_dream.log_prob != nullptr) {  // that of the class that was chosen
    float* to = part.d_log.data();
    if (d_policy == nullptr) {
      std::fill_n(to, int64_t{count} * width, 0.0f);
    } else {
      std::copy_n(d_policy, int64_t{count} * width, to);
    }
    for (int64_t i = 0; i < count; ++i) {
      kernels->add_row(saved.action + (at + i) * width, of_dream.log_prob[at + i], width,
                       to + i * width);
    }
    d_log = to;
  }
  RssmShape choice{};
  choice.groups = 1;
  choice.classes = width;
  kernels->sample_back({choice, count, saved.policy + at * width, d_log, part.d_action.data(),
                        nullptr, d_out, stride(last)});
}

// Threads share the rows of each layer's gradient, as in WeightShare.
void RssmImagination::Back::MoreWeights(int share) const {
  const int deter = shape.deter, joined = deter + shape.stoch();
  for (int i = 0; i < actor.layers; ++i) {
    const int units = actor.units[i], inputs = i == 0 ? joined : actor.units[i - 1];
    const int from = static_cast<int>(begin(units, share));
    const int count = static_cast<int>(begin(units, share + 1)) - from;
    float* to = of_actor.weights[i];
    std::fill_n(to + int64_t{from} * inputs, int64_t{count} * inputs, 0.0f);
    if (i == 0) {
      Sum(Units(i), stride(i), from, count, engine->before_.data(), deter, deter, to, inputs,
          rows());
      StateWeights(Units(i), stride(i), units, share, dreams->d_rows_.data(), to + deter, inputs);
    } else {
      Sum(Units(i), stride(i), from, count, saved.units + actor.first(i - 1), inputs,
          actor.hidden(), to, inputs, rows());
    }
    if (share == 0) Bias(Units(i), stride(i), units, of_actor.biases[i]);
  }
}

}  // namespace metabonk::nn
