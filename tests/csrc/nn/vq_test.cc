// Nearest codes against a loop in double precision: every tier, odd sizes, ties, threads.
#include "nn/vq.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

std::vector<float> Numbers(size_t count, uint32_t seed) {
  std::vector<float> numbers(count);
  for (float& x : numbers) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed >> 8) / 16777216.0f - 0.5f;
  }
  return numbers;
}

std::vector<CpuTier> Tiers() {
  std::vector<CpuTier> tiers;
  tiers.reserve(static_cast<size_t>(CpuTier::kCount));
  for (int i = 0; i <= static_cast<int>(DetectedTier()); ++i) {
    tiers.push_back(static_cast<CpuTier>(i));
  }
  return tiers;
}

struct Problem {
  int64_t rows, count;
  int width;
  VqMetric metric;
  std::vector<float> x, codes;

  Problem(int64_t row_count, int64_t code_count, int code_width, VqMetric how)
      : rows(row_count), count(code_count), width(code_width), metric(how) {
    const auto size = static_cast<size_t>(width);
    x = Numbers(static_cast<size_t>(rows) * size, 1);
    codes = Numbers(static_cast<size_t>(count) * size, 2);
  }

  double Score(int64_t row, int64_t code) const {
    double score = 0.0, norm = 0.0;
    for (int d = 0; d < width; ++d) {
      const double a = x[static_cast<size_t>(row * width + d)];
      const double b = codes[static_cast<size_t>(code * width + d)];
      score += a * b;
      norm += b * b;
    }
    return metric == VqMetric::kEuclidean ? score - norm / 2 : score;
  }

  std::vector<int64_t> Run(int threads) const {
    VqCodebook codebook;
    CHECK_EQ(codebook.Pack(codes.data(), count, width, metric), -1);
    VqEngine engine(threads);
    std::vector<int64_t> index(static_cast<size_t>(rows), -5);
    std::vector<float> quantized(x.size());
    CHECK_EQ(engine.Lookup(codebook, x.data(), rows, index.data(), codes.data(), quantized.data()),
             -1);
    for (size_t i = 0; i < quantized.size(); ++i) {
      const size_t row = i / static_cast<size_t>(width), d = i % static_cast<size_t>(width);
      const size_t code = static_cast<size_t>(index[row]);
      CHECK_EQ(quantized[i], codes[code * static_cast<size_t>(width) + d]);
    }
    return index;
  }

  void Compare(const std::vector<int64_t>& found) const {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t code = found[static_cast<size_t>(i)];
      CHECK(code >= 0 && code < count);
      double best = -1e30;
      for (int64_t k = 0; k < count; ++k) best = std::max(best, Score(i, k));
      CHECK_NEAR(Score(i, code), best, 1e-7 * width);
    }
  }
};

}  // namespace

TEST(nn_vq_takes_the_best_code_on_every_tier) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const VqMetric metric : {VqMetric::kEuclidean, VqMetric::kDot}) {
      for (const int64_t rows : {1, 2, 5, 6, 7, 25}) {
        for (const int64_t count : {1, 15, 16, 17, 64, 65, 200}) {
          const Problem problem(rows, count, 19, metric);
          problem.Compare(problem.Run(1));
        }
      }
      for (const int width : {1, 2, 128, 2000}) {
        const Problem problem(13, 130, width, metric);
        problem.Compare(problem.Run(1));
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_vq_takes_the_lowest_of_equal_codes) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    Problem problem(50, 600, 33, VqMetric::kEuclidean);
    const size_t size = 33 * 100;
    for (size_t i = size; i < problem.codes.size(); ++i) problem.codes[i] = problem.codes[i - size];
    for (const int64_t code : problem.Run(1)) CHECK(code < 100);
  }
  CapTier(DetectedTier());
}

TEST(nn_vq_is_the_same_on_threads_and_on_both_fused_tiers) {
  const Problem problem(1001, 900, 96, VqMetric::kEuclidean);
  std::vector<int64_t> first;
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    const std::vector<int64_t> one = problem.Run(1);
    for (const int threads : {2, 3}) CHECK(problem.Run(threads) == one);
    if (tier == CpuTier::kAvx2) first = one;
    if (tier == CpuTier::kAvx512) CHECK(first == one);
  }
  CapTier(DetectedTier());
}

