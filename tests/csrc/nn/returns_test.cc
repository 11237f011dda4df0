// Returns against loops over single trajectories: every tier, the same bits, gradients by parts.
#include "nn/returns.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

constexpr int64_t kSteps = 23, kColumns = 37;
constexpr float kGamma = 0.97f, kLambda = 0.9f;

struct Batch {
  std::vector<float> reward, value, discount;
  std::vector<uint8_t> terminated, truncated, is_reset;

  Batch() {
    uint32_t seed = 5;
    const auto next = [&] {
      seed = seed * 1664525u + 1013904223u;
      return static_cast<float>(seed >> 8) / 16777216.0f;
    };
    for (int64_t i = 0; i < kSteps * kColumns; ++i) {
      reward.push_back(next() - 0.5f);
      discount.push_back(0.9f + 0.1f * next());
      terminated.push_back(next() < 0.1f ? 2 : 0);
      truncated.push_back(next() < 0.1f ? 1 : 0);
      is_reset.push_back(next() < 0.1f ? 1 : 0);
    }
    for (int64_t i = 0; i < (kSteps + 1) * kColumns; ++i) value.push_back(next() - 0.5f);
  }

  GaeBatch Gae(bool resets, bool each) const {
    return {kSteps,
            kColumns,
            reward.data(),
            value.data(),
            terminated.data(),
            truncated.data(),
            resets ? is_reset.data() : nullptr,
            each ? discount.data() : nullptr,
            kGamma,
            kLambda};
  }

  // The definition, one trajectory after the other, backwards.
  std::vector<double> Advantages(bool resets, bool each) const {
    std::vector<double> out(reward.size());
    for (int64_t n = 0; n < kColumns; ++n) {
      double after = 0.0;
      for (int64_t t = kSteps - 1; t >= 0; --t) {
        const auto i = static_cast<size_t>(t * kColumns + n);
        const double gamma = each ? discount[i] : kGamma;
        double sum = static_cast<double>(reward[i]) - static_cast<double>(value[i]);
        if (!terminated[i]) sum += gamma * static_cast<double>(value[i + kColumns]);
        if (!terminated[i] && !truncated[i]) sum += gamma * static_cast<double>(kLambda) * after;
        after = resets && is_reset[i] ? 0.0 : sum;
        out[i] = after;
      }
    }
    return out;
  }
};

std::vector<CpuTier> Tiers() {
  std::vector<CpuTier> tiers;
  tiers.reserve(static_cast<size_t>(CpuTier::kCount));
  for (int i = 0; i <= static_cast<int>(DetectedTier()); ++i) {
    tiers.push_back(static_cast<CpuTier>(i));
  }
  return tiers;
}

}  // namespace

TEST(nn_returns_advantages_follow_the_definition_with_the_same_bits_on_every_tier) {
  const Batch batch;
  for (const bool resets : {false, true}) {
    for (const bool each : {false, true}) {
      const std::vector<double> want = batch.Advantages(resets, each);
      std::vector<float> first;
      for (const CpuTier tier : Tiers()) {
        CapTier(tier);
        std::vector<float> out(want.size());
        ActiveReturnsKernels().gae(batch.Gae(resets, each), out.data());
        for (size_t i = 0; i < out.size(); ++i) CHECK_NEAR(out[i], want[i], 1e-5);
        if (first.empty()) first = out;
        CHECK(out == first);
      }
    }
  }
  CapTier(DetectedTier());
}

// The advantages are linear in rewards and values: what a gradient says of a change is the change.
TEST(nn_returns_gradients_say_what_a_change_does) {
  Batch batch;
  const GaeBatch gae = batch.Gae(true, true);
  std::vector<float> d_out(batch.reward.size());
  for (size_t i = 0; i < d_out.size(); ++i) d_out[i] = static_cast<float>(i % 7) - 3.0f;
  const auto weighed = [&](bool lambda) {
    std::vector<float> out(d_out.size());
    if (lambda) {
      ActiveReturnsKernels().lambda_returns({kSteps, kColumns, batch.reward.data(),
                                             batch.value.data(), batch.discount.data(), kLambda},
                                            out.data());
    } else {
      ActiveReturnsKernels().gae(gae, out.data());
    }
    double sum = 0.0;
    for (size_t i = 0; i < out.size(); ++i) {
      sum += static_cast<double>(out[i]) * static_cast<double>(d_out[i]);
    }
    return sum;
  };
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const bool lambda : {false, true}) {
      std::vector<float> d_reward(d_out.size()), d_value(batch.value.size()), out(d_out.size()),
          d_discount(d_out.size());
      if (lambda) {
        const LambdaBatch returns = {
            kSteps, kColumns, batch.reward.data(), batch.value.data(), batch.discount.data(),
            kLambda};
        ActiveReturnsKernels().lambda_returns(returns, out.data());
        ActiveReturnsKernels().lambda_gradient(returns, out.data(), d_out.data(), d_reward.data(),
                                               d_value.data(), d_discount.data());
      } else {
        ActiveReturnsKernels().gae_gradient(gae, d_out.data(), d_reward.data(), d_value.data());
      }
      const double before = weighed(lambda);
      for (const size_t i : {size_t{0}, size_t{40}, size_t{200}, size_t{kSteps * kColumns - 1}}) {
        for (auto [numbers, gradient] :
             {std::pair(&batch.reward, &d_reward), std::pair(&batch.value, &d_value)}) {
          const float old = (*numbers)[i];
          (*numbers)[i] = old + 0.5f;
          CHECK_NEAR(weighed(lambda) - before, 0.5 * static_cast<double>((*gradient)[i]), 2e-3);
          (*numbers)[i] = old;
        }
        if (!lambda) continue;
        const float old = batch.discount[i];
        batch.discount[i] = old + 0.01f;
        CHECK_NEAR(weighed(true) - before, 0.01 * static_cast<double>(d_discount[i]), 2e-3);
        batch.discount[i] = old;
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_returns_neither_allocate_nor_read_what_flags_switch_off) {
  Batch batch;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (size_t i = 0; i < batch.reward.size(); ++i) {
    if (batch.is_reset[i]) batch.reward[i] = nan;
  }
  std::vector<float> out(batch.reward.size());
  const std::vector<CpuTier> tiers = Tiers();
  const size_t before = check::Allocations();
  for (const CpuTier tier : tiers) {
    CapTier(tier);
    ActiveReturnsKernels().gae(batch.Gae(true, false), out.data());
    for (const float x : out) CHECK(std::isfinite(x));
  }
  CHECK_EQ(check::Allocations(), before);
  CapTier(DetectedTier());
}

}  // namespace metabonk::nn
