// The loops of an RSSM step, compiled once per instruction set by files that define before: V, a
// vector of kLanes floats, kTileVectors for products, and kStepRows, how many rows by four vectors
// of sums stay in registers.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "nn/product.inl"
#include "nn/rssm.h"
#include "support/math.h"

namespace metabonk::nn {
namespace {

constexpr int kPanelVectors = 4;
constexpr int kPanelColumns = kPanelVectors * V::kLanes;
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

// Sums of kRows rows by kVectors vectors, in registers.
template <int kRows, int kVectors>
struct Sums {
  V v[kRows][kVectors];

  void Clear() {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) v[i][j] = Zero();
    }
  }

  // v += a b; a [kRows, depth] with rows lda apart; b kPanels panels of kWide vectors a row,
  // `panel` apart. Vector j of a panel is added to sum j, its last one to sum j + kSkip.
  template <int kPanels, int kWide, int kSkip>
  void Add(const float* a, int64_t lda, const float* b, int64_t panel, int depth) {
    constexpr int kOwn = kVectors / kPanels;  // sums of one panel
    for (int k = 0; k < depth; ++k) {
      V left[kRows];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) left[i] = V::Broadcast(a[i * lda + k]);
#pragma GCC unroll 8
      for (int j = 0; j < kPanels * kWide; ++j) {
        const int part = j % kWide;
        const int to = j / kWide * kOwn + part + (part + 1 == kWide ? kSkip : 0);
        const V right = V::Load(b + j / kWide * panel + (k * kWide + part) * V::kLanes);
#pragma GCC unroll 6
        for (int i = 0; i < kRows; ++i) v[i][to] = V::Fma(left[i], right, v[i][to]);
      }
    }
  }

  // The same from weights in bf16; b [depth / 2, vectors] words.
  template <int kPanels, int kWide, int kSkip>
  void Add(const float* a, int64_t lda, const uint32_t* b, int64_t panel, int depth) {
    constexpr int kOwn = kVectors / kPanels;
    for (int k = 0; k < depth; k += 2) {
      V first[kRows], second[kRows];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        first[i] = V::Broadcast(a[i * lda + k]);
        second[i] = k + 1 < depth ? V::Broadcast(a[i * lda + k + 1]) : Zero();
      }
#pragma GCC unroll 8
      for (int j = 0; j < kPanels * kWide; ++j) {
        const int part = j % kWide;
        const int to = j / kWide * kOwn + part + (part + 1 == kWide ? kSkip : 0);
        V one, two;
        V::LoadHalves(b + j / kWide * panel + (k / 2 * kWide + part) * V::kLanes, &one, &two);
#pragma GCC unroll 6
        for (int i = 0; i < kRows; ++i) {
          v[i][to] = V::Fma(second[i], two, V::Fma(first[i], one, v[i][to]));
        }
      }
    }
  }

  // What follows works on memory: a loop over `v` that is not unrolled would keep the sums there
  // from the first term on.
  void Store(float* to) const {
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) v[i][j].Store(to + (i * kVectors + j) * V::kLanes);
    }
  }
};

// Calls body.operator()<rows, panels>(row, panel) until all rows meet all panels, a panel's rows
// one after the other in tiles as equal as can be.
template <int kRows, typename Body>
inline void ForRows(int rows, int row, int panel, const Body& body) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      body.template operator()<kRows, 1>(row, panel);
    } else {
      ForRows<kRows - 1>(rows, row, panel, body);
    }
  }
}

template <typename Body>
inline void ForTiles(int rows, int panels, const Body& body) {
  int panel = 0;
  if (rows == 1) {
    // Enough sums under way to hide what one takes.
    for (; panel + 2 <= panels; panel += 2) body.template operator()<1, 2>(0, panel);
  }
  const int tiles = (rows + kStepRows - 1) / kStepRows;
  for (; panel < panels; ++panel) {
    for (int tile = 0; tile < tiles; ++tile) {
      const int row = rows * tile / tiles;
      ForRows<kStepRows>(rows * (tile + 1) / tiles - row, row, panel, body);
    }
  }
}

// Where a panel begins in either kind of memory, and how far apart panels are.
template <bool kHalf>
inline auto PanelOf(const Panels& w, int panel) {
  if constexpr (kHalf) {
    return w.pair_panel(panel);
  } else {
    return w.panel(panel);
  }
}

template <bool kHalf>
inline int64_t PanelSize(const Panels& w) {
  return int64_t{kHalf ? w.pair_rows() : w.depth} * w.width;
}

// kHalf: from weights in bf16, then without `more`.
template <bool kHalf>
void LayerOf(const RssmLayer& l) {
  const Panels& w = *l.weights;
  const int64_t size = PanelSize<kHalf>(w);
  ForTiles(l.rows, w.count(), [&]<int kRows, int kPanels>(int row, int panel) {
    Sums<kRows, kPanels * kPanelVectors> sums;
    sums.Clear();
    const auto* b = PanelOf<kHalf>(w, panel);
    sums.template Add<kPanels, kPanelVectors, 0>(l.x + row * l.x_stride, l.x_stride, b, size,
                                                 l.depth);
    if constexpr (!kHalf) {
      if (l.more_depth > 0) {
        sums.template Add<kPanels, kPanelVectors, 0>(l.more + row * l.more_stride, l.more_stride,
                                                     b + int64_t{l.depth} * kPanelColumns, size,
                                                     l.more_depth);
      }
    }
    alignas(64) float tile[kRows * kPanels * kPanelColumns];
    sums.Store(tile);
    const int first = panel * kPanelColumns;
    const int columns = std::min(kPanels * kPanelColumns, w.columns - first);
    for (int i = 0; i < kRows; ++i) {
      const int64_t at = row + i;
      for (int j = 0; j < columns; j += V::kLanes) {
        const int count = columns - j;
        V sum = V::Load(tile + i * kPanels * kPanelColumns + j);
        if (l.bias != nullptr) sum = sum + LoadSome(l.bias + first + j, count);
        if (l.start != nullptr)
          sum = sum + LoadSome(l.start + at * l.start_stride + first + j, count);
        if (l.last == RssmLast::kElu) sum = Elu(sum);
        if (l.last == RssmLast::kEluBack) {
          sum = sum * EluSlope(LoadSome(l.slope + at * l.slope_stride + first + j, count));
        }
        StoreSome(sum, l.y + at * l.y_stride + first + j, count);
      }
    }
  });
}

