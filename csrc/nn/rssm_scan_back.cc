// The backward pass of RssmEngine: through the steps from the last to the first, then all weights.
#include <cstring>

#include "nn/rssm_back.h"

namespace metabonk::nn {

namespace {

constexpr int kPanelVectors = 4;  // as in rssm.inl
constexpr int kDepthRows = 128;   // of a weight's gradient between two looks at it

void Transpose(const float* from, int rows, int columns, int64_t from_stride, float* to,
               int64_t to_stride) {
  constexpr int kTile = 16;
  for (int i = 0; i < rows; i += kTile) {
    for (int j = 0; j < columns; ++j) {
      for (int k = i; k < std::min(rows, i + kTile); ++k) {
        to[j * to_stride + k] = from[k * from_stride + j];
      }
    }
  }
}

}  // namespace

void RssmBackward::Pack(const RssmShape& shape, const RssmWeights& weights, int lanes) {
  const int width = kPanelVectors * lanes, inputs = shape.stoch() + shape.action;
  const int deter = shape.deter, hidden = shape.hidden, joined = deter + shape.embed;
  prior.out.Pack(weights.prior_out, hidden, 1, shape.parameters(), hidden, width);
  prior.deter.Pack(weights.prior, deter, 1, hidden, deter, width);
  if (shape.observes()) {
    posterior.out.Pack(weights.posterior_out, hidden, 1, shape.parameters(), hidden, width);
    posterior.deter.Pack(weights.posterior, joined, 1, hidden, deter, width);
    posterior.embed.Pack(weights.posterior + deter, joined, 1, hidden, shape.embed, width);
  }
  ih.Pack(weights.ih, hidden, 1, 3 * deter, hidden, width);
  hh.Pack(weights.hh, deter, 1, 3 * deter, deter, width);
  stoch.Pack(weights.in, inputs, 1, hidden, shape.stoch(), width);
  action.Pack(weights.in + shape.stoch(), inputs, 1, hidden, shape.action, width);
}

void RssmEngine::Back::Between(int, int64_t, int, int, float*, float*) const {}

void RssmEngine::Back::MoreWeights(int) const {}

void RssmEngine::Backward(const RssmShape& shape, const RssmWeights& weights,
                          const RssmSequence& sequence, const RssmOutputs& saved,
                          const RssmGiven& given, const RssmGradients& gradients) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  Back job({this, &ActiveRssmKernels(), shape, sequence, saved, 1}, given, gradients);
  RunBack(weights, &job);
}

void RssmEngine::RunBack(const RssmWeights& weights, Back* whole) {
  Back& job = *whole;
  const RssmShape& shape = job.shape;
  const RssmSequence& sequence = job.sequence;
  backward_.Pack(shape, weights, job.kernels->lanes);
  const int64_t rows = job.rows();
  job.shares = Shares(shape, rows);
  const auto room = [&](Buffer<float>& buffer, int64_t columns, int64_t count) {
    buffer.Reserve(static_cast<size_t>(columns * count));
  };
  room(action_, shape.action, rows);
  room(before_, shape.deter, rows);
  room(stoch_before_, shape.stoch(), shape.classes > 0 ? sequence.batch : rows);
  room(d_deter_, shape.deter, rows);
  room(d_gates_, job.gates_stride(), rows);
  room(d_x_, job.hidden_stride(), rows);
  room(d_rows_, shape.hidden, shape.classes > 0 ? shape.stoch() : 0);
  for (int i = 0; i < 2; ++i) {
    room(d_hidden_[i], job.hidden_stride(), rows);
    room(d_out_[i], job.out_stride(), rows);
  }
  for (Part& part : parts_) {
    room(part.carry, shape.deter, kRssmBlockRows);
    room(part.carry_stoch, shape.stoch(), kRssmBlockRows);
  }
  Run(&job, [](Job& j, int share) { static_cast<Back&>(j).PriorShare(share); });
  Run(&job, [](Job& j, int share) {
    const Back& back = static_cast<Back&>(j);
    back.Blocks(back.sequence.batch, share,
                [&](int64_t first, int count) { back.StepsBlock(first, count, share); });
  });
  Run(&job, [](Job& j, int share) { static_cast<Back&>(j).InputShare(share); });
  Run(&job, [](Job& j, int share) { static_cast<Back&>(j).WeightShare(share); });
}

