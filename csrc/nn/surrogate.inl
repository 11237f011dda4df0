// The loops of surrogate.h, compiled once per instruction set by the files that include this:
// sixteen samples side by side, in loops plain enough for the compiler to vectorise.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "nn/elementary.h"
#include "nn/surrogate.h"
#include "support/math.h"

namespace metabonk::nn {
namespace {

constexpr int kSide = 16;
constexpr float kForbidden = -1e9f;  // finite, so that p log p of a forbidden choice is 0
constexpr float kHalfLogTau = 0.918938533204672742f;

// Samples `first` to `first + count`; lanes beyond `count` hold zeros and weigh nothing.
class Samples {
 public:
  Samples(const SurrogateBatch& batch, const SurrogateTerms& terms) : b_(batch), t_(terms) {}

  void Take(int64_t first);
  void Weigh();
  void Write(const SurrogateGradients& out);
  void Total(const SurrogateGradients& out) const;

 private:
  int outputs() const { return b_.columns + b_.logits; }
  void Transpose();
  void Gaussians();
  void Choices();
  void Choice(int i, int start, int size);
  void Lanes(const float* values, float* lanes) const;
  void GradeColumns();
  void GradeChoices();

  const SurrogateBatch& b_;
  const SurrogateTerms& t_;
  int64_t first_ = 0;
  int count_ = 0;
  alignas(64) float u_[kSurrogateOutputs][kSide];  // parameters; then deviations, probabilities;
                                                   // then their gradients
  alignas(64) float l_[kSurrogateOutputs][kSide];  // slopes of means, log-probabilities
  alignas(64) float entropy_[kSurrogateOutputs][kSide];  // of each choice
  alignas(64) float log_prob_[kSide], disorder_[kSide];
  alignas(64) float weight_[kSide], pull_[kSide], d_value_[kSide];
  alignas(64) double sums_[kSurrogateStatistics][kSide] = {};
  alignas(64) double d_log_std_[kSurrogateOutputs] = {};
};

void Samples::Take(int64_t first) {
  first_ = first;
  count_ = static_cast<int>(std::min<int64_t>(kSide, b_.rows - first));
  Transpose();
  for (int i = 0; i < kSide; ++i) log_prob_[i] = disorder_[i] = 0.0f;
  Gaussians();
  Choices();
}

void Samples::Transpose() {
  const int width = outputs();
  if (count_ < kSide) {
    for (int o = 0; o < width; ++o) std::fill_n(u_[o], kSide, 0.0f);
  }
  for (int i = 0; i < count_; ++i) {
    const float* row = b_.parameters + (first_ + i) * width;
    for (int o = 0; o < width; ++o) u_[o][i] = row[o];
  }
  if (b_.allowed == nullptr) return;
  for (int i = 0; i < count_; ++i) {
    const uint8_t* row = b_.allowed + (first_ + i) * b_.logits;
    for (int k = 0; k < b_.logits; ++k) {
      float& logit = u_[b_.columns + k][i];
      logit = row[k] != 0 ? logit : kForbidden;
    }
  }
}

void Samples::Gaussians() {
  for (int c = 0; c < b_.columns; ++c) {
    const float half = b_.half[c], middle = b_.middle[c], log_std = b_.log_std[c];
    const float narrow = 1.0f / (half * Exp(log_std));
    const float constant = kHalfLogTau + log_std + Log(half);
    alignas(64) float taken[kSide];
    for (int i = 0; i < kSide; ++i) {
      taken[i] = i < count_ ? b_.taken[(first_ + i) * b_.columns + c] : 0.0f;
    }
    float* u = u_[c];
    float* slope = l_[c];
    if (b_.bounded[c] != 0) {
      for (int i = 0; i < kSide; ++i) u[i] = Tanh(u[i]);
      for (int i = 0; i < kSide; ++i) slope[i] = 1.0f - u[i] * u[i];
    } else {
      std::fill_n(slope, kSide, 1.0f);
    }
    for (int i = 0; i < kSide; ++i) {
      const float deviation = (taken[i] - (middle + half * u[i])) * narrow;
      u[i] = deviation;
      log_prob_[i] += -0.5f * deviation * deviation - constant;
      disorder_[i] += 0.5f + constant;
    }
  }
}

void Samples::Choices() {
  int start = b_.columns;
  for (int i = 0; i < b_.choices; ++i) {
    Choice(i, start, b_.sizes[i]);
    for (int lane = 0; lane < count_; ++lane) {
      const int64_t chosen = b_.chosen[(first_ + lane) * b_.choices + i];
      log_prob_[lane] += l_[start + chosen][lane];
    }
    start += b_.sizes[i];
  }
}

// Probabilities, log-probabilities and entropy of one choice.
void Samples::Choice(int i, int start, int size) {
  alignas(64) float high[kSide], sum[kSide], log_sum[kSide], part[kSide];
  float* __restrict entropy = entropy_[i];
  std::copy_n(u_[start], kSide, high);
  for (int k = 1; k < size; ++k) {
    const float* __restrict u = u_[start + k];
    for (int lane = 0; lane < kSide; ++lane) {
      high[lane] = u[lane] > high[lane] ? u[lane] : high[lane];
    }
  }
  std::fill_n(sum, kSide, 0.0f);
  for (int k = 0; k < size; ++k) {
    float* __restrict u = u_[start + k];
    float* __restrict l = l_[start + k];
    for (int lane = 0; lane < kSide; ++lane) {
      const float below = u[lane] - high[lane], grown = ExpBelow(below);
      l[lane] = below;
      u[lane] = grown;
      sum[lane] += grown;
    }
  }
  for (int lane = 0; lane < kSide; ++lane) {
    log_sum[lane] = Log(sum[lane]);
    part[lane] = 1.0f / sum[lane];
    entropy[lane] = 0.0f;
  }
  for (int k = 0; k < size; ++k) {
    float* __restrict u = u_[start + k];
    float* __restrict l = l_[start + k];
    for (int lane = 0; lane < kSide; ++lane) {
      const float p = u[lane] * part[lane], log_p = l[lane] - log_sum[lane];
      u[lane] = p;
      l[lane] = log_p;
      entropy[lane] -= p * log_p;
    }
  }
  for (int lane = 0; lane < kSide; ++lane) disorder_[lane] += entropy[lane];
}

// Numbers [rows] of these samples; zeros beyond them.
void Samples::Lanes(const float* values, float* lanes) const {
  std::copy_n(values + first_, count_, lanes);
  std::fill_n(lanes + count_, kSide - count_, 0.0f);
}

// What the loss of each sample is made of and how it pulls at log pi and at v. What is not a number
// is on no side of a bound, and stays what it is.
void Samples::Weigh() {
  const float low = 1.0f - t_.clip, high = 1.0f + t_.clip, share = t_.share;
  const float reach = t_.value_clip == 0.0f ? HUGE_VALF : t_.value_clip;
  const float half_coef = 0.5f * t_.value_coef;
  alignas(64) float before[kSide], gain[kSide], goal[kSide], old[kSide], value[kSide];
  alignas(64) float each[kSurrogateStatistics][kSide];
  Lanes(b_.log_prob, before);
  Lanes(b_.advantage, gain);
  Lanes(b_.returns, goal);
  Lanes(b_.old_value, old);
  Lanes(b_.value, value);
  Lanes(b_.weight, weight_);
  for (int i = count_; i < kSide; ++i) log_prob_[i] = 0.0f;
  for (int i = 0; i < kSide; ++i) {
    const float w = weight_[i] * share, log_ratio = log_prob_[i] - before[i];
    const float r = Exp(log_ratio), advantage = gain[i];
    const float raised = r < low ? low : r, clipped = raised > high ? high : raised;
    const float whole = r * advantage, part = clipped * advantage;
    const bool flat =
        (int{advantage > 0.0f} & int{r > high}) | (int{advantage < 0.0f} & int{r < low});
    weight_[i] = w;
    pull_[i] = flat ? 0.0f : -w * whole;
    each[0][i] = part < whole ? -part : -whole;
    each[2][i] = disorder_[i];
    each[3][i] = r - 1.0f - log_ratio;
    each[4][i] = std::fabs(r - 1.0f) > t_.clip ? 1.0f : 0.0f;
  }
  for (int i = 0; i < kSide; ++i) {
    const float off = value[i] - goal[i], moved = value[i] - old[i];
    const float less = moved > reach ? reach : moved, held = less < -reach ? -reach : less;
    const float other = old[i] + held - goal[i], error = off * off, bound = other * other;
    const bool larger = int{held != moved} & int{bound > error};
    d_value_[i] = weight_[i] * half_coef * (larger ? 0.0f : 2.0f * off);
    each[1][i] = 0.5f * (larger ? bound : error);
  }
  for (int s = 0; s < kSurrogateStatistics; ++s) {
    for (int i = 0; i < kSide; ++i) sums_[s][i] += static_cast<double>(weight_[i] * each[s][i]);
  }
}

void Samples::GradeColumns() {
  const float calm = -t_.entropy_coef;
  for (int c = 0; c < b_.columns; ++c) {
    float* u = u_[c];
    const float* slope = l_[c];
    const float narrow = Exp(-b_.log_std[c]);  // half cancels
    alignas(64) float spread[kSide];
    for (int i = 0; i < kSide; ++i) {
      spread[i] = pull_[i] * (u[i] * u[i] - 1.0f) + weight_[i] * calm;
      u[i] = pull_[i] * u[i] * narrow * slope[i];
    }
    for (int i = 0; i < count_; ++i) d_log_std_[c] += static_cast<double>(spread[i]);
  }
}

void Samples::GradeChoices() {
  int start = b_.columns;
  for (int i = 0; i < b_.choices; ++i) {
    const float* __restrict entropy = entropy_[i];
    for (int k = 0; k < b_.sizes[i]; ++k) {
      float* __restrict u = u_[start + k];
      const float* __restrict l = l_[start + k];
      for (int lane = 0; lane < kSide; ++lane) {
        const float sharpened = weight_[lane] * t_.entropy_coef * (l[lane] + entropy[lane]);
        u[lane] *= sharpened - pull_[lane];
      }
    }
    for (int lane = 0; lane < count_; ++lane) {
      u_[start + b_.chosen[(first_ + lane) * b_.choices + i]][lane] += pull_[lane];
    }
    start += b_.sizes[i];
  }
}

void Samples::Write(const SurrogateGradients& out) {
  GradeColumns();
  GradeChoices();
  const int width = outputs();
  for (int i = 0; i < count_; ++i) {
    float* row = out.parameters + (first_ + i) * width;
    for (int o = 0; o < width; ++o) row[o] = u_[o][i];
    out.value[first_ + i] = d_value_[i];
  }
}

void Samples::Total(const SurrogateGradients& out) const {
  for (int c = 0; c < b_.columns; ++c) out.log_std[c] = static_cast<float>(d_log_std_[c]);
  for (int s = 0; s < kSurrogateStatistics; ++s) {
    double sum = 0.0;
    for (int i = 0; i < kSide; ++i) sum += sums_[s][i];
    out.statistics[s] = static_cast<float>(sum);
  }
}

void Surrogate(const SurrogateBatch& batch, const SurrogateTerms& terms,
               const SurrogateGradients& out) {
  Samples samples(batch, terms);
  for (int64_t first = 0; first < batch.rows; first += kSide) {
    samples.Take(first);
    samples.Weigh();
    samples.Write(out);
  }
  samples.Total(out);
}

}  // namespace
}  // namespace metabonk::nn
