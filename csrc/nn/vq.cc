#include "nn/vq.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "support/cpu.h"

namespace metabonk::nn {

namespace {

// Codes that rows are taken through together: half of a small second-level cache.
constexpr int64_t kChunkFloats = 64 * 1024;
// Multiply-adds of a lookup, and numbers of a sum, that are worth waking one more thread for.
constexpr int64_t kShareWork = int64_t{1} << 22;
constexpr int64_t kShareSums = int64_t{1} << 18;

// The first of `count` things that `bad` holds for, or -1.
template <typename Bad>
int64_t First(int64_t count, const Bad& bad) {
  for (int64_t i = 0; i < count; ++i) {
    if (bad(i)) return i;
  }
  return -1;
}

float SquaredNorm(const float* code, int width) {
  double sums[4] = {};
  int d = 0;
  for (; d + 4 <= width; d += 4) {
    for (int i = 0; i < 4; ++i) {
      const double value = code[d + i];
      sums[i] += value * value;
    }
  }
  for (; d < width; ++d) sums[0] += static_cast<double>(code[d]) * static_cast<double>(code[d]);
  return static_cast<float>(sums[0] + sums[1] + (sums[2] + sums[3]));
}

// One panel of `count` codes, the rest of it 0.
void Interleave(const float* codes, int64_t count, int width, float* panel) {
  if (count == kVqPanelCodes) {
    for (int d = 0; d < width; ++d) {
      for (int k = 0; k < kVqPanelCodes; ++k) *panel++ = codes[int64_t{k} * width + d];
    }
    return;
  }
  std::fill_n(panel, int64_t{kVqPanelCodes} * width, 0.0f);
  for (int64_t k = 0; k < count; ++k) {
    for (int d = 0; d < width; ++d) panel[d * kVqPanelCodes + k] = codes[k * width + d];
  }
}

// The nearest bf16, of a number that is finite and not about to overflow.
uint16_t Rounded(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// The screen for a codebook, or null; one that was packed where there were no tiles has none.
const VqScreen* ScreenOf(const VqCoarse& coarse) {
  const VqScreen* screen = coarse.codes == nullptr ? nullptr : ActiveVqScreen();
#if defined(__x86_64__)
  if (screen == &kVqScreenAmx && coarse.pairs % kVqTilePairs != 0) return &kVqScreenBf16;
#endif
  return screen;
}

// Runs body(share, shares, thread) for every share on the pool.
template <typename Body>
void RunShares(ThreadPool& pool, int shares, const Body& body) {
  struct Job {
    const Body* body;
    int shares;
  } job{&body, shares};
  pool.Run(
      shares,
      [](void* context, int share, int thread) {
        const Job& mine = *static_cast<Job*>(context);
        (*mine.body)(share, mine.shares, thread);
      },
      &job);
}

}  // namespace

const VqKernels& ActiveVqKernels() {
#if defined(__x86_64__)
  switch (ActiveTier()) {
    case CpuTier::kBaseline:
      break;
    case CpuTier::kAvx2:
      return kVqAvx2;
    default:
      return kVqAvx512;
  }
#endif
  return kVqPortable;
}

const VqScreen* ActiveVqScreen() {
#if defined(__x86_64__)
  if (ActiveExtension() >= CpuExtension::kAmx) return &kVqScreenAmx;
  if (ActiveExtension() >= CpuExtension::kBf16) return &kVqScreenBf16;
#endif
  return nullptr;
}

int64_t VqCodebook::Pack(const float* codes, int64_t count, int width, VqMetric metric) {
  norms_.resize(static_cast<size_t>(count));
  for (int64_t k = 0; k < count; ++k) {
    const float norm = SquaredNorm(codes + k * width, width);
    if (!std::isfinite(norm)) return k;
    norms_[static_cast<size_t>(k)] = norm;
  }
  const int64_t group = int64_t{kVqPanelCodes} * kVqGroupPanels;
  const int64_t panels = (count + group - 1) / group * kVqGroupPanels;
  count_ = count;
  panels_ = panels;
  width_ = width;
  float* offset =
      exact_.Reserve(static_cast<size_t>(panels * kVqPanelCodes * (int64_t{width} + 1)));
  std::fill_n(offset, panels * kVqPanelCodes, -std::numeric_limits<float>::infinity());
  for (int64_t k = 0; k < count; ++k) {
    offset[k] = metric == VqMetric::kEuclidean ? -0.5f * norms_[static_cast<size_t>(k)] : 0.0f;
  }
  float* to = offset + panels * kVqPanelCodes;
  for (int64_t first = 0; first < panels * kVqPanelCodes; first += kVqPanelCodes) {
    const int64_t there = std::clamp<int64_t>(count - first, 0, kVqPanelCodes);
    Interleave(codes + std::min(first, count) * width, there, width, to);
    to += int64_t{kVqPanelCodes} * width;
  }
  coarse_ = {};
  if (ActiveVqScreen() != nullptr) PackCoarse();
  return -1;
}

void VqCodebook::PackCoarse() {
  const bool tiles = ActiveExtension() >= CpuExtension::kAmx;
  const int own = (width_ + 1) / 2;
  const int pairs = tiles ? (own + kVqTilePairs - 1) / kVqTilePairs * kVqTilePairs : own;
  const int64_t panel = int64_t{kVqPanelCodes} * pairs * 2;
  uint16_t* to = rounded_.Reserve(static_cast<size_t>(panels_ * panel));
  const float* offset = exact_.data();
  const float* from = offset + panels_ * kVqPanelCodes;
  double residual = 0.0;
  for (int64_t p = 0; p < panels_; ++p, to += panel) {
    double sums[kVqPanelCodes] = {};
    std::fill(to + width_ / 2 * 2 * kVqPanelCodes, to + panel, uint16_t{0});
    for (int d = 0; d < width_; ++d, from += kVqPanelCodes) {
      uint16_t* pair = to + d / 2 * 2 * kVqPanelCodes + d % 2;
      for (int k = 0; k < kVqPanelCodes; ++k) {
        const uint16_t near = Rounded(from[k]);
        const double off = from[k] - std::bit_cast<float>(static_cast<uint32_t>(near) << 16);
        pair[2 * k] = near;
        sums[k] += off * off;
      }
    }
    residual = std::max(residual, *std::max_element(sums, sums + kVqPanelCodes));
  }
  const float norm = *std::max_element(norms_.begin(), norms_.end());
  const float lowest = *std::min_element(offset, offset + count_);
  coarse_ = {rounded_.data(), pairs, std::sqrt(norm), static_cast<float>(std::sqrt(residual)),
             -lowest};
}

VqCoarse VqCodebook::coarse() const { return coarse_; }

VqPanels VqCodebook::Slice(int64_t first, int64_t count) const {
  const float* offset = exact_.data() + first * kVqPanelCodes;
  const float* codes = exact_.data() + panels_ * kVqPanelCodes + first * kVqPanelCodes * width_;
  return {codes, offset, std::min(count, panels_ - first), width_,
          static_cast<int32_t>(first * kVqPanelCodes)};
}

int VqEngine::Shares(int64_t parts) const {
  return static_cast<int>(std::clamp<int64_t>(parts, 1, pool_.threads()));
}

void VqEngine::Reserve(const VqCodebook& codebook, int64_t rows) {
  const std::lock_guard<std::mutex> lock(one_caller_);
  if (score_.size() < static_cast<size_t>(rows)) {
    score_.resize(static_cast<size_t>(rows));
    found_.resize(static_cast<size_t>(rows));
  }
  const VqScreen* screen = ScreenOf(codebook.coarse());
  if (screen == nullptr) return;
  const auto scores = static_cast<size_t>(screen->rows * codebook.panels() * kVqPanelCodes);
  const auto pairs = static_cast<size_t>(screen->rows * codebook.coarse().pairs);
  for (VqScratch& scratch : scratch_) {
    scratch.scores.Reserve(scores);
    scratch.pairs.Reserve(pairs);
  }
}

int64_t VqEngine::Lookup(const VqCodebook& codebook, const float* x, int64_t rows, int64_t* index,
                         const float* codes, float* quantized) {
  Reserve(codebook, rows);
  const std::lock_guard<std::mutex> lock(one_caller_);
  const VqKernels& kernels = ActiveVqKernels();
  const int width = codebook.width();
  const int64_t panel = int64_t{kVqPanelCodes} * width;
  const int64_t chunk =
      std::max<int64_t>(1, kChunkFloats / (panel * kVqGroupPanels)) * kVqGroupPanels;
  // Shares end where a tile of rows does.
  const int64_t tiles = (rows + kernels.rows - 1) / kernels.rows;
  const auto begin = [&](int share, int shares) {
    return std::min(rows, tiles * share / shares * kernels.rows);
  };
  const int shares = Shares(rows * codebook.panels() * panel / kShareWork);
  const VqCoarse coarse = codebook.coarse();
  const VqScreen* screen = ScreenOf(coarse);
  RunShares(pool_, shares, [&](int share, int of, int thread) {
    const int64_t first = begin(share, of), count = begin(share + 1, of) - first;
    std::fill_n(score_.data() + first, count, -std::numeric_limits<float>::infinity());
    if (screen != nullptr) {
      screen->screen(codebook.Slice(0, codebook.panels()), coarse, x + first * width, count,
                     &scratch_[static_cast<size_t>(thread)], score_.data() + first,
                     found_.data() + first);
      return;
    }
    for (int64_t at = 0; at < codebook.panels(); at += chunk) {
      kernels.search(codebook.Slice(at, chunk), x + first * width, count, score_.data() + first,
                     found_.data() + first);
    }
  });
  const int64_t bad =
      First(rows, [&](int64_t i) { return !std::isfinite(score_[static_cast<size_t>(i)]); });
  if (bad >= 0) return bad;
  RunShares(pool_, shares, [&](int share, int of, int) {
    for (int64_t i = begin(share, of); i < begin(share + 1, of); ++i) {
      const int64_t code = found_[static_cast<size_t>(i)];
      index[i] = code;
      if (quantized != nullptr) {
        std::memcpy(quantized + i * width, codes + code * width,
                    sizeof(float) * static_cast<size_t>(width));
      }
    }
  });
  return -1;
}

// Each thread sums for a range of the codes, so that the order of a sum is that of the rows however
// many threads there are.
int64_t VqEngine::Accumulate(const float* x, const int64_t* index, int64_t rows, int64_t count,
                             int width, float* counts, float* sums) {
  const int64_t bad = First(rows, [&](int64_t i) { return index[i] < -1 || index[i] >= count; });
  if (bad >= 0) return bad;
  const std::lock_guard<std::mutex> lock(one_caller_);
  RunShares(pool_, Shares(rows * width / kShareSums), [&](int share, int of, int) {
    const int64_t first = count * share / of, end = count * (share + 1) / of;
    std::fill(counts + first, counts + end, 0.0f);
    std::fill(sums + first * width, sums + end * width, 0.0f);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t code = index[i];
      if (code < first || code >= end) continue;
      counts[code] += 1.0f;
      float* to = sums + code * width;
      const float* from = x + i * width;
      for (int d = 0; d < width; ++d) to[d] += from[d];
    }
  });
  return -1;
}

}  // namespace metabonk::nn
