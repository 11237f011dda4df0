// A policy: the same seed, counter and observations give the same bits; rows begin anew alone; no
// step allocates; weights are swapped while it steps.
#include "nn/policy.h"

#include <cstring>
#include <thread>
#include <vector>

#include "check.h"
#include "nn/programs.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

constexpr int64_t kRows = 4, kInputs = 5, kColumns = 3;

// A pilot and the memory of its steps.
struct Play {
  explicit Play(uint64_t seed, uint64_t weights = 1)
      : policy(Pilot(kRows), WeightsOf(Pilot(kRows), weights), seed),
        observation(kRows * kInputs),
        action(kRows * kColumns) {}

  // Observes the numbers of step `n`; returns the action.
  std::vector<float> Step(uint64_t n) {
    for (size_t i = 0; i < observation.size(); ++i) {
      observation[i] = UnitFloat(HashDraw(n, i)) - 0.5f;
    }
    const void* inputs[] = {observation.data(), nullptr, nullptr};
    void* outputs[] = {action.data()};
    CHECK(policy.Step(inputs, outputs).ok());
    return action;
  }

  Policy policy;
  std::vector<float> observation, action;
};

bool RowsEqual(const std::vector<float>& a, const std::vector<float>& b, size_t row) {
  return std::memcmp(&a[row * kColumns], &b[row * kColumns], kColumns * sizeof(float)) == 0;
}

}  // namespace

TEST(policy_gives_the_same_bits_for_the_same_seed) {
  Play one(7), two(7), other(8);
  int differs = 0;
  for (uint64_t n = 0; n < 50; ++n) {
    const std::vector<float> action = one.Step(n);
    CHECK(two.Step(n) == action);
    differs += other.Step(n) != action;
  }
  CHECK_EQ(differs, 50);
}

TEST(policy_goes_on_from_a_counter) {
  Play one(7), late(9);
  for (uint64_t n = 0; n < 20; ++n) one.Step(n);
  CHECK_EQ(one.policy.counter(), uint64_t{20});
  late.policy.Seed(7, 20);
  one.policy.Reset(nullptr);  // without a past, draws are all that the two could differ in
  for (uint64_t n = 20; n < 30; ++n) CHECK(one.Step(n) == late.Step(n));
}

TEST(policy_resets_the_rows_of_a_mask_alone) {
  Play played(7), fresh(7), kept(7);
  for (uint64_t n = 0; n < 5; ++n) played.Step(n), kept.Step(n);
  fresh.policy.Seed(7, 5);
  const uint8_t mask[kRows] = {0, 1, 0, 255};
  played.policy.Reset(mask);
  for (uint64_t n = 5; n < 9; ++n) {
    const std::vector<float> action = played.Step(n), anew = fresh.Step(n), on = kept.Step(n);
    for (const size_t row : {1, 3}) CHECK(RowsEqual(action, anew, row));
    for (const size_t row : {0, 2}) CHECK(RowsEqual(action, on, row));
    CHECK(!RowsEqual(action, on, 1));
  }
}

TEST(policy_takes_what_is_given_instead_of_its_own) {
  Play play(7);
  play.Step(0);
  std::vector<float> given(kRows * kColumns, 0.25f), action(kRows * kColumns);
  const std::vector<uint8_t> first(kRows, 1);
  const void* inputs[] = {play.observation.data(), first.data(), given.data()};
  void* outputs[] = {action.data()};
  CHECK(play.policy.Step(inputs, outputs).ok());
  const std::vector<float> before = action;
  CHECK(play.policy.Step(inputs, outputs).ok());
  CHECK(action == before);  // no past, no draws
}

TEST(policy_refuses_steps_without_what_it_needs) {
  Play play(7);
  std::vector<float> action(kRows * kColumns, -1.0f);
  const std::vector<float> untouched = action;
  const void* inputs[] = {nullptr, nullptr, nullptr};
  void* outputs[] = {action.data()};
  CHECK_EQ(play.policy.Step(inputs, outputs).code, Code::kInvalidArgument);
  CHECK_EQ(play.policy.Step(std::span(inputs, 2), outputs).code, Code::kInvalidArgument);
  CHECK_EQ(play.policy.Step(inputs, {}).code, Code::kInvalidArgument);
  CHECK(action == untouched);
  CHECK_EQ(play.policy.counter(), uint64_t{0});
}