// Of the deterministic states: those given, and what reaches them through priors outside the loop.
void RssmEngine::Back::PriorShare(int share) const {
  Blocks(rows(), share, [&](int64_t first, int count) {
    float* d_deter = engine->d_deter_.data() + first * shape.deter;
    const int64_t size = int64_t{count} * shape.deter;
    if (given.deter == nullptr) {
      std::fill_n(d_deter, size, 0.0f);
    } else {
      std::copy_n(given.deter + first * shape.deter, size, d_deter);
    }
    if (!prior_outside()) return;
    float* d_out = engine->d_out_[1].data() + first * out_stride();
    float* d_hidden = engine->d_hidden_[1].data() + first * hidden_stride();
    const int64_t at = first * shape.parameters();
    kernels->sample_back({shape, count, outputs.prior + at, given.prior + at, nullptr, nullptr,
                          d_out, out_stride()});
    RssmLayer out =
        Layer(engine->backward_.prior.out, count, d_out, out_stride(), d_hidden, hidden_stride());
    out.last = RssmLast::kEluBack;
    out.slope = outputs.prior_hidden + first * shape.hidden;
    out.slope_stride = shape.hidden;
    kernels->layer(out);
    RssmLayer deter = Layer(engine->backward_.prior.deter, count, d_hidden, hidden_stride(),
                            d_deter, shape.deter);
    deter.start = d_deter;
    deter.start_stride = shape.deter;
    kernels->layer(deter);
  });
}

void RssmEngine::Back::Forget(float* values, int columns, const float* keep, int count) const {
  for (int i = 0; keep != nullptr && i < count; ++i) {
    for (int j = 0; j < columns; ++j) values[int64_t{i} * columns + j] *= keep[i];
  }
}

void RssmEngine::Back::StepsBlock(int64_t first, int count, int share) const {
  Part& part = engine->parts_[static_cast<size_t>(share)];
  const int deter = shape.deter, stoch = shape.stoch();
  std::fill_n(part.carry.data(), int64_t{count} * deter, 0.0f);
  std::fill_n(part.carry_stoch.data(), int64_t{count} * stoch, 0.0f);
  for (int t = sequence.steps - 1; t >= 0; --t) {
    const int64_t at = At(t, first);
    const float* keep = Of(sequence.keep, at);
    CfcForget(DeterBefore(t, first), keep, count, deter, engine->before_.data() + at * deter);
    if (const RssmState state = StochBefore(t, first); state.numbers != nullptr) {
      CfcForget(state.numbers, keep, count, stoch, engine->stoch_before_.data() + at * stoch);
    }
    Step(t, first, count, part);
    Between(t, first, count, share, part.carry.data(), part.carry_stoch.data());
  }
  std::copy_n(part.carry.data(), int64_t{count} * deter, gradients.deter + first * deter);
  if (gradients.stoch == nullptr) return;
  std::copy_n(part.carry_stoch.data(), int64_t{count} * stoch, gradients.stoch + first * stoch);
}

// part.carry, part.carry_stoch: of the states after step t, and then of those before.
void RssmEngine::Back::Step(int t, int64_t first, int count, Part& part) const {
  const int64_t at = At(t, first);
  const int deter = shape.deter, stoch = shape.stoch(), hidden = shape.hidden;
  const RssmBackward& weights = engine->backward_;
  const RssmBackward::Head& head = observes() ? weights.posterior : weights.prior;
  float* carry = part.carry.data();
  float* carry_stoch = part.carry_stoch.data();
  if (given.stoch != nullptr) {
    kernels->add_row(given.stoch + at * stoch, 1.0f, count * stoch, carry_stoch);
  }
  float* d_out = engine->d_out_[0].data() + at * out_stride();
  const int64_t parameters_at = at * shape.parameters();
  kernels->sample_back({shape, count,
                        (observes() ? outputs.posterior : outputs.prior) + parameters_at,
                        Of(observes() ? given.posterior : given.prior, parameters_at), carry_stoch,
                        sequence.noise + at * shape.groups, d_out, out_stride()});
  float* d_hidden = engine->d_hidden_[0].data() + at * hidden_stride();
  RssmLayer out = Layer(head.out, count, d_out, out_stride(), d_hidden, hidden_stride());
  out.last = RssmLast::kEluBack;
  out.slope = (observes() ? outputs.posterior_hidden : outputs.prior_hidden) + at * hidden;
  out.slope_stride = hidden;
  kernels->layer(out);
  kernels->add_row(engine->d_deter_.data() + at * deter, 1.0f, count * deter, carry);
  RssmLayer through = Layer(head.deter, count, d_hidden, hidden_stride(), carry, deter);
  through.start = carry;
  through.start_stride = deter;
  kernels->layer(through);

  float* d_gates = engine->d_gates_.data() + at * gates_stride();
  kernels->gru_back({count, deter, outputs.gates + at * kGates * deter,
                     engine->before_.data() + at * deter, carry, d_gates, gates_stride()});
  float* d_x = engine->d_x_.data() + at * hidden_stride();
  RssmLayer ih = Layer(weights.ih, count, d_gates, gates_stride(), d_x, hidden_stride());
  ih.last = RssmLast::kEluBack;
  ih.slope = outputs.x + at * hidden;
  ih.slope_stride = hidden;
  kernels->layer(ih);
  RssmLayer hh = Layer(weights.hh, count, d_gates, gates_stride(), carry, deter);
  hh.depth = 2 * deter;
  hh.more = d_gates + int64_t{3} * deter;
  hh.more_stride = gates_stride();
  hh.more_depth = deter;
  hh.start = carry;
  hh.start_stride = deter;
  kernels->layer(hh);
  Forget(carry, deter, Of(sequence.keep, at), count);
  if (!wants_stoch(t)) return;
  kernels->layer(Layer(weights.stoch, count, d_x, hidden_stride(), carry_stoch, stoch));
  Forget(carry_stoch, stoch, Of(sequence.keep, at), count);
}

