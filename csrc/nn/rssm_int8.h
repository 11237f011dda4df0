// RssmInt8: the layers of an RSSM step over weights in int8, each a product of qlinear.h. Knows how
// weights are cut, quantised and packed, and what runs between the products; no samples.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/qlinear.h"
#include "nn/rssm_layers.h"
#include "support/buffer.h"

namespace metabonk::nn {

class RssmInt8 : public RssmLayers {
 public:
  RssmInt8(const RssmShape& shape, const RssmKernels& kernels, bool dense, int rows);

  Status Load(const RssmWeights& weights) override;
  void In(const RssmState& state, const float* action, const float* keep, int rows,
          float* x) override;
  void Gru(const float* x, const float* before, int rows, float* out) override;
  void Prior(const float* deter, int rows, float* out) override;
  void Posterior(const float* deter, const float* embed, int rows, float* out) override;

 private:
  // Some columns of a matrix of weights.
  struct Part {
    Part(int outputs, int inputs) : layout({WeightFormat::kInt8, outputs, inputs}) {}

    // Those from `first` on of `weight`, rows `stride` apart. dequantized: where their values go
    // [outputs, inputs], or null.
    Status Pack(const char* name, const float* weight, int stride, int first,
                std::vector<float>* dequantized = nullptr);

    PanelLayout layout;
    Buffer<uint8_t> panels;
  };
  struct Packed {
    explicit Packed(const RssmShape& shape);
    Status Pack(const RssmShape& shape, const RssmWeights& weights, bool dense);

    Part action, stoch, ih, hh, prior, prior_out, posterior, embed, posterior_out;
    RssmForward picked;  // of which `rows` alone are there: what a one-hot state picks, float32
    std::vector<float> in_bias, ih_bias, hh_bias, prior_bias, prior_out_bias, posterior_bias,
        posterior_out_bias;
  };

  // y [rows, outputs] = round(x) W^T + bias; bias may be null.
  void Multiply(const Part& part, int rows, const float* x, const float* bias, float* y);
  // The part of a head behind its hidden units' sums, which become the units.
  void Finish(const Part& part, int rows, const std::vector<float>& bias, float* out);

  const RssmKernels& kernels_;
  const QLinearKernels& products_;
  RssmShape shape_;
  bool dense_;
  Packed weights_;
  Buffer<float> kept_, hidden_, more_, from_x_, from_h_, scales_;
  Buffer<uint8_t> codes_, scratch_;
};

}  // namespace metabonk::nn