TEST(policy_leaves_everything_where_an_index_is_none) {
  Policy policy(Everything(), WeightsOf(Everything()), 1);
  std::vector<float> x(24, 0.5f), action(32);
  std::vector<uint8_t> truth(24, 1);
  std::vector<int32_t> places(24, 5);
  const void* inputs[] = {x.data(), truth.data(), places.data(), nullptr};
  void* outputs[] = {action.data()};
  CHECK(policy.Step(inputs, outputs).ok());
  const std::vector<float> before = action;
  for (const int32_t none : {6, -7, INT32_MAX, INT32_MIN}) {
    places[11] = none;
    x[0] += 1.0f;
    CHECK_EQ(policy.Step(inputs, outputs).code, Code::kOutOfRange);
    CHECK(action == before);
    CHECK_EQ(policy.counter(), uint64_t{1});
  }
  places[11] = -6;  // counted from the end
  CHECK(policy.Step(inputs, outputs).ok());
}

TEST(policy_allocates_nothing_in_ten_thousand_steps) {
  Play play(7);
  play.Step(0);
  const void* inputs[] = {play.observation.data(), nullptr, nullptr};
  void* outputs[] = {play.action.data()};
  const uint8_t mask[kRows] = {1, 0, 0, 0};
  const size_t before = check::Allocations();
  for (int i = 0; i < 10000; ++i) {
    if (i % 100 == 0) play.policy.Reset(mask);
    if (!play.policy.Step(inputs, outputs).ok()) break;
  }
  CHECK_EQ(check::Allocations() - before, size_t{0});
  CHECK_EQ(play.policy.counter(), uint64_t{10001});
  const auto control = WeightsOf(Pilot(kRows));  // what allocates is counted
  CHECK(check::Allocations() > before);
}

TEST(policy_keeps_its_kernels_over_a_swap_after_the_tier_was_capped) {
  const auto before = ActiveTier();
  for (int had = 0; had <= static_cast<int>(before); ++had) {
    for (int now = 0; now <= static_cast<int>(before); ++now) {
      CapTier(static_cast<CpuTier>(had));
      Play swapped(7, 1), wanted(7, 2);
      CapTier(static_cast<CpuTier>(now));
      // Panels for the kernels that are active now would be read at another width.
      const CfcKernels& own = swapped.policy.runner().kernels();
      swapped.policy.runner().Swap(WeightsOf(Pilot(kRows), 2, own));
      for (uint64_t n = 0; n < 3; ++n) CHECK(swapped.Step(n) == wanted.Step(n));
    }
  }
  CapTier(before);
}

TEST(policy_reads_weights_with_the_kernels_that_they_were_packed_for) {
  const auto before = ActiveTier();
  for (int now = 0; now <= static_cast<int>(before); ++now) {
    CapTier(before);
    Play swapped(7, 1);
    CapTier(static_cast<CpuTier>(now));
    Play wanted(7, 2);
    swapped.policy.runner().Swap(WeightsOf(Pilot(kRows), 2));
    const std::vector<float> found = swapped.Step(0), want = wanted.Step(0);
    for (size_t i = 0; i < want.size(); ++i) CHECK_NEAR(found[i], want[i], 1e-6f);
  }
  CapTier(before);
}

TEST(policy_swaps_weights_on_another_thread) {
  // The steps' own allocations are counted by the test above; here every action must be that of one
  // of the two sets of weights, never of a mixture.
  Play swapped(7);
  const uint64_t kSteps = 400;
  std::vector<std::vector<float>> of_one, of_two;
  for (const uint64_t weights : {1, 2}) {
    Play alone(7, weights);
    for (uint64_t n = 0; n < kSteps; ++n) {
      alone.policy.Reset(nullptr);
      (weights == 1 ? of_one : of_two).push_back(alone.Step(n));
    }
  }
  std::atomic<bool> done{false};
  std::thread swapper([&] {
    for (uint64_t k = 0; !done.load(); ++k) {
      swapped.policy.runner().Swap(WeightsOf(Pilot(kRows), 1 + k % 2));
      std::this_thread::yield();
    }
  });
  int ones = 0, twos = 0;
  while (swapped.policy.runner().swaps() < 20) {
    swapped.policy.Seed(7, 0);
    for (uint64_t n = 0; n < kSteps; ++n) {
      swapped.policy.Reset(nullptr);
      const std::vector<float> action = swapped.Step(n);
      ones += action == of_one[n];
      twos += action == of_two[n];
      CHECK(action == of_one[n] || action == of_two[n]);
    }
    std::this_thread::yield();
  }
  done = true;
  swapper.join();
  CHECK(ones > 0);
  CHECK(twos > 0);
}

}  // namespace metabonk::nn