// Actions and observations, which no step waits for.
void RssmEngine::Back::InputShare(int share) const {
  Blocks(rows(), share, [&](int64_t first, int count) {
    KeepAction(first, count);
    if (gradients.action != nullptr) {
      float* d_action = gradients.action + first * shape.action;
      kernels->layer(Layer(engine->backward_.action, count,
                           engine->d_x_.data() + first * hidden_stride(), hidden_stride(), d_action,
                           shape.action));
      Forget(d_action, shape.action, Of(sequence.keep, first), count);
    }
    if (!observes() || gradients.embed == nullptr) return;
    kernels->layer(Layer(engine->backward_.posterior.embed, count,
                         engine->d_hidden_[0].data() + first * hidden_stride(), hidden_stride(),
                         gradients.embed + first * shape.embed, shape.embed));
  });
}

void RssmEngine::Back::Sum(const float* a, int64_t lda, int first, int count, const float* b,
                           int columns, int64_t ldb, float* c, int64_t ldc, int64_t depth) const {
  for (int64_t k = 0; k < depth; k += kDepthRows) {
    const int some = static_cast<int>(std::min<int64_t>(kDepthRows, depth - k));
    kernels->multiply({count, columns, some, a + k * lda + first, 1, lda, b + k * ldb, ldb,
                       c + first * ldc, ldc});
  }
}

void RssmEngine::Back::Bias(const float* a, int64_t lda, int columns, float* c) const {
  const float one = 1.0f;
  std::fill_n(c, columns, 0.0f);
  kernels->multiply({1, columns, static_cast<int>(rows()), &one, 0, 0, a, lda, c, columns});
}

void RssmEngine::Back::HeadWeights(int which, const float* hidden, int share, float* out,
                                   float* out_bias, float* first, float* first_bias,
                                   int joined) const {
  const float* d_out = engine->d_out_[which].data();
  const float* d_hidden = engine->d_hidden_[which].data();
  const auto range = [&](int count, auto body) {
    const int begins = static_cast<int>(begin(count, share));
    body(begins, static_cast<int>(begin(count, share + 1)) - begins);
  };
  range(shape.parameters(), [&](int from, int count) {
    std::fill_n(out + int64_t{from} * shape.hidden, int64_t{count} * shape.hidden, 0.0f);
    Sum(d_out, out_stride(), from, count, hidden, shape.hidden, shape.hidden, out, shape.hidden,
        rows());
  });
  range(shape.hidden, [&](int from, int count) {
    std::fill_n(first + int64_t{from} * joined, int64_t{count} * joined, 0.0f);
    Sum(d_hidden, hidden_stride(), from, count, outputs.deter, shape.deter, shape.deter, first,
        joined, rows());
    if (joined > shape.deter) {
      Sum(d_hidden, hidden_stride(), from, count, sequence.embed, shape.embed, shape.embed,
          first + shape.deter, joined, rows());
    }
  });
  if (share != 0) return;
  Bias(d_out, out_stride(), shape.parameters(), out_bias);
  Bias(d_hidden, hidden_stride(), shape.hidden, first_bias);
}