void Layer(const RssmLayer& layer) {
  if (layer.weights->half) {
    LayerOf<true>(layer);
  } else {
    LayerOf<false>(layer);
  }
}

// h' of one vector of units from its four sums.
inline void Mix(const float* sums, const float* before, float* out, float* gates, int deter,
                int count) {
  const V r = Sigmoid(V::Load(sums)), z = Sigmoid(V::Load(sums + V::kLanes));
  const V held = V::Load(sums + 3 * V::kLanes);
  const V n = Tanh(V::Fma(r, held, V::Load(sums + 2 * V::kLanes)));
  StoreSome(V::Fma(z, LoadSome(before, count) - n, n), out, count);
  if (gates == nullptr) return;
  StoreSome(r, gates, count);
  StoreSome(z, gates + deter, count);
  StoreSome(n, gates + 2 * deter, count);
  StoreSome(held, gates + 3 * deter, count);
}

template <bool kHalf>
void GruOf(const RssmGru& weights, const RssmGruRows& r) {
  const int64_t x_size = PanelSize<kHalf>(weights.x), h_size = PanelSize<kHalf>(weights.h);
  ForTiles(r.rows, weights.x.count(), [&]<int kRows, int kPanels>(int row, int panel) {
    constexpr int kVectors = kPanels * kGates;
    Sums<kRows, kVectors> sums;
    const float* bias = weights.bias.data() + panel * kGates * V::kLanes;
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) sums.v[i][j] = V::Load(bias + j * V::kLanes);
    }
    sums.template Add<kPanels, 3, 0>(r.x + int64_t{row} * r.hidden, r.hidden,
                                     PanelOf<kHalf>(weights.x, panel), x_size, r.hidden);
    sums.template Add<kPanels, 3, 1>(r.before + int64_t{row} * r.deter, r.deter,
                                     PanelOf<kHalf>(weights.h, panel), h_size, r.deter);
    alignas(64) float tile[kRows * kVectors * V::kLanes];
    sums.Store(tile);
    for (int i = 0; i < kRows; ++i) {
      for (int p = 0; p < kPanels; ++p) {
        const int64_t unit = int64_t{panel + p} * V::kLanes;
        const int64_t at = int64_t{row + i} * r.deter + unit;
        float* gates =
            r.gates == nullptr ? nullptr : r.gates + int64_t{row + i} * kGates * r.deter + unit;
        Mix(tile + (i * kPanels + p) * kGates * V::kLanes, r.before + at, r.out + at, gates,
            r.deter, r.deter - static_cast<int>(unit));
      }
    }
  });
}

void Gru(const RssmGru& weights, const RssmGruRows& rows) {
  if (weights.x.half) {
    GruOf<true>(weights, rows);
  } else {
    GruOf<false>(weights, rows);
  }
}

void GruBack(const RssmGruBack& b) {
  const int deter = b.deter;
  const V one = V::Broadcast(1.0f);
  for (int i = 0; i < b.rows; ++i) {
    const float* gates = b.gates + int64_t{i} * kGates * deter;
    const float* before = b.before + int64_t{i} * deter;
    float* d_out = b.d_out + int64_t{i} * deter;
    float* to = b.d_gates + i * b.d_gates_stride;
    for (int j = 0; j < deter; j += V::kLanes) {
      const int count = deter - j;
      const V r = LoadSome(gates + j, count), z = LoadSome(gates + deter + j, count);
      const V n = LoadSome(gates + 2 * deter + j, count);
      const V held = LoadSome(gates + 3 * deter + j, count);
      const V d = LoadSome(d_out + j, count), kept = d * z;
      const V d_n = (d - kept) * V::FmaNegated(n, n, one);
      StoreSome(d_n * held * r * (one - r), to + j, count);
      StoreSome(kept * (one - z) * (LoadSome(before + j, count) - n), to + deter + j, count);
      StoreSome(d_n, to + 2 * deter + j, count);
      StoreSome(d_n * r, to + 3 * deter + j, count);
      StoreSome(kept, d_out + j, count);
    }
  }
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

void AddRow(const float* row, float scale, int count, float* y) {
  const V by = V::Broadcast(scale);
  for (int j = 0; j < count; j += V::kLanes) {
    const int some = count - j;
    StoreSome(V::Fma(by, LoadSome(row + j, some), LoadSome(y + j, some)), y + j, some);
  }
}

void EluAll(float* y, int count) {
  for (int j = 0; j < count; j += V::kLanes) {
    StoreSome(Elu(LoadSome(y + j, count - j)), y + j, count - j);
  }
}

}  // namespace
}  // namespace metabonk::nn
