#include "nn/rssm_int8.h"

#include <algorithm>
#include <utility>

namespace metabonk::nn {

namespace {

std::vector<float> Copied(const float* from, int count) { return {from, from + count}; }

}  // namespace

Status RssmInt8::Part::Pack(const char* name, const float* weight, int stride, int first,
                            std::vector<float>* dequantized) {
  const WeightShape shape{WeightFormat::kInt8, layout.outputs, layout.inputs};
  if (!CheckWeights(shape).ok()) {
    return {Code::kOutOfRange, name, "int8 takes 1 to 65536 columns of a part of it"};
  }
  const auto outputs = static_cast<size_t>(shape.outputs),
             inputs = static_cast<size_t>(shape.inputs);
  std::vector<float> columns(outputs * inputs);
  for (size_t n = 0; n < outputs; ++n) {
    const float* row = weight + static_cast<int64_t>(n) * stride + first;
    std::copy(row, row + inputs, columns.begin() + static_cast<std::ptrdiff_t>(n * inputs));
  }
  std::vector<uint8_t> codes(outputs * inputs);
  std::vector<float> scales(outputs);
  const WeightArrays arrays{codes.data(), reinterpret_cast<uint8_t*>(scales.data()), nullptr};
  if (const Status status = QuantizeWeights(shape, columns.data(), arrays); !status.ok()) {
    return {status.code, name, status.what};
  }
  PackPanels(layout, arrays, panels.Reserve(static_cast<size_t>(layout.bytes())));
  if (dequantized != nullptr) {
    DequantizeWeights(shape, arrays, columns.data());
    *dequantized = std::move(columns);
  }
  return Status::Ok();
}

RssmInt8::Packed::Packed(const RssmShape& shape)
    : action(shape.hidden, shape.action),
      stoch(shape.hidden, shape.stoch()),
      ih(3 * shape.deter, shape.hidden),
      hh(3 * shape.deter, shape.deter),
      prior(shape.hidden, shape.deter),
      prior_out(shape.parameters(), shape.hidden),
      posterior(shape.hidden, shape.deter),
      embed(shape.hidden, shape.embed),
      posterior_out(shape.parameters(), shape.hidden) {}

Status RssmInt8::Packed::Pack(const RssmShape& shape, const RssmWeights& w, bool dense) {
  const int hidden = shape.hidden, deter = shape.deter, stochastic = shape.stoch();
  const int in = stochastic + shape.action, seen = deter + shape.embed;
  std::vector<float> values;
  Status status = action.Pack("w_in", w.in, in, stochastic);
  if (status.ok()) status = stoch.Pack("w_in", w.in, in, 0, &values);
  if (status.ok()) status = ih.Pack("w_ih", w.ih, hidden, 0);
  if (status.ok()) status = hh.Pack("w_hh", w.hh, deter, 0);
  if (status.ok()) status = prior.Pack("w_prior", w.prior, deter, 0);
  if (status.ok()) status = prior_out.Pack("w_prior_out", w.prior_out, hidden, 0);
  if (status.ok() && shape.observes()) {
    status = posterior.Pack("w_post", w.posterior, seen, 0);
    if (status.ok()) status = embed.Pack("w_post", w.posterior, seen, deter);
    if (status.ok()) status = posterior_out.Pack("w_post_out", w.posterior_out, hidden, 0);
  }
  if (!status.ok()) return status;
  if (shape.classes > 0) {
    picked.rows.Pack(values.data(), 1, stochastic, stochastic, hidden, hidden);
  }
  if (!dense && shape.classes > 0) stoch.panels = Buffer<uint8_t>();
  in_bias = Copied(w.in_bias, hidden);
  ih_bias = Copied(w.ih_bias, 3 * deter);
  hh_bias = Copied(w.hh_bias, 3 * deter);
  prior_bias = Copied(w.prior_bias, hidden);
  prior_out_bias = Copied(w.prior_out_bias, shape.parameters());
  if (shape.observes()) {
    posterior_bias = Copied(w.posterior_bias, hidden);
    posterior_out_bias = Copied(w.posterior_out_bias, shape.parameters());
  }
  return Status::Ok();
}

RssmInt8::RssmInt8(const RssmShape& shape, const RssmKernels& kernels, bool dense, int rows)
    : kernels_(kernels),
      products_(ActiveQLinearKernels(WeightFormat::kInt8, rows)),
      shape_(shape),
      dense_(dense),
      weights_(shape) {
  const auto room = [&](Buffer<float>& buffer, int columns) {
    buffer.Reserve(static_cast<size_t>(int64_t{rows} * columns));
  };
  room(kept_, shape.stoch());
  room(hidden_, shape.hidden);
  room(more_, shape.hidden);
  room(from_x_, 3 * shape.deter);
  room(from_h_, 3 * shape.deter);
  room(scales_, 1);
  int64_t row_bytes = 0, scratch_bytes = 1;
  const Packed& w = weights_;
  for (const Part* part : {&w.action, &w.stoch, &w.ih, &w.hh, &w.prior, &w.prior_out, &w.posterior,
                           &w.embed, &w.posterior_out}) {
    row_bytes = std::max(row_bytes, int64_t{part->layout.padded_inputs} * products_.x_bytes);
    scratch_bytes = std::max(scratch_bytes, products_.scratch_bytes(part->layout));
  }
  codes_.Reserve(static_cast<size_t>(rows * row_bytes));
  scratch_.Reserve(static_cast<size_t>(scratch_bytes));
}

Status RssmInt8::Load(const RssmWeights& weights) {
  Packed fresh(shape_);
  const Status status = fresh.Pack(shape_, weights, dense_);
  if (status.ok()) weights_ = std::move(fresh);
  return status;
}

void RssmInt8::Multiply(const Part& part, int rows, const float* x, const float* bias, float* y) {
  const PanelLayout& layout = part.layout;
  const int64_t stride = int64_t{layout.padded_inputs} * products_.x_bytes;
  for (int i = 0; i < rows; ++i) {
    products_.take_row(x + int64_t{i} * layout.inputs, layout.inputs, layout.padded_inputs,
                       codes_.data() + i * stride, scales_.data() + i);
  }
  for (int tile = 0; tile < layout.tiles(); ++tile) {
    const int output = layout.first_output(tile), panels = layout.panels(tile);
    products_.multiply({&layout, panels, part.panels.data() + layout.offset(tile), codes_.data(),
                        stride, scales_.data(), rows, bias == nullptr ? nullptr : bias + output,
                        y + output, layout.outputs,
                        std::min(layout.outputs - output, panels * kPanelOutputs),
                        scratch_.data()});
  }
}

void RssmInt8::In(const RssmState& state, const float* action, const float* keep, int rows,
                  float* x) {
  Multiply(weights_.action, rows, action, weights_.in_bias.data(), x);
  if (state.numbers == nullptr) {
    RssmTakeState(kernels_, shape_, weights_.picked, state, keep, rows, nullptr, x);
    return;
  }
  const float* numbers = state.numbers;
  if (keep != nullptr) {
    CfcForget(numbers, keep, rows, shape_.stoch(), kept_.data());
    numbers = kept_.data();
  }
  Multiply(weights_.stoch, rows, numbers, nullptr, more_.data());
  const int count = rows * shape_.hidden;
  kernels_.add_row(more_.data(), 1.0f, count, x);
  kernels_.elu(x, count);
}

void RssmInt8::Gru(const float* x, const float* before, int rows, float* out) {
  Multiply(weights_.ih, rows, x, weights_.ih_bias.data(), from_x_.data());
  Multiply(weights_.hh, rows, before, weights_.hh_bias.data(), from_h_.data());
  kernels_.gru_mix({rows, shape_.deter, from_x_.data(), from_h_.data(), before, out});
}

void RssmInt8::Prior(const float* deter, int rows, float* out) {
  Multiply(weights_.prior, rows, deter, weights_.prior_bias.data(), hidden_.data());
  Finish(weights_.prior_out, rows, weights_.prior_out_bias, out);
}

void RssmInt8::Posterior(const float* deter, const float* embed, int rows, float* out) {
  Multiply(weights_.posterior, rows, deter, weights_.posterior_bias.data(), hidden_.data());
  Multiply(weights_.embed, rows, embed, nullptr, more_.data());
  kernels_.add_row(more_.data(), 1.0f, rows * shape_.hidden, hidden_.data());
  Finish(weights_.posterior_out, rows, weights_.posterior_out_bias, out);
}

void RssmInt8::Finish(const Part& part, int rows, const std::vector<float>& bias, float* out) {
  kernels_.elu(hidden_.data(), rows * shape_.hidden);
  Multiply(part, rows, hidden_.data(), bias.data(), out);
}

}  // namespace metabonk::nn
