// Dense layers against the formula in double precision: every tier, odd sizes, threads.
#include "nn/dense.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

std::vector<float> Numbers(size_t count, uint32_t seed, float scale) {
  std::vector<float> numbers(count);
  for (float& x : numbers) {
    seed = seed * 1664525u + 1013904223u;
    x = (static_cast<float>(seed >> 8) / 16777216.0f - 0.5f) * scale;
  }
  return numbers;
}

std::vector<CpuTier> Tiers() {
  std::vector<CpuTier> tiers;
  for (const CpuTier tier : {CpuTier::kAvx2, CpuTier::kAvx512}) {
    if (tier <= DetectedTier()) tiers.push_back(tier);
  }
  return tiers;
}

struct Layer {
  int rows, outputs;
  std::vector<int> widths;
  std::vector<std::vector<float>> x, weight;
  std::vector<float> bias, dy;

  Layer(int row_count, int output_count, std::vector<int> input_widths)
      : rows(row_count), outputs(output_count), widths(std::move(input_widths)) {
    const auto out = static_cast<size_t>(outputs);
    for (size_t k = 0; k < widths.size(); ++k) {
      const auto width = static_cast<size_t>(widths[k]);
      const auto seed = static_cast<uint32_t>(k);
      x.push_back(Numbers(static_cast<size_t>(rows) * width, 1 + seed, 2.0f));
      weight.push_back(
          Numbers(out * width, 50 + seed, 2.0f / std::sqrt(static_cast<float>(width))));
    }
    bias = Numbers(out, 7, 1.0f);
    dy = Numbers(static_cast<size_t>(rows) * out, 9, 1.0f);
  }

  std::vector<DenseInput> Inputs() const {
    std::vector<DenseInput> inputs;
    for (size_t k = 0; k < widths.size(); ++k) {
      inputs.push_back({x[k].data(), weight[k].data(), widths[k]});
    }
    return inputs;
  }
};

struct Result {
  std::vector<float> y, d_bias;
  std::vector<std::vector<float>> d_x, d_weight;
};

Result Run(const Layer& layer, int threads) {
  DenseEngine engine(threads);
  Result result;
  result.y.resize(layer.dy.size());
  result.d_bias.resize(layer.bias.size());
  std::vector<DenseGradient> gradients;
  for (size_t k = 0; k < layer.widths.size(); ++k) {
    result.d_x.emplace_back(layer.x[k].size());
    result.d_weight.emplace_back(layer.weight[k].size());
  }
  for (size_t k = 0; k < layer.widths.size(); ++k) {
    gradients.push_back({result.d_x[k].data(), result.d_weight[k].data()});
  }
  const std::vector<DenseInput> inputs = layer.Inputs();
  engine.Forward(layer.rows, layer.outputs, layer.bias.data(), inputs, result.y.data());
  engine.Backward(layer.rows, layer.outputs, result.y.data(), layer.dy.data(), inputs,
                  result.d_bias.data(), gradients);
  return result;
}

void Compare(const Layer& layer, const Result& found) {
  const int n = layer.outputs;
  std::vector<double> g(layer.dy.size());
  std::vector<double> d_bias(layer.bias.size(), 0.0);
  for (int i = 0; i < layer.rows; ++i) {
    for (int j = 0; j < n; ++j) {
      double sum = layer.bias[static_cast<size_t>(j)];
      for (size_t k = 0; k < layer.widths.size(); ++k) {
        const int width = layer.widths[k];
        for (int c = 0; c < width; ++c) {
          sum += static_cast<double>(layer.x[k][static_cast<size_t>(i * width + c)]) *
                 static_cast<double>(layer.weight[k][static_cast<size_t>(j * width + c)]);
        }
      }
      const auto at = static_cast<size_t>(i * n + j);
      CHECK_NEAR(found.y[at], std::tanh(sum), 1e-6);
      const double y = found.y[at];
      g[at] = static_cast<double>(layer.dy[at]) * (1.0 - y * y);
      d_bias[static_cast<size_t>(j)] += g[at];
    }
  }
  const double tolerance = 1e-6 * layer.rows + 1e-5;
  for (size_t j = 0; j < d_bias.size(); ++j) CHECK_NEAR(found.d_bias[j], d_bias[j], tolerance);
  for (size_t k = 0; k < layer.widths.size(); ++k) {
    const int width = layer.widths[k];
    std::vector<double> d_weight(layer.weight[k].size(), 0.0);
    for (int i = 0; i < layer.rows; ++i) {
      for (int c = 0; c < width; ++c) {
        double sum = 0.0;
        for (int j = 0; j < n; ++j) {
          const double part = g[static_cast<size_t>(i * n + j)];
          const auto w = static_cast<size_t>(j * width + c);
          sum += part * static_cast<double>(layer.weight[k][w]);
          d_weight[w] += part * static_cast<double>(layer.x[k][static_cast<size_t>(i * width + c)]);
        }
        CHECK_NEAR(found.d_x[k][static_cast<size_t>(i * width + c)], sum, 1e-5);
      }
    }
    for (size_t w = 0; w < d_weight.size(); ++w) {
      CHECK_NEAR(found.d_weight[k][w], d_weight[w], tolerance);
    }
  }
}

}  // namespace

