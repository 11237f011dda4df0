#include "nn/rssm.h"

#include <algorithm>
#include <cstring>

#include "nn/formats.h"
#include "support/cpu.h"

namespace metabonk::nn {

namespace {

constexpr int kPanelVectors = 4;  // as in rssm.inl
constexpr int kGateWeights = 3;

// Interleaves the three gates of W [3 deter, depth]: a panel is r, z, n of one vector of units.
void PackGates(const float* from, int deter, int depth, int lanes, Panels* one, Panels* to) {
  const int groups = (deter + lanes - 1) / lanes, width = kGateWeights * lanes;
  to->depth = depth;
  to->columns = groups * width;
  to->width = width;
  to->half = false;
  float* panel = to->data.Reserve(static_cast<size_t>(int64_t{groups} * depth * width));
  for (int k = 0; k < kGateWeights; ++k) {
    one->Pack(from + int64_t{k} * deter * depth, 1, depth, depth, deter, lanes);
    for (int64_t row = 0; row < int64_t{groups} * depth; ++row) {
      std::memcpy(panel + row * width + k * lanes, one->data.data() + row * lanes,
                  sizeof(float) * static_cast<size_t>(lanes));
    }
  }
}

}  // namespace

const RssmKernels& ActiveRssmKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kAvx512:
      return kRssmAvx512;
    case CpuTier::kAvx2:
      return kRssmAvx2;
    default:
      break;
  }
#endif
  return kRssmPortable;
}

void Panels::Halve() {
  if (depth == 0) return;
  const auto code = [](float x) { return static_cast<uint32_t>(Bf16FromFloat(x)); };
  const int64_t words = int64_t{pair_rows()} * width;
  uint32_t* to = pairs.Reserve(static_cast<size_t>(count() * words));
  for (int i = 0; i < count(); ++i) {
    const float* from = panel(i);
    for (int64_t word = 0; word < words; ++word, ++to) {
      const int64_t k = word / width * 2, at = k * width + word % width;
      const uint32_t second = k + 1 < depth ? code(from[at + width]) : 0u;
      *to = code(from[at]) | second << 16;
    }
  }
  data = Buffer<float>();
  half = true;
}

void RssmForward::Halve() {
  for (Panels* panels : {&action, &stoch, &gru.x, &gru.h, &prior.deter, &prior.out,
                         &posterior.deter, &posterior.embed, &posterior.out}) {
    panels->Halve();
  }
  // Few rows of these are read: they keep their float32, rounded.
  float* row = rows.data.data();
  for (int64_t i = 0; i < int64_t{rows.depth} * rows.columns; ++i) {
    row[i] = FloatFromBf16(Bf16FromFloat(row[i]));
  }
}

void RssmGru::Pack(const RssmShape& shape, const RssmWeights& weights, int lanes) {
  const int deter = shape.deter, groups = (deter + lanes - 1) / lanes;
  PackGates(weights.ih, deter, shape.hidden, lanes, &gate, &x);
  PackGates(weights.hh, deter, deter, lanes, &gate, &h);
  float* to = bias.Reserve(static_cast<size_t>(groups * kGates * lanes));
  std::fill_n(to, groups * kGates * lanes, 0.0f);
  for (int i = 0; i < deter; ++i) {
    float* unit = to + i / lanes * kGates * lanes + i % lanes;
    unit[0] = weights.ih_bias[i] + weights.hh_bias[i];
    unit[lanes] = weights.ih_bias[deter + i] + weights.hh_bias[deter + i];
    unit[2 * lanes] = weights.ih_bias[2 * deter + i];
    unit[3 * lanes] = weights.hh_bias[2 * deter + i];
  }
}

void RssmHead::Pack(const RssmShape& shape, const RssmWeights& weights, bool posterior, int width) {
  const int joined = shape.deter + (posterior ? shape.embed : 0);
  const float* first = posterior ? weights.posterior : weights.prior;
  const float* last = posterior ? weights.posterior_out : weights.prior_out;
  deter.Pack(first, 1, joined, shape.deter, shape.hidden, width);
  if (posterior) embed.Pack(first + shape.deter, 1, joined, shape.embed, shape.hidden, width);
  out.Pack(last, 1, shape.hidden, shape.hidden, shape.parameters(), width);
  bias = posterior ? weights.posterior_bias : weights.prior_bias;
  out_bias = posterior ? weights.posterior_out_bias : weights.prior_out_bias;
}

