// Histograms: every time falls into a bucket that holds it, and quantiles are as good as buckets.
#include "play/histogram.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "check.h"
#include "support/random.h"

namespace metabonk::play {

TEST(histogram_buckets_hold_their_values) {
  for (uint64_t value = 0; value < (uint64_t{1} << 39); value += 1 + value / 97) {
    const int bucket = Histogram::BucketOf(value);
    CHECK(Histogram::LowOf(bucket) <= value);
    CHECK(value < Histogram::LowOf(bucket + 1));
    CHECK(Histogram::LowOf(bucket + 1) - Histogram::LowOf(bucket) <= 1 + value / 32);
  }
}

TEST(histogram_quantiles_are_those_of_what_was_added) {
  const auto histogram = std::make_unique<Histogram>();
  std::vector<int64_t> values;
  for (uint64_t i = 0; i < 10'000; ++i) {
    values.push_back(static_cast<int64_t>(HashDraw(1, i) >> (30 + HashDraw(2, i) % 30)));
    histogram->Add(values.back());
  }
  std::sort(values.begin(), values.end());
  CHECK_EQ(histogram->count(), uint64_t{10'000});
  CHECK_EQ(histogram->most(), static_cast<uint64_t>(values.back()));
  for (const double share : {0.5, 0.99, 0.999, 1.0}) {
    const auto place = static_cast<size_t>(share * 10'000.0) - 1;
    const auto exact = static_cast<double>(values[place]);
    const auto found = static_cast<double>(histogram->Quantile(share));
    CHECK(found >= exact && found <= exact * 1.04 + 1);
  }
  histogram->Add(-5);
  CHECK_EQ(histogram->at(0) > 0, true);
}

}  // namespace metabonk::play
