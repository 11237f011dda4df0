// Quantised linear layers: panels there and back, every kernel against the dequantised product in
// double precision, int8 the same bits everywhere.
#include "nn/qlinear.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "check.h"
#include "nn/formats.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::kInt8,  WeightFormat::kInt4,
                                     WeightFormat::kBf16,  WeightFormat::kFp8,
                                     WeightFormat::kNvfp4, WeightFormat::kMxfp8};

std::vector<float> Numbers(size_t count, uint32_t seed, float scale) {
  std::vector<float> numbers(count);
  for (float& x : numbers) {
    seed = seed * 1664525u + 1013904223u;
    x = (static_cast<float>(seed >> 8) / 16777216.0f - 0.5f) * scale;
  }
  return numbers;
}

// Runs body() with every set of kernels that this processor has.
template <typename Body>
void OnEveryTier(const Body& body) {
  for (int tier = 0; tier <= static_cast<int>(DetectedTier()); ++tier) {
    CapTier(static_cast<CpuTier>(tier));
    CapExtension(CpuExtension::kNone);
    body();
  }
  for (int level = 1; level <= static_cast<int>(DetectedExtension()); ++level) {
    CapExtension(static_cast<CpuExtension>(level));
    body();
  }
  CapExtension(DetectedExtension());
}

struct Matrix {
  WeightShape shape;
  std::vector<uint8_t> codes, scales, panels;
  float tensor_scale = 1.0f;
  std::vector<float> bias, dequantized;

  Matrix(WeightFormat format, int outputs, int inputs) : shape{format, outputs, inputs} {
    const auto n = static_cast<size_t>(outputs);
    const std::vector<float> weight = Numbers(n * static_cast<size_t>(inputs), 3, 1.0f);
    codes.resize(n * static_cast<size_t>(CodeBytes(format, inputs)));
    scales.resize(n * static_cast<size_t>(ScaleBytes(format, inputs)));
    CHECK(QuantizeWeights(shape, weight.data(), Arrays()).ok());
    const PanelLayout layout(shape);
    panels.resize(static_cast<size_t>(layout.bytes()));
    PackPanels(layout, Arrays(), panels.data());
    bias = Numbers(n, 5, 1.0f);
    dequantized.resize(weight.size());
    DequantizeWeights(shape, Arrays(), dequantized.data());
  }
  WeightArrays Arrays() {
    return {codes.data(), scales.data(),
            shape.format == WeightFormat::kNvfp4 ? &tensor_scale : nullptr};
  }
  QWeights Weights() const { return {shape, panels.data(), bias.data()}; }
};

std::vector<float> Forward(const Matrix& matrix, const std::vector<float>& x, int threads = 1) {
  const auto rows = static_cast<int64_t>(x.size()) / matrix.shape.inputs;
  std::vector<float> y(static_cast<size_t>(rows * matrix.shape.outputs), -77.0f);
  QLinearEngine(threads).Forward(matrix.Weights(), rows, x.data(), y.data());
  return y;
}

// What a row of x is rounded to.
std::vector<double> Rounded(WeightFormat format, const float* x, int inputs) {
  std::vector<double> rounded(static_cast<size_t>(inputs));
  float largest = 0.0f;
  for (int i = 0; i < inputs; ++i) largest = std::max(largest, std::fabs(x[i]));
  for (int i = 0; i < inputs; ++i) {
    const float value = format != WeightFormat::kInt8 ? FloatFromBf16(Bf16FromFloat(x[i]))
                                                      : std::nearbyint(x[i] * (127.0f / largest));
    rounded[static_cast<size_t>(i)] =
        static_cast<double>(value) *
        (format == WeightFormat::kInt8 ? static_cast<double>(largest / 127.0f) : 1.0);
  }
  return rounded;
}

void Compare(const Matrix& matrix, const std::vector<float>& x, const std::vector<float>& y) {
  const int inputs = matrix.shape.inputs, outputs = matrix.shape.outputs;
  for (size_t row = 0; row * static_cast<size_t>(inputs) < x.size(); ++row) {
    const std::vector<double> values =
        Rounded(matrix.shape.format, x.data() + row * static_cast<size_t>(inputs), inputs);
    for (int n = 0; n < outputs; ++n) {
      double sum = matrix.bias[static_cast<size_t>(n)], sizes = std::fabs(sum);
      for (int k = 0; k < inputs; ++k) {
        const double product =
            values[static_cast<size_t>(k)] *
            static_cast<double>(matrix.dequantized[static_cast<size_t>(n * inputs + k)]);
        sum += product;
        sizes += std::fabs(product);
      }
      CHECK_NEAR(y[row * static_cast<size_t>(outputs) + static_cast<size_t>(n)], sum,
                 4e-7 * sizes + 1e-7);
    }
  }
}