void RssmForward::Pack(const RssmShape& shape, const RssmWeights& weights, bool dense, int lanes) {
  const int width = kPanelVectors * lanes, inputs = shape.stoch() + shape.action;
  action.Pack(weights.in + shape.stoch(), 1, inputs, shape.action, shape.hidden, width);
  if (dense || shape.classes == 0) {
    stoch.Pack(weights.in, 1, inputs, shape.stoch(), shape.hidden, width);
  }
  if (shape.classes > 0) {
    rows.Pack(weights.in, 1, inputs, shape.stoch(), shape.hidden, shape.hidden);
  }
  in_bias = weights.in_bias;
  gru.Pack(shape, weights, lanes);
  prior.Pack(shape, weights, false, width);
  if (shape.observes()) posterior.Pack(shape, weights, true, width);
}

int64_t RssmBadIndex(const RssmShape& shape, const RssmState& state, int rows) {
  if (state.numbers != nullptr) return -1;
  const int64_t count = int64_t{rows} * shape.groups;
  for (int64_t i = 0; i < count; ++i) {
    if (state.index[i] < 0 || state.index[i] >= shape.classes) return i;
  }
  return -1;
}

void RssmTakeState(const RssmKernels& kernels, const RssmShape& shape, const RssmForward& weights,
                   const RssmState& state, const float* keep, int rows, float* scratch, float* x) {
  const int hidden = shape.hidden, stoch = shape.stoch();
  if (state.numbers != nullptr) {
    const float* from = state.numbers;
    if (keep != nullptr) {
      CfcForget(state.numbers, keep, rows, stoch, scratch);
      from = scratch;
    }
    RssmLayer layer{};
    layer.weights = &weights.stoch;
    layer.rows = rows;
    layer.x = from;
    layer.x_stride = layer.depth = stoch;
    layer.start = layer.y = x;
    layer.start_stride = layer.y_stride = hidden;
    layer.last = RssmLast::kElu;
    kernels.layer(layer);
    return;
  }
  for (int64_t i = 0; i < rows; ++i) {
    const float by = keep == nullptr ? 1.0f : keep[i];
    for (int g = 0; by != 0.0f && g < shape.groups; ++g) {
      const int64_t at = int64_t{g} * shape.classes + state.index[i * shape.groups + g];
      kernels.add_row(weights.rows.data.data() + at * hidden, by, hidden, x + i * hidden);
    }
    kernels.elu(x + i * hidden, hidden);
  }
}

void RssmRunHead(const RssmKernels& kernels, const RssmShape& shape, const RssmHeadRows& h) {
  RssmLayer layer{};
  layer.weights = &h.head->deter;
  layer.rows = h.rows;
  layer.x = h.deter;
  layer.x_stride = layer.depth = shape.deter;
  layer.start = h.start;
  layer.bias = h.start == nullptr ? h.head->bias : nullptr;
  layer.y = h.hidden;
  layer.start_stride = layer.y_stride = shape.hidden;
  layer.last = RssmLast::kElu;
  kernels.layer(layer);
  RssmLayer out{};
  out.weights = &h.head->out;
  out.rows = h.rows;
  out.x = h.hidden;
  out.x_stride = out.depth = shape.hidden;
  out.bias = h.head->out_bias;
  out.y = h.out;
  out.y_stride = shape.parameters();
  kernels.layer(out);
}

void RssmForward::KeepBiases(const RssmShape& shape, Buffer<float>* memory) {
  const int hidden = shape.hidden, parameters = shape.parameters();
  float* to = memory->Reserve(static_cast<size_t>(3 * hidden + 2 * parameters));
  const auto keep = [&](const float** bias, int count) {
    if (*bias == nullptr) return;
    std::copy_n(*bias, count, to);
    *bias = to;
    to += count;
  };
  keep(&in_bias, hidden);
  keep(&prior.bias, hidden);
  keep(&prior.out_bias, parameters);
  keep(&posterior.bias, hidden);
  keep(&posterior.out_bias, parameters);
}

}  // namespace metabonk::nn