void RssmEngine::Back::StateWeights(const float* d, int64_t stride, int units, int share,
                                    float* rows_of, float* to, int64_t ldc) const {
  const int stoch = shape.stoch();
  const int from = static_cast<int>(begin(units, share));
  const int count = static_cast<int>(begin(units, share + 1)) - from;
  int64_t dense = rows();
  if (shape.classes > 0) {
    for (int i = 0; i < stoch; ++i) std::fill_n(rows_of + int64_t{i} * units + from, count, 0.0f);
    dense = sequence.state.numbers != nullptr ? sequence.batch : 0;
    for (int64_t row = dense; row < rows(); ++row) {
      const float keep = sequence.keep == nullptr ? 1.0f : sequence.keep[row];
      if (keep == 0.0f) continue;
      const int t = static_cast<int>(row / sequence.batch);
      const RssmState state = StochBefore(t, row % sequence.batch);
      for (int g = 0; g < shape.groups; ++g) {
        const int64_t picked = int64_t{g} * shape.classes + state.index[g];
        kernels->add_row(d + row * stride + from, keep, count, rows_of + picked * units + from);
      }
    }
    Transpose(rows_of + from, stoch, count, units, to + int64_t{from} * ldc, ldc);
  } else {
    for (int i = from; i < from + count; ++i) std::fill_n(to + i * ldc, stoch, 0.0f);
  }
  if (dense == 0) return;
  Sum(d, stride, from, count, engine->stoch_before_.data(), stoch, stoch, to, ldc, dense);
}

// Threads share the rows of the weights' gradients, so that no two write to the same ones and the
// sums do not depend on how many threads there are.
void RssmEngine::Back::WeightShare(int share) const {
  const int deter = shape.deter, hidden = shape.hidden, inputs = shape.stoch() + shape.action;
  const float* d_gates = engine->d_gates_.data();
  const int64_t ld = gates_stride();
  const int from = static_cast<int>(begin(3 * deter, share));
  const int count = static_cast<int>(begin(3 * deter, share + 1)) - from;
  std::fill_n(gradients.ih + int64_t{from} * hidden, int64_t{count} * hidden, 0.0f);
  std::fill_n(gradients.hh + int64_t{from} * deter, int64_t{count} * deter, 0.0f);
  Sum(d_gates, ld, from, count, outputs.x, hidden, hidden, gradients.ih, hidden, rows());
  // Of n, W_hh has what r multiplies, which lies behind.
  const int plain = std::clamp(2 * deter - from, 0, count);
  const float* before = engine->before_.data();
  Sum(d_gates, ld, from, plain, before, deter, deter, gradients.hh, deter, rows());
  Sum(d_gates + deter, ld, from + plain, count - plain, before, deter, deter, gradients.hh, deter,
      rows());
  StateWeights(engine->d_x_.data(), hidden_stride(), hidden, share, engine->d_rows_.data(),
               gradients.in, inputs);
  const int first = static_cast<int>(begin(hidden, share));
  const int some = static_cast<int>(begin(hidden, share + 1)) - first;
  for (int i = first; i < first + some; ++i) {
    std::fill_n(gradients.in + int64_t{i} * inputs + shape.stoch(), shape.action, 0.0f);
  }
  Sum(engine->d_x_.data(), hidden_stride(), first, some, engine->action_.data(), shape.action,
      shape.action, gradients.in + shape.stoch(), inputs, rows());
  if (observes()) {
    HeadWeights(0, outputs.posterior_hidden, share, gradients.posterior_out,
                gradients.posterior_out_bias, gradients.posterior, gradients.posterior_bias,
                deter + shape.embed);
  }
  if (!observes() || prior_outside()) {
    HeadWeights(observes() ? 1 : 0, outputs.prior_hidden, share, gradients.prior_out,
                gradients.prior_out_bias, gradients.prior, gradients.prior_bias, deter);
  }
  MoreWeights(share);
  if (share != 0) return;
  if (observes() && !prior_outside()) {
    std::fill_n(gradients.prior_out, int64_t{shape.parameters()} * hidden, 0.0f);
    std::fill_n(gradients.prior_out_bias, shape.parameters(), 0.0f);
    std::fill_n(gradients.prior, int64_t{hidden} * deter, 0.0f);
    std::fill_n(gradients.prior_bias, hidden, 0.0f);
  }
  Bias(d_gates, ld, 3 * deter, gradients.ih_bias);
  Bias(d_gates, ld, 2 * deter, gradients.hh_bias);
  Bias(d_gates + 3 * deter, ld, deter, gradients.hh_bias + 2 * deter);
  Bias(engine->d_x_.data(), hidden_stride(), hidden, gradients.in_bias);
}

}  // namespace metabonk::nn