constexpr std::pair<int, int> kShapes[] = {{1, 1},  {16, 4},   {17, 3},   {3, 33},  {64, 32},
                                           {65, 8}, {100, 47}, {130, 96}, {80, 129}};

}  // namespace

TEST(nn_qlinear_panels_come_back) {
  for (const WeightFormat format : kFormats) {
    for (const auto& [outputs, inputs] : kShapes) {
      Matrix matrix(format, outputs, inputs);
      std::vector<uint8_t> codes(matrix.codes.size(), 0xAB), scales(matrix.scales.size(), 0xAB);
      float tensor_scale = 0.0f;
      UnpackPanels(PanelLayout(matrix.shape), matrix.panels.data(),
                   {codes.data(), scales.data(), &tensor_scale});
      CHECK(codes == matrix.codes);
      CHECK(scales == matrix.scales);
      if (format == WeightFormat::kNvfp4) CHECK_EQ(tensor_scale, matrix.tensor_scale);
    }
  }
}

TEST(nn_qlinear_follows_the_formula_on_every_tier) {
  for (const WeightFormat format : kFormats) {
    for (const auto& [outputs, inputs] : kShapes) {
      const Matrix matrix(format, outputs, inputs);
      for (const int rows : {1, 2, 3, 4, 5, 6, 7, 13, 16, 40, 70}) {
        const auto count = static_cast<size_t>(rows) * static_cast<size_t>(inputs);
        const std::vector<float> x = Numbers(count, 11, 4.0f);
        OnEveryTier([&] { Compare(matrix, x, Forward(matrix, x)); });
      }
    }
  }
}

TEST(nn_qlinear_int8_gives_the_same_bits_on_every_tier) {
  // Rows and inputs that fill tiles of 16 and of 64 and some that do not.
  for (const auto& [outputs, inputs] :
       {std::pair{83, 75}, std::pair{160, 256}, std::pair{16, 60}}) {
    const Matrix matrix(WeightFormat::kInt8, outputs, inputs);
    for (const int rows : {9, 16, 17, 32, 49, 64, 70}) {
      const std::vector<float> x = Numbers(static_cast<size_t>(rows * inputs), 2, 3.0f);
      CapTier(CpuTier::kBaseline);
      const std::vector<float> plain = Forward(matrix, x);
      OnEveryTier([&] { CHECK(Forward(matrix, x) == plain); });
    }
  }
}

TEST(nn_qlinear_rows_do_not_depend_on_their_neighbours) {
  for (const WeightFormat format : kFormats) {
    const Matrix matrix(format, 70, 40);
    const std::vector<float> x = Numbers(200 * 40, 2, 3.0f);
    const std::vector<float> y = Forward(matrix, x, 2);
    for (const size_t row : {size_t{0}, size_t{5}, size_t{64}, size_t{199}}) {
      const std::vector<float> alone =
          Forward(matrix, {x.begin() + static_cast<int64_t>(row) * 40,
                           x.begin() + static_cast<int64_t>(row + 1) * 40});
      for (size_t n = 0; n < 70; ++n) CHECK_NEAR(alone[n], y[row * 70 + n], 1e-5);
    }
  }
}

// Compiled policies act batches in parts: a row must not know how many come with it.
TEST(nn_qlinear_steady_rows_have_the_same_bits_in_any_company) {
  for (const WeightFormat format : kFormats) {
    const Matrix matrix(format, 70, 40);
    const std::vector<float> x = Numbers(37 * 40, 2, 3.0f);
    OnEveryTier([&] {
      QLinearEngine engine(1, true);
      std::vector<float> together(37 * 70), alone(70);
      engine.Forward(matrix.Weights(), 37, x.data(), together.data());
      for (size_t row = 0; row < 37; ++row) {
        engine.Forward(matrix.Weights(), 1, x.data() + row * 40, alone.data());
        CHECK(std::equal(alone.begin(), alone.end(),
                         together.begin() + static_cast<int64_t>(row) * 70));
      }
    });
  }
}

// What is small enough for bf16 with the scales of its blocks goes to tiles from sixteen rows on.
TEST(nn_qlinear_takes_tiles_for_many_rows) {
  const bool tiles = DetectedExtension() >= CpuExtension::kAmx;
  for (const WeightFormat format :
       {WeightFormat::kBf16, WeightFormat::kFp8, WeightFormat::kNvfp4}) {
    const auto* many = &ActiveQLinearKernels(format, 16);
    const auto* few = &ActiveQLinearKernels(format, 15);
    CHECK_EQ(many != few, tiles);
#if defined(__x86_64__)
    CHECK_EQ(many == &kQFloatAmx, tiles);
#endif
  }
  for (const WeightFormat format : {WeightFormat::kInt4, WeightFormat::kMxfp8}) {
    CHECK(&ActiveQLinearKernels(format, 64) == &ActiveQLinearKernels(format, 1));
  }
}

