// The elementary functions of an RSSM's loops, and its distributions and their samples, compiled
// once per instruction set by rssm.inl. Knows V; no weights and no layers.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "nn/rssm.h"
#include "support/math.h"

namespace metabonk::nn {
namespace {

constexpr float kLog2E = 1.442695040888963f;

inline V Zero() { return V::Broadcast(0.0f); }

inline void StoreSome(V v, float* to, int count) {
  if (count >= V::kLanes) {
    v.Store(to);
  } else if (count > 0) {
    v.StoreFirst(to, count);
  }
}

inline V LoadSome(const float* from, int count) {
  if (count >= V::kLanes) return V::Load(from);
  return count > 0 ? V::LoadFirst(from, count) : Zero();
}

// 2^y as scale (1 + fraction), y in [-126, 126]: n + f = y, |f| <= 1/2, and 2^f - 1 as a polynomial
// without constant term (interpolated at Chebyshev's nodes, relative error 3e-10).
struct Power {
  V scale, fraction;

  explicit Power(V y) {
    const V n = V::Round(y);
    const V f = y - n;
    V p = V::Broadcast(1.5297323732e-05f);
    p = V::Fma(p, f, V::Broadcast(1.5461444703e-04f));
    p = V::Fma(p, f, V::Broadcast(1.3333502386e-03f));
    p = V::Fma(p, f, V::Broadcast(9.6180566785e-03f));
    p = V::Fma(p, f, V::Broadcast(5.5504108839e-02f));
    p = V::Fma(p, f, V::Broadcast(2.4022650922e-01f));
    p = V::Fma(p, f, V::Broadcast(6.9314718056e-01f));
    scale = V::PowerOfTwo(n);
    fraction = p * f;
  }
  V Value() const { return V::Fma(scale, fraction, scale); }
  V MinusOne() const { return V::Fma(scale, fraction, scale - V::Broadcast(1.0f)); }
};

inline V Clamp(V x, float most) {  // NaN stays NaN
  return V::Max(V::Broadcast(-most), V::Min(V::Broadcast(most), x));
}

// exp x for x at most 0; 2^-126 where it would be less.
inline V ExpBelow(V x) {
  return Power(V::Max(V::Broadcast(-126.0f), x * V::Broadcast(kLog2E))).Value();
}

inline V Sigmoid(V x) {
  const V one = V::Broadcast(1.0f);
  return one / (one + Power(Clamp(x * V::Broadcast(-kLog2E), 126.0f)).Value());
}

inline V Tanh(V x) {  // beyond |x| = 9.01 tanh is 1 in float32
  const V e = Power(Clamp(x * V::Broadcast(2.0f * kLog2E), 26.0f)).MinusOne();
  return e / (e + V::Broadcast(2.0f));
}

inline V Elu(V x) {
  const V below = V::Min(Zero(), x) * V::Broadcast(kLog2E);
  return V::Max(Zero(), x) + Power(V::Max(V::Broadcast(-126.0f), below)).MinusOne();
}

// Of elu where it returned y.
inline V EluSlope(V y) { return V::Min(Zero(), y) + V::Broadcast(1.0f); }

inline float Total(V v) {
  float lanes[V::kLanes];
  v.Store(lanes);
  float sum = 0.0f;
  for (const float lane : lanes) sum += lane;
  return sum;
}

// logits [classes] -> mixed probabilities and, in place, their logarithms.
void Categorical(float* logits, int classes, float mix, float* share) {
  V most = V::Broadcast(logits[0]);
  int j = 0;
  for (; j + V::kLanes <= classes; j += V::kLanes) most = V::Max(V::Load(logits + j), most);
  float lanes[V::kLanes];
  most.Store(lanes);
  float largest = lanes[0];
  for (const float lane : lanes) largest = std::max(largest, lane);
  for (; j < classes; ++j) largest = std::max(largest, logits[j]);
  V sum = Zero();
  for (j = 0; j < classes; j += V::kLanes) {
    const int count = classes - j;
    const V e = ExpBelow(LoadSome(logits + j, count) - V::Broadcast(largest));
    StoreSome(e, share + j, count);
    sum = sum + LoadSome(share + j, count);
  }
  const float total = Total(sum);
  if (mix <= 0.0f) {
    const float start = largest + Log(total);
    for (j = 0; j < classes; ++j) logits[j] -= start;
    for (j = 0; j < classes; ++j) share[j] /= total;
    return;
  }
  const float scale = (1.0f - mix) / total, rest = mix / static_cast<float>(classes);
  for (j = 0; j < classes; ++j) share[j] = share[j] * scale + rest;
  for (j = 0; j < classes; ++j) logits[j] = Log(share[j]);
}

// The class at which the sum of the probabilities passes `uniform`.
int ClassAt(const float* share, int classes, float uniform) {
  float total = 0.0f;
  for (int j = 0; j < classes; ++j) total += share[j];
  // A little below the total, so that rounding cannot pass the last class.
  const float point = uniform * (1.0f - 0x1p-20f) * total;
  float sum = 0.0f;
  int chosen = 0;
  for (int j = 0; j + 1 < classes; ++j) {
    sum += share[j];
    chosen += sum <= point;
  }
  return chosen;
}

void Sample(const RssmSample& s) {
  const int groups = s.shape.groups, classes = s.shape.classes;
  alignas(64) float share[kClassesMax];
  for (int64_t i = 0; i < s.rows; ++i) {
    float* out = s.parameters + i * s.shape.parameters();
    if (classes == 0) {
      float* deviation = out + groups;
      for (int g = 0; g < groups; ++g) {
        const float x = deviation[g];
        float e;
        ExpBelow(V::Broadcast(-std::fabs(x))).StoreFirst(&e, 1);
        deviation[g] = (x > 0.0f ? x : 0.0f) + Log(1.0f + e) + s.shape.floor;
      }
      if (s.noise == nullptr) continue;
      const float* noise = s.noise + i * groups;
      float* stoch = s.stoch + i * groups;
      for (int g = 0; g < groups; ++g) stoch[g] = out[g] + deviation[g] * noise[g];
      continue;
    }
    for (int g = 0; g < groups; ++g) {
      Categorical(out + g * classes, classes, s.shape.mix, share);
      if (s.noise == nullptr) continue;
      const int chosen = ClassAt(share, classes, s.noise[i * groups + g]);
      s.index[i * groups + g] = chosen;
      float* stoch = s.stoch + (i * groups + g) * classes;
      std::fill_n(stoch, classes, 0.0f);
      stoch[chosen] = 1.0f;
    }
  }
}

// d z = p (d - sum p d) with d the gradient of p, p = softmax; logarithms of the mixed ones given.
void CategoricalBack(const float* log_share, const float* d_log, const float* d_share, int classes,
                     float mix, float* d_out) {
  const V rest = V::Broadcast(mix / static_cast<float>(classes));
  const V pure = V::Broadcast(1.0f / (1.0f - mix)), scale = V::Broadcast(1.0f - mix);
  V sum = Zero();
  for (int j = 0; j < classes; j += V::kLanes) {
    const int count = classes - j;
    const V m = ExpBelow(LoadSome(log_share + j, count));
    const V p = V::Max(Zero(), (m - rest) * pure);
    V d = d_share == nullptr ? Zero() : p * scale * LoadSome(d_share + j, count);
    if (d_log != nullptr) d = d + LoadSome(d_log + j, count) * (p * scale / m);
    StoreSome(d, d_out + j, count);
    sum = sum + LoadSome(d_out + j, count);
  }
  const V total = V::Broadcast(Total(sum));
  for (int j = 0; j < classes; j += V::kLanes) {
    const int count = classes - j;
    const V p = V::Max(Zero(), (ExpBelow(LoadSome(log_share + j, count)) - rest) * pure);
    StoreSome(V::FmaNegated(p, total, LoadSome(d_out + j, count)), d_out + j, count);
  }
}

void SampleBack(const RssmSampleBack& s) {
  const int groups = s.shape.groups, classes = s.shape.classes;
  const int64_t width = s.shape.parameters(), stoch = s.shape.stoch();
  for (int64_t i = 0; i < s.rows; ++i) {
    const float* parameters = s.parameters + i * width;
    const float* d_parameters = s.d_parameters == nullptr ? nullptr : s.d_parameters + i * width;
    const float* d_stoch = s.d_stoch == nullptr ? nullptr : s.d_stoch + i * stoch;
    float* to = s.d_out + i * s.d_out_stride;
    if (classes == 0) {
      for (int g = 0; g < groups; ++g) {
        const float d_s = d_stoch == nullptr ? 0.0f : d_stoch[g];
        const float noise = d_stoch == nullptr ? 0.0f : s.noise[i * groups + g];
        const float d_mean = d_parameters == nullptr ? 0.0f : d_parameters[g];
        const float d_deviation = d_parameters == nullptr ? 0.0f : d_parameters[groups + g];
        float e;  // softplus' slope is 1 - exp(-softplus)
        ExpBelow(V::Broadcast(s.shape.floor - parameters[groups + g])).StoreFirst(&e, 1);
        to[g] = d_mean + d_s;
        to[groups + g] = (d_deviation + d_s * noise) * (1.0f - e);
      }
      continue;
    }
    for (int g = 0; g < groups; ++g) {
      const int at = g * classes;
      CategoricalBack(parameters + at, d_parameters == nullptr ? nullptr : d_parameters + at,
                      d_stoch == nullptr ? nullptr : d_stoch + at, classes, s.shape.mix, to + at);
    }
  }
}

}  // namespace
}  // namespace metabonk::nn
