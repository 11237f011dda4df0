// The loops of an RSSM step, compiled once per instruction set by files that define before: V, a
// vector of kLanes floats, kTileVectors for products, and kStepRows, how many rows by four vectors
// of sums stay in registers.
#include <algorithm>
#include <cstdint>

#include "nn/product.inl"
#include "nn/rssm.h"
#include "nn/rssm_sample.inl"

namespace metabonk::nn {
namespace {

constexpr int kPanelVectors = 4;
constexpr int kPanelColumns = kPanelVectors * V::kLanes;

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

void GruMix(const RssmGruSums& s) {
  const int deter = s.deter;
  alignas(64) float sums[kGates * V::kLanes];
  for (int i = 0; i < s.rows; ++i) {
    const float* from_x = s.from_x + int64_t{i} * 3 * deter;
    const float* from_h = s.from_h + int64_t{i} * 3 * deter;
    for (int j = 0; j < deter; j += V::kLanes) {
      const int count = deter - j;
      const auto part = [&](const float* from, int gate) {
        return LoadSome(from + gate * deter + j, count);
      };
      (part(from_x, 0) + part(from_h, 0)).Store(sums);
      (part(from_x, 1) + part(from_h, 1)).Store(sums + V::kLanes);
      part(from_x, 2).Store(sums + 2 * V::kLanes);
      part(from_h, 2).Store(sums + 3 * V::kLanes);
      const int64_t at = int64_t{i} * deter + j;
      Mix(sums, s.before + at, s.out + at, nullptr, deter, count);
    }
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
