// The loops of a CfC step, compiled once per instruction set by files that define before: V, a
// vector of kLanes floats, kTileVectors for products, and kStepRows, how many rows by four vectors
// of sums stay in registers.
#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "nn/cfc.h"
#include "nn/product.inl"

namespace metabonk::nn {
namespace {

constexpr int kPanelVectors = 4;
constexpr int kPanelColumns = kPanelVectors * V::kLanes;
static_assert(kPanelVectors == kCfcHeads);

constexpr float kLecunScale = 1.7159f;
constexpr float kLecunSlope = 0.666f;
constexpr float kLog2E = 1.442695040888963f;

// The sums of a few rows and one or two panels.
struct SumTile {
  alignas(64) float row[kStepRows][2 * kPanelColumns];
};

// Elements of a panel in one of its rows: numbers, or words of two in bf16.
template <typename Element>
constexpr int kRowOf = kPanelColumns;
template <>
constexpr int kRowOf<uint32_t> = kPanelColumns / 2;

// What a set of weights is made of.
template <typename Weights>
using Element = std::remove_cvref_t<decltype(*std::declval<Weights>().in.panel(0))>;

// Words take a register more to be parted.
template <typename Weights>
constexpr int kMostRows =
    std::is_same_v<Element<Weights>, float> ? kStepRows : std::max(1, kStepRows - 1);

// Two neighbouring vectors of a panel.
inline void LoadTwo(const float* from, V* to) {
  to[0] = V::Load(from);
  to[1] = V::Load(from + V::kLanes);
}
inline void LoadTwo(const uint32_t* from, V* to) { V::LoadHalves(from, &to[0], &to[1]); }

// kRows rows times kPanels neighbouring panels. A single row takes two panels at a time, so that
// enough sums are under way to hide what one takes.
template <int kRows, int kPanels>
struct Sums {
  static constexpr int kVectors = kPanels * kPanelVectors;
  V v[kRows][kVectors];

  void Start(const float* bias) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      const V start = bias == nullptr ? V::Broadcast(0.0f) : V::Load(bias + j * V::kLanes);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) v[i][j] = start;
    }
  }

  // v += a b; a [kRows, depth] with rows lda apart, b the first of the panels, which are panel
  // apart.
  template <typename Element>
  void Add(const float* a, int64_t lda, const Element* b, int64_t panel, int depth) {
    for (int k = 0; k < depth; ++k, b += kRowOf<Element>) {
      V left[kRows];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) left[i] = V::Broadcast(a[i * lda + k]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; j += 2) {
        V right[2];
        LoadTwo(b + j / kPanelVectors * panel + j % kPanelVectors * kRowOf<Element> / kPanelVectors,
                right);
#pragma GCC unroll 2
        for (int n = 0; n < 2; ++n) {
#pragma GCC unroll 6
          for (int i = 0; i < kRows; ++i) v[i][j + n] = V::Fma(left[i], right[n], v[i][j + n]);
        }
      }
    }
  }

  // What follows works on memory: a loop over `v` that is not unrolled would keep the sums there
  // from the first term on.
  void Store(SumTile* tile) const {
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) v[i][j].Store(tile->row[i] + j * V::kLanes);
    }
  }
};

// Calls body.operator()<rows, panels>(row, panel) until all rows meet all panels, a panel's rows
// one after the other.
template <int kRows, typename Body>
inline void ForRest(int rows, int row, int panel, const Body& body) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      body.template operator()<kRows, 1>(row, panel);
    } else {
      ForRest<kRows - 1>(rows, row, panel, body);
    }
  }
}

// kMost: rows whose sums stay in registers.
template <int kMost = kStepRows, typename Body>
inline void ForTiles(int rows, int panels, const Body& body) {
  int panel = 0;
  if (rows == 1) {
    for (; panel + 2 <= panels; panel += 2) body.template operator()<1, 2>(0, panel);
  }
  for (; panel < panels; ++panel) {
    int row = 0;
    for (; row + kMost <= rows; row += kMost) {
      body.template operator()<kMost, 1>(row, panel);
    }
    ForRest<kMost - 1>(rows - row, row, panel, body);
  }
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
  // 2^y - 1, accurate near 0 too.
  V MinusOne() const { return V::Fma(scale, fraction, scale - V::Broadcast(1.0f)); }
};

inline V Clamp(V x, float most) {  // NaN stays NaN
  return V::Max(V::Broadcast(-most), V::Min(V::Broadcast(most), x));
}

// e of tanh x = e / (e + 2), e = exp(2 x) - 1. Beyond |x| = 9.01 tanh is 1 in float32.
inline V TanhPart(V x, float slope) {
  return Power(Clamp(x * V::Broadcast(2.0f * kLog2E * slope), 26.0f)).MinusOne();
}