// Screening decides by a bound that has to hold for any numbers: what it finds is what the search
// finds, code for code, where scores are equal, close, huge, tiny or all alike.
TEST(nn_vq_screening_finds_what_the_search_finds) {
  if (DetectedExtension() < CpuExtension::kBf16) return;
  const auto both = [](const Problem& problem) {
    CapExtension(CpuExtension::kNone);
    const std::vector<int64_t> searched = problem.Run(1);
    for (int level = static_cast<int>(CpuExtension::kBf16);
         level <= static_cast<int>(DetectedExtension()); ++level) {
      CapExtension(static_cast<CpuExtension>(level));
      for (const int threads : {1, 2}) CHECK(problem.Run(threads) == searched);
    }
  };
  for (const VqMetric metric : {VqMetric::kEuclidean, VqMetric::kDot}) {
    for (const int width : {1, 2, 3, 17, 64, 129}) {
      for (const int64_t count : {1, 40, 64, 300}) {
        Problem problem(101, count, width, metric);
        both(problem);
        for (const float scale : {1e-30f, 1e-19f, 1e-10f, 1e10f, 1e17f}) {
          Problem scaled = problem;
          for (float& x : scaled.x) x *= scale;
          for (float& code : scaled.codes) code *= scale;
          both(scaled);
        }
        Problem far = problem;  // the same far place, and little about it
        for (float& x : far.x) x = 100.0f + x;
        for (float& code : far.codes) code = 100.0f + code;
        both(far);
        Problem close = problem;  // rows are codes, and codes differ in their last bits
        for (size_t i = 0; i < close.codes.size(); ++i) {
          const size_t first = i % static_cast<size_t>(5 * width);
          close.codes[i] = close.codes[first] * (1.0f + 1e-7f * static_cast<float>(i % 3));
        }
        for (size_t i = 0; i < close.x.size(); ++i)
          close.x[i] = close.codes[i % close.codes.size()];
        both(close);
        Problem even = problem;
        std::fill(even.codes.begin(), even.codes.end(), 0.25f);
        both(even);
      }
    }
  }
}

// What was packed before a cap changed is looked up by what the cap allows now.
TEST(nn_vq_codebooks_outlive_caps) {
  const Problem problem(70, 200, 19, VqMetric::kEuclidean);
  CapExtension(CpuExtension::kNone);
  const std::vector<int64_t> searched = problem.Run(1);
  const auto last = static_cast<int>(DetectedExtension());
  for (int packed = 0; packed <= last; ++packed) {
    CapExtension(static_cast<CpuExtension>(packed));
    VqCodebook codebook;
    CHECK_EQ(codebook.Pack(problem.codes.data(), 200, 19, problem.metric), -1);
    for (int level = 0; level <= last; ++level) {
      CapExtension(static_cast<CpuExtension>(level));
      std::vector<int64_t> index(70, -5);
      VqEngine engine(1);
      CHECK_EQ(engine.Lookup(codebook, problem.x.data(), 70, index.data(), nullptr, nullptr), -1);
      CHECK(index == searched);
    }
  }
  CapExtension(DetectedExtension());
}

TEST(nn_vq_refuses_what_is_not_finite_and_writes_nothing) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
      Problem problem(20, 70, 9, VqMetric::kEuclidean);
      VqCodebook codebook;
      CHECK_EQ(codebook.Pack(problem.codes.data(), 70, 9, problem.metric), -1);
      problem.x[9 * 11 + 3] = bad;
      std::vector<int64_t> index(20, -5);
      VqEngine engine(1);
      CHECK_EQ(engine.Lookup(codebook, problem.x.data(), 20, index.data(), nullptr, nullptr), 11);
      for (const int64_t code : index) CHECK_EQ(code, -5);
      problem.codes[9 * 69] = bad;
      CHECK_EQ(codebook.Pack(problem.codes.data(), 70, 9, problem.metric), 69);
      CHECK_EQ(codebook.count(), 70);
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_vq_sums_rows_by_code) {
  constexpr int64_t kRows = 5000, kCodes = 37;
  constexpr int kWidth = 70;
  const std::vector<float> x = Numbers(kRows * kWidth, 4);
  std::vector<int64_t> index(kRows);
  for (int64_t i = 0; i < kRows; ++i) index[static_cast<size_t>(i)] = i * 7919 % (kCodes + 1) - 1;
  std::vector<float> want_counts(kCodes), want(kCodes * kWidth);
  for (int64_t i = 0; i < kRows; ++i) {
    const int64_t code = index[static_cast<size_t>(i)];
    if (code < 0) continue;
    want_counts[static_cast<size_t>(code)] += 1.0f;
    for (int64_t d = 0; d < kWidth; ++d) {
      want[static_cast<size_t>(code * kWidth + d)] += x[static_cast<size_t>(i * kWidth + d)];
    }
  }
  for (const int threads : {1, 2, 3}) {
    VqEngine engine(threads);
    std::vector<float> counts(kCodes, 9.0f), sums(kCodes * kWidth, 9.0f);
    CHECK_EQ(engine.Accumulate(x.data(), index.data(), kRows, kCodes, kWidth, counts.data(),
                               sums.data()),
             -1);
    CHECK(counts == want_counts);
    CHECK(sums == want);
    for (const int64_t bad : {int64_t{-2}, kCodes}) {
      std::vector<int64_t> wrong = index;
      wrong[4321] = bad;
      CHECK_EQ(engine.Accumulate(x.data(), wrong.data(), kRows, kCodes, kWidth, counts.data(),
                                 sums.data()),
               4321);
    }
    CHECK(sums == want);
  }
}

TEST(nn_vq_does_not_allocate_once_it_has_seen_a_batch) {
  const Problem problem(600, 100, 40, VqMetric::kEuclidean);
  VqCodebook codebook;
  VqEngine engine(2);
  std::vector<int64_t> index(600);
  std::vector<float> quantized(problem.x.size());
  const auto all = [&] {
    codebook.Pack(problem.codes.data(), 100, 40, problem.metric);
    engine.Lookup(codebook, problem.x.data(), 600, index.data(), problem.codes.data(),
                  quantized.data());
  };
  all();
  const size_t before = check::Allocations();
  for (int i = 0; i < 50; ++i) all();
  CHECK_EQ(check::Allocations(), before);
}

}  // namespace metabonk::nn
