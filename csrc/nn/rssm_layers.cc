#include "nn/rssm_layers.h"

#include "nn/rssm_int8.h"

namespace metabonk::nn {

namespace {

// Panels of float32 or bf16, by the loops of rssm.inl.
class RssmFloats : public RssmLayers {
 public:
  RssmFloats(const RssmShape& shape, const RssmKernels& kernels, bool dense, int rows, bool half)
      : kernels_(kernels), shape_(shape), dense_(dense), half_(half) {
    stoch_.Reserve(static_cast<size_t>(int64_t{rows} * shape.stoch()));
    hidden_.Reserve(static_cast<size_t>(int64_t{rows} * shape.hidden));
  }

  Status Load(const RssmWeights& weights) override {
    weights_.Pack(shape_, weights, dense_, kernels_.lanes);
    if (half_) weights_.Halve();
    weights_.KeepBiases(shape_, &biases_);
    return Status::Ok();
  }

  void In(const RssmState& state, const float* action, const float* keep, int rows,
          float* x) override {
    RssmLayer in{};
    in.weights = &weights_.action;
    in.rows = rows;
    in.x = action;
    in.x_stride = in.depth = shape_.action;
    in.bias = weights_.in_bias;
    in.y = x;
    in.y_stride = shape_.hidden;
    kernels_.layer(in);
    RssmTakeState(kernels_, shape_, weights_, state, keep, rows, stoch_.data(), x);
  }

  void Gru(const float* x, const float* before, int rows, float* out) override {
    kernels_.gru(weights_.gru, {rows, shape_.hidden, shape_.deter, x, before, out, nullptr});
  }

  void Prior(const float* deter, int rows, float* out) override {
    RssmRunHead(kernels_, shape_, {&weights_.prior, rows, deter, nullptr, hidden_.data(), out});
  }

  void Posterior(const float* deter, const float* embed, int rows, float* out) override {
    RssmLayer layer{};
    layer.weights = &weights_.posterior.embed;
    layer.rows = rows;
    layer.x = embed;
    layer.x_stride = layer.depth = shape_.embed;
    layer.bias = weights_.posterior.bias;
    layer.y = hidden_.data();
    layer.y_stride = shape_.hidden;
    kernels_.layer(layer);
    RssmRunHead(kernels_, shape_,
                {&weights_.posterior, rows, deter, hidden_.data(), hidden_.data(), out});
  }

 private:
  const RssmKernels& kernels_;
  RssmShape shape_;
  bool dense_, half_;
  RssmForward weights_;
  Buffer<float> stoch_, hidden_, biases_;
};

}  // namespace

std::unique_ptr<RssmLayers> MakeRssmLayers(RssmPrecision precision, const RssmShape& shape,
                                           const RssmKernels& kernels, bool dense, int rows) {
  if (precision == RssmPrecision::kInt8) {
    return std::make_unique<RssmInt8>(shape, kernels, dense, rows);
  }
  const bool half = precision == RssmPrecision::kBf16;
  return std::make_unique<RssmFloats>(shape, kernels, dense, rows, half);
}

}  // namespace metabonk::nn