TEST(nn_dense_follows_the_formula_on_every_tier) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const int rows : {1, 5, 6, 95, 97, 200}) {
      for (const int outputs : {1, 2, 15, 16, 17, 64, 67})
        Compare({rows, outputs, {4}}, Run({rows, outputs, {4}}, 1));
    }
    for (const std::vector<int>& widths :
         {std::vector<int>{1}, {31}, {32}, {64}, {100}, {3, 40}, {1, 2, 33}}) {
      Compare({130, 37, widths}, Run({130, 37, widths}, 1));
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_dense_on_threads_is_the_same_layer) {
  if (Tiers().empty()) return;
  const Layer layer(1000, 48, {7, 64});
  for (const int threads : {2, 3}) Compare(layer, Run(layer, threads));
}

TEST(nn_dense_gives_the_same_bits_again) {
  if (Tiers().empty()) return;
  const Layer layer(777, 33, {5, 64});
  for (const int threads : {1, 2}) {
    const Result first = Run(layer, threads);
    const Result second = Run(layer, threads);
    CHECK(first.y == second.y);
    CHECK(first.d_bias == second.d_bias);
    CHECK(first.d_weight == second.d_weight);
    CHECK(first.d_x == second.d_x);
  }
}

TEST(nn_dense_rows_do_not_depend_on_their_neighbours) {
  if (Tiers().empty()) return;
  const Layer many(400, 20, {9});
  Layer one(1, 20, {9});
  const Result all = Run(many, 2);
  for (const int row : {0, 95, 96, 399}) {
    one.x[0].assign(many.x[0].begin() + row * 9, many.x[0].begin() + (row + 1) * 9);
    one.weight = many.weight;
    one.bias = many.bias;
    const Result alone = Run(one, 1);
    for (int j = 0; j < 20; ++j) {
      CHECK_EQ(alone.y[static_cast<size_t>(j)], all.y[static_cast<size_t>(row * 20 + j)]);
    }
  }
}

TEST(nn_dense_tanh_is_accurate_relatively) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    std::vector<float> x;
    for (float size = 1e-30f; size < 100.0f; size *= 1.01f) {
      x.push_back(size);
      x.push_back(-size);
    }
    std::vector<float> y = x;
    ActiveDenseKernels()->tanh(y.data(), static_cast<int64_t>(y.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::tanh(static_cast<double>(x[i]));
      CHECK(std::abs(y[i] - exact) <= 4e-7 * std::abs(exact));
    }
    std::vector<float> odd = {0.0f, -0.0f, std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()};
    ActiveDenseKernels()->tanh(odd.data(), static_cast<int64_t>(odd.size()));
    CHECK_EQ(odd[0], 0.0f);
    CHECK(std::signbit(odd[1]));
    CHECK_EQ(odd[2], 1.0f);
    CHECK_EQ(odd[3], -1.0f);
    CHECK(std::isnan(odd[4]));
  }
  CapTier(DetectedTier());
}

TEST(nn_dense_does_not_allocate_once_it_has_seen_a_layer) {
  if (Tiers().empty()) return;
  const Layer layer(600, 64, {64});
  const std::vector<DenseInput> inputs = layer.Inputs();
  std::vector<float> y(layer.dy.size()), d_bias(64), d_x(600 * 64), d_weight(64 * 64);
  const std::vector<DenseGradient> gradients = {{d_x.data(), d_weight.data()}};
  DenseEngine engine(2);
  const auto both = [&] {
    engine.Forward(600, 64, layer.bias.data(), inputs, y.data());
    engine.Backward(600, 64, y.data(), layer.dy.data(), inputs, d_bias.data(), gradients);
  };
  both();
  const size_t before = check::Allocations();
  for (int i = 0; i < 100; ++i) both();
  CHECK_EQ(check::Allocations(), before);
}

}  // namespace metabonk::nn