TEST(nn_qlinear_threads_change_nothing) {
  for (const WeightFormat format : kFormats) {
    const Matrix matrix(format, 530, 257);
    for (const size_t rows : {size_t{40}, size_t{700}}) {
      const std::vector<float> x = Numbers(rows * 257, 2, 3.0f);
      const std::vector<float> one = Forward(matrix, x, 1);
      CHECK(Forward(matrix, x, 2) == one);
      CHECK(Forward(matrix, x, 3) == one);
    }
  }
}

TEST(nn_qlinear_nan_stays_in_its_row) {
  for (const WeightFormat format : kFormats) {
    const Matrix matrix(format, 20, 24);
    for (const float odd :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      std::vector<float> x = Numbers(3 * 24, 2, 3.0f);
      x[24 + 7] = odd;
      OnEveryTier([&] {
        const std::vector<float> y = Forward(matrix, x);
        for (size_t n = 0; n < 20; ++n) {
          CHECK(std::isfinite(y[n]) && std::isfinite(y[40 + n]));
          CHECK(!std::isfinite(y[20 + n]));
        }
      });
    }
  }
}

TEST(nn_qlinear_zeros_give_the_bias) {
  for (const WeightFormat format : kFormats) {
    const Matrix matrix(format, 20, 24);
    for (const float tiny : {0.0f, 1e-38f, 1e-44f}) {
      OnEveryTier([&] {
        const std::vector<float> y = Forward(matrix, std::vector<float>(24, tiny));
        for (size_t n = 0; n < 20; ++n) CHECK_NEAR(y[n], matrix.bias[n], 1e-30);
      });
    }
  }
}

TEST(nn_qlinear_refuses_what_is_not_finite_before_it_writes) {
  for (const WeightFormat format : kFormats) {
    std::vector<float> weight = Numbers(4 * 40, 1, 1.0f);
    weight.back() = std::numeric_limits<float>::infinity();
    std::vector<uint8_t> codes(4 * 80, 0x55), scales(4 * 16, 0x55);
    float tensor_scale = 7.0f;
    const Status status = QuantizeWeights({format, 4, 40}, weight.data(),
                                          {codes.data(), scales.data(), &tensor_scale});
    CHECK_EQ(std::string(status.where), std::string("weight"));
    for (const uint8_t byte : codes) CHECK_EQ(byte, uint8_t{0x55});
    CHECK_EQ(tensor_scale, 7.0f);
  }
  CHECK(!CheckWeights({WeightFormat::kInt8, 0, 4}).ok());
  CHECK(!CheckWeights({WeightFormat::kInt8, 4, kInputsMax + 1}).ok());
}

TEST(nn_qlinear_finds_nan_among_codes_and_scales) {
  Matrix fp8(WeightFormat::kFp8, 3, 10);
  CHECK(CheckCodes(fp8.shape, fp8.Arrays()).ok());
  fp8.codes[17] = 0x7F;
  CHECK_EQ(std::string(CheckCodes(fp8.shape, fp8.Arrays()).where), std::string("codes"));
  Matrix mxfp8(WeightFormat::kMxfp8, 3, 40);
  CHECK(CheckCodes(mxfp8.shape, mxfp8.Arrays()).ok());
  mxfp8.scales[5] = 0xFF;
  CHECK_EQ(std::string(CheckCodes(mxfp8.shape, mxfp8.Arrays()).where), std::string("scales"));
}

TEST(nn_qlinear_zero_and_tiny_weights_are_zero) {
  for (const WeightFormat format : kFormats) {
    for (const float tiny : {0.0f, 1e-44f}) {
      const std::vector<float> weight(2 * 40, tiny);
      std::vector<uint8_t> codes(2 * 80), scales(2 * 16);
      float tensor_scale = 7.0f;
      const WeightArrays arrays{codes.data(), scales.data(),
                                format == WeightFormat::kNvfp4 ? &tensor_scale : nullptr};
      CHECK(QuantizeWeights({format, 2, 40}, weight.data(), arrays).ok());
      std::vector<float> back(2 * 40, 1.0f);
      DequantizeWeights({format, 2, 40}, arrays, back.data());
      for (const float x : back) CHECK_NEAR(x, 0.0f, 1e-37);
    }
  }
}

TEST(nn_qlinear_does_not_allocate_once_it_is_prepared) {
  for (const WeightFormat format : kFormats) {
    const Matrix matrix(format, 530, 257);
    const std::vector<float> x = Numbers(40 * 257, 2, 3.0f);
    std::vector<float> y(40 * 530);
    QLinearEngine engine(2);
    OnEveryTier([&] {
      engine.Prepare(matrix.Weights(), 40);
      const size_t before = check::Allocations();
      for (int i = 0; i < 3; ++i) engine.Forward(matrix.Weights(), 40, x.data(), y.data());
      CHECK_EQ(check::Allocations(), before);
    });
  }
}

}  // namespace metabonk::nn