inline V LecunTanh(V x) {
  const V e = TanhPart(x, kLecunSlope);
  return V::Broadcast(kLecunScale) * e / (e + V::Broadcast(2.0f));
}

inline void StoreSome(V v, float* to, int count) {
  if (count >= V::kLanes) {
    v.Store(to);
  } else if (count > 0) {
    v.StoreFirst(to, count);
  }
}

inline V LoadSome(const float* from, int count) {
  if (count >= V::kLanes) return V::Load(from);
  return count > 0 ? V::LoadFirst(from, count) : V::Broadcast(0.0f);
}

template <typename Weights>
void Backbone(const Weights& weights, const CfcRows& r) {
  const auto& w = weights.in;
  constexpr int kRow = kRowOf<Element<Weights>>;
  const int64_t size = int64_t{w.depth} * kRow;
  const int inputs = r.shape.inputs, hidden = r.shape.hidden;
  ForTiles<kMostRows<Weights>>(r.rows, w.count(), [&]<int kRows, int kPanels>(int row, int panel) {
    Sums<kRows, kPanels> sums;
    sums.Start(weights.in_bias.data() + panel * kPanelColumns);
    const auto* b = w.panel(panel);
    sums.Add(r.x + int64_t{row} * inputs, inputs, b, size, inputs);
    sums.Add(r.before + int64_t{row} * hidden, hidden, b + int64_t{inputs} * kRow, size, hidden);
    SumTile tile;
    sums.Store(&tile);
    const int first = panel * kPanelColumns;
    const int columns = std::min(kPanels * kPanelColumns, r.shape.backbone - first);
    for (int i = 0; i < kRows; ++i) {
      float* z = r.z + (row + i) * r.z_stride + first;
      for (int j = 0; j < columns; j += V::kLanes) {
        StoreSome(LecunTanh(V::Load(tile.row[i] + j)), z + j, columns - j);
      }
    }
  });
}

// h' of one vector of units from their four sums, with one division for all three functions:
// tanh f = e / (e + 2), t = 1 / (1 + q), q = exp(-(a dt + s)). The products stay below 2^96.
inline void Mix(const float* sums, V dt, float* out, float* heads, int hidden, int count) {
  const V one = V::Broadcast(1.0f), two = V::Broadcast(2.0f);
  const V e1 = TanhPart(V::Load(sums), 1.0f);
  const V e2 = TanhPart(V::Load(sums + V::kLanes), 1.0f);
  const V rate = V::Load(sums + 2 * V::kLanes);
  const V gate = V::Fma(rate, dt, V::Load(sums + 3 * V::kLanes));
  const V q = Power(Clamp(gate * V::Broadcast(-kLog2E), 43.0f)).Value();
  const V d1 = e1 + two, d2 = e2 + two, d3 = one + q;
  const V d12 = d1 * d2;
  const V over = one / (d12 * d3);
  StoreSome(V::Fma(e1 * d2, q, e2 * d1) * over, out, count);
  if (heads == nullptr) return;
  StoreSome(e1 * (d2 * d3 * over), heads, count);
  StoreSome(e2 * (d1 * d3 * over), heads + hidden, count);
  StoreSome(rate, heads + 2 * hidden, count);
  StoreSome(d12 * over, heads + 3 * hidden, count);
}

template <typename Weights>
void Heads(const Weights& weights, const CfcRows& r) {
  const auto& w = weights.heads;
  const int64_t size = int64_t{w.depth} * kRowOf<Element<Weights>>;
  const int hidden = r.shape.hidden;
  ForTiles<kMostRows<Weights>>(r.rows, w.count(), [&]<int kRows, int kPanels>(int row, int panel) {
    Sums<kRows, kPanels> sums;
    sums.Start(weights.heads_bias.data() + panel * kPanelColumns);
    sums.Add(r.z + row * r.z_stride, r.z_stride, w.panel(panel), size, w.depth);
    SumTile tile;
    sums.Store(&tile);
    for (int i = 0; i < kRows; ++i) {
      const int64_t at = row + i;
      const V dt = V::Broadcast(r.dt == nullptr ? 1.0f : r.dt[at]);
      for (int p = 0; p < kPanels; ++p) {
        const int unit = (panel + p) * V::kLanes;
        float* heads = r.heads == nullptr ? nullptr : r.heads + at * kCfcHeads * hidden + unit;
        Mix(tile.row[i] + p * kPanelColumns, dt, r.out + at * hidden + unit, heads, hidden,
            hidden - unit);
      }
    }
  });
}

template <typename Weights>
void Step(const Weights& weights, const CfcRows& rows) {
  Backbone(weights, rows);
  Heads(weights, rows);
}

inline float Total(V v) {
  float lanes[V::kLanes];
  v.Store(lanes);
  float sum = 0.0f;
  for (const float lane : lanes) sum += lane;
  return sum;
}

// carry -> d_heads, d_dt.
void Gates(const CfcRowsBack& r) {
  const int hidden = r.shape.hidden;
  const V one = V::Broadcast(1.0f);
  for (int i = 0; i < r.rows; ++i) {
    const float* heads = r.heads + int64_t{i} * kCfcHeads * hidden;
    const float* d_out = r.d_out + int64_t{i} * hidden;
    const float* carry = r.carry + int64_t{i} * hidden;
    float* to = r.d_heads + i * r.d_heads_stride;
    const V dt = V::Broadcast(r.dt == nullptr ? 1.0f : r.dt[i]);
    V d_dt = V::Broadcast(0.0f);
    for (int j = 0; j < hidden; j += V::kLanes) {
      const int count = hidden - j;
      const V g = LoadSome(d_out + j, count) + LoadSome(carry + j, count);
      const V f1 = LoadSome(heads + j, count), f2 = LoadSome(heads + hidden + j, count);
      const V t = LoadSome(heads + 3 * hidden + j, count);
      const V later = g * t;
      const V d_s = later * (one - t) * (f2 - f1);
      StoreSome((g - later) * V::FmaNegated(f1, f1, one), to + j, count);
      StoreSome(later * V::FmaNegated(f2, f2, one), to + hidden + j, count);
      StoreSome(d_s * dt, to + 2 * hidden + j, count);
      StoreSome(d_s, to + 3 * hidden + j, count);
      if (r.d_dt != nullptr) {
        d_dt = V::Fma(d_s, LoadSome(heads + 2 * hidden + j, count), d_dt);
      }
    }
    if (r.d_dt != nullptr) r.d_dt[i] = Total(d_dt);
  }
}

// c = a b for a [rows, depth of b], then `last(sum, row, column)` on every vector of it.
template <typename Last>
void Through(const CfcPanels& b, int rows, const float* a, int64_t lda, float* c, int64_t ldc,
             const Last& last) {
  const int64_t size = int64_t{b.depth} * kPanelColumns;
  ForTiles(rows, b.count(), [&]<int kRows, int kPanels>(int row, int panel) {
    Sums<kRows, kPanels> sums;
    sums.Start(nullptr);
    sums.Add(a + row * lda, lda, b.panel(panel), size, b.depth);
    SumTile tile;
    sums.Store(&tile);
    const int first = panel * kPanelColumns;
    const int columns = std::min(kPanels * kPanelColumns, b.columns - first);
    for (int i = 0; i < kRows; ++i) {
      float* to = c + (row + i) * ldc + first;
      for (int j = 0; j < columns; j += V::kLanes) {
        const V sum = last(V::Load(tile.row[i] + j), row + i, first + j, columns - j);
        StoreSome(sum, to + j, columns - j);
      }
    }
  });
}

void StepBack(const CfcBackwardWeights& weights, const CfcRowsBack& r) {
  const int hidden = r.shape.hidden, backbone = r.shape.backbone;
  Gates(r);
  const V top = V::Broadcast(kLecunSlope * kLecunScale);
  const V bend = V::Broadcast(kLecunSlope / kLecunScale);
  Through(weights.heads, r.rows, r.d_heads, r.d_heads_stride, r.d_z, r.d_z_stride,
          [&](V sum, int row, int column, int count) {
            const V z = LoadSome(r.z + int64_t{row} * backbone + column, count);
            return sum * V::FmaNegated(z * bend, z, top);
          });
  if (r.d_x != nullptr) {
    Through(weights.x, r.rows, r.d_z, r.d_z_stride, r.d_x, r.shape.inputs,
            [](V sum, int, int, int) { return sum; });
  }
  Through(weights.h, r.rows, r.d_z, r.d_z_stride, r.carry, hidden,
          [](V sum, int, int, int) { return sum; });
  for (int i = 0; i < r.rows; ++i) {
    float* carry = r.carry + int64_t{i} * hidden;
    if (r.d_keep != nullptr) {
      V sum = V::Broadcast(0.0f);
      for (int j = 0; j < hidden; j += V::kLanes) {
        const V h = LoadSome(r.h + int64_t{i} * hidden + j, hidden - j);
        sum = V::Fma(h, LoadSome(carry + j, hidden - j), sum);
      }
      r.d_keep[i] = Total(sum);
    }
    if (r.keep == nullptr) continue;
    for (int j = 0; j < hidden; ++j) carry[j] *= r.keep[i];
  }
}

}  // namespace
}  // namespace metabonk::nn
