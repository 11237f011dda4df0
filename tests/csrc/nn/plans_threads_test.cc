// Plans and engines with threads of their own, used from several threads at once: what they give
// alone, while others load, repack and swap weights beside them. Made for the thread sanitizer.
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "nn/cfc_plan.h"
#include "nn/policy.h"
#include "nn/programs.h"
#include "nn/qlinear.h"
#include "nn/rssm_cases.h"
#include "nn/rssm_plan.h"
#include "nn/vq.h"

namespace metabonk::nn {
namespace {

constexpr int kThreads = 3;  // of every plan and engine: more than some machines have
constexpr int kRounds = 4;

// Weights, by a seed, and inputs that all users read at once; enough of them that no engine finds
// the work too little to share.
struct Models {
  static constexpr CfcShape kCfc{64, 64, 96};
  static constexpr int kCfcRows = 700;
  static constexpr WeightShape kLinear{WeightFormat::kInt8, 530, 257};
  static constexpr int kLinearRows = 40;
  static constexpr int kCodes = 160, kWidth = 40, kVqRows = 2000;

  explicit Models(uint32_t seed)
      : x(Numbers(int64_t{kCfcRows} * kCfc.inputs, 1, 2.0f)),
        h(Numbers(int64_t{kCfcRows} * kCfc.hidden, 2, 1.0f)),
        in(Numbers(int64_t{kCfc.backbone} * (kCfc.inputs + kCfc.hidden), seed + 3, 0.3f)),
        in_bias(Numbers(kCfc.backbone, seed + 4, 0.5f)),
        heads(Numbers(int64_t{kCfcHeads} * kCfc.hidden * kCfc.backbone, seed + 5, 0.3f)),
        heads_bias(Numbers(int64_t{kCfcHeads} * kCfc.hidden, seed + 6, 0.5f)),
        rows(Numbers(int64_t{kLinearRows} * kLinear.inputs, 7, 3.0f)),
        points(Numbers(int64_t{kVqRows} * kWidth, 8, 1.0f)),
        codes(Numbers(int64_t{kCodes} * kWidth, seed + 9, 1.0f)),
        rssm({5, 24, 96, 80, 4, 8, 0.01f, 0.1f}, 2, 120) {
    const Floats weight = Numbers(int64_t{kLinear.outputs} * kLinear.inputs, seed + 10, 1.0f);
    std::vector<uint8_t> quantized(weight.size());
    Floats scales(static_cast<size_t>(kLinear.outputs));
    const WeightArrays arrays{quantized.data(), reinterpret_cast<uint8_t*>(scales.data()), nullptr};
    CHECK(QuantizeWeights(kLinear, weight.data(), arrays).ok());
    panels.resize(static_cast<size_t>(PanelLayout(kLinear).bytes()));
    PackPanels(PanelLayout(kLinear), arrays, panels.data());
    for (Floats& weights : rssm.weights) {
      for (float& w : weights) w *= 1.0f - 0.01f * static_cast<float>(seed);
    }
  }

  CfcWeights cfc() const { return {in.data(), in_bias.data(), heads.data(), heads_bias.data()}; }

  Floats x, h, in, in_bias, heads, heads_bias, rows, points, codes;
  std::vector<uint8_t> panels;
  RssmProblem rssm;
};

struct Made {
  Floats cfc, half, linear, quantized, deter, plan_deter, int8_deter;
  std::vector<int64_t> index;

  bool operator==(const Made& other) const = default;
};

// One user's plans and engines.
class User {
 public:
  explicit User(const Models& models)
      : made_(Rooms(models)),
        rssm_(kThreads),
        vq_(kThreads),
        scan_(Forward(rssm_, models.rssm, result_)),
        cfc_(Models::kCfc, models.cfc(), Sequence(models), made_.cfc.data(), false, kThreads),
        half_(Models::kCfc, models.cfc(), Sequence(models), made_.half.data(), true, kThreads),
        linear_({Models::kLinear, models.panels.data(), nullptr}, Models::kLinearRows,
                models.rows.data(), made_.linear.data(), kThreads),
        step_(models.rssm.shape, models.rssm.Weights(),
              Step(models.rssm, scan_, made_.plan_deter.data())),
        int8_(models.rssm.shape, models.rssm.Weights(),
              Step(models.rssm, scan_, made_.int8_deter.data()), RssmPrecision::kInt8) {
    CHECK_EQ(cfc_.threads(), kThreads);
    CHECK_EQ(linear_.threads(), kThreads);
    CHECK_EQ(codebook_.Pack(models.codes.data(), Models::kCodes, Models::kWidth, kMetric), -1);
  }

  // Other weights for all of them.
  void Load(const Models& models) {
    cfc_.Load(models.cfc());
    half_.Load(models.cfc());
    linear_.Load(models.panels.data(), nullptr);
    CHECK(step_.Load(models.rssm.Weights()).ok());
    CHECK(int8_.Load(models.rssm.Weights()).ok());
    CHECK_EQ(codebook_.Pack(models.codes.data(), Models::kCodes, Models::kWidth, kMetric), -1);
  }

  const Made& Run(const Models& models) {
    cfc_.Step();
    half_.Step();
    linear_.Step();
    Forward(rssm_, models.rssm, result_);  // into the same memory
    made_.deter = result_.deter;
    step_.Step();
    int8_.Step();
    CHECK_EQ(vq_.Lookup(codebook_, models.points.data(), Models::kVqRows, made_.index.data(),
                        models.codes.data(), made_.quantized.data()),
             -1);
    return made_;
  }

 private:
  static constexpr VqMetric kMetric = VqMetric::kEuclidean;

  static CfcSequence Sequence(const Models& models) {
    return {1, Models::kCfcRows, models.x.data(), models.h.data(), nullptr, nullptr};
  }
  static RssmSteps Step(const RssmProblem& p, const RssmOutputs& to, float* deter) {
    const RssmSequence from = p.Sequence();
    return {1,          p.batch, from.deter, from.state, from.action, from.embed,  from.keep,
            from.noise, deter,   to.stoch,   to.index,   to.prior,    to.posterior};
  }
  static Made Rooms(const Models& models) {
    Made made;
    made.cfc.resize(static_cast<size_t>(Models::kCfcRows * Models::kCfc.hidden));
    made.half = made.cfc;
    made.linear.resize(static_cast<size_t>(Models::kLinearRows * Models::kLinear.outputs));
    made.quantized.resize(static_cast<size_t>(Models::kVqRows * Models::kWidth));
    made.index.resize(static_cast<size_t>(Models::kVqRows));
    made.plan_deter.resize(models.rssm.deter.size());
    made.int8_deter = made.plan_deter;
    return made;
  }

  Made made_;
  RssmResult result_;
  RssmEngine rssm_;
  VqEngine vq_;
  VqCodebook codebook_;
  RssmOutputs scan_;
  CfcPlan cfc_, half_;
  QLinearPlan linear_;
  RssmPlan step_, int8_;
};

}  // namespace

TEST(nn_plans_on_threads_give_side_by_side_what_they_give_alone) {
  const Models one(0), two(1);
  const Made of_one = User(one).Run(one), of_two = User(two).Run(two);
  CHECK(of_one.cfc != of_two.cfc);
  CHECK(of_one.half != of_one.cfc);
  CHECK(of_one.linear != of_two.linear);
  CHECK(of_one.deter != of_two.deter);
  CHECK(of_one.plan_deter != of_two.plan_deter);
  CHECK(of_one.int8_deter != of_one.plan_deter);
  CHECK(of_one.quantized != of_two.quantized);
  std::atomic<int> wrong{0};
  // One user keeps its weights, the other changes them between its steps.
  std::thread keeper([&] {
    User user(one);
    for (int i = 0; i < 2 * kRounds; ++i) wrong += user.Run(one) != of_one;
  });
  std::thread changer([&] {
    User user(one);
    for (int i = 0; i < kRounds; ++i) {
      wrong += user.Run(one) != of_one;
      user.Load(two);
      wrong += user.Run(two) != of_two;
      user.Load(one);
    }
  });
  keeper.join();
  changer.join();
  CHECK_EQ(wrong.load(), 0);
}

TEST(nn_engines_are_shared_between_threads) {
  const Models one(0), two(1);
  const Made of_one = User(one).Run(one), of_two = User(two).Run(two);
  VqEngine vq(kThreads);
  QLinearEngine linear(kThreads);
  RssmEngine rssm(kThreads);
  std::atomic<int> wrong{0};
  const auto use = [&](const Models& models, const Made& want) {
    VqCodebook codebook;
    Made found = want;
    RssmResult result;
    for (int i = 0; i < kRounds; ++i) {
      codebook.Pack(models.codes.data(), Models::kCodes, Models::kWidth, VqMetric::kEuclidean);
      vq.Lookup(codebook, models.points.data(), Models::kVqRows, found.index.data(),
                models.codes.data(), found.quantized.data());
      linear.Forward({Models::kLinear, models.panels.data(), nullptr}, Models::kLinearRows,
                     models.rows.data(), found.linear.data());
      Forward(rssm, models.rssm, result);
      found.deter = result.deter;
      wrong += found != want;
    }
  };
  std::thread other([&] { use(two, of_two); });
  use(one, of_one);
  other.join();
  CHECK_EQ(wrong.load(), 0);
}

TEST(nn_policies_on_two_threads_are_swapped_by_a_third) {
  constexpr int64_t kRows = 4, kColumns = 3;
  constexpr int kSteps = 50, kSwaps = 8;
  const auto play = [](Policy* policy, const std::vector<float>& observation) {
    std::vector<float> action(kRows * kColumns);
    const void* inputs[] = {observation.data(), nullptr, nullptr};
    void* outputs[] = {action.data()};
    policy->Seed(7, 0);  // without a past, an action follows from the weights alone
    policy->Reset(nullptr);
    if (!policy->Step(inputs, outputs).ok()) action.clear();
    return action;
  };
  const std::vector<float> observation = Numbers(kRows * 5, 1, 1.0f);
  std::vector<float> of[2];
  for (const uint64_t weights : {1, 2}) {
    Policy alone(Pilot(kRows), WeightsOf(Pilot(kRows), weights), 7);
    of[weights - 1] = play(&alone, observation);
  }
  CHECK(of[0] != of[1]);
  Policy first(Pilot(kRows), WeightsOf(Pilot(kRows), 1), 7);
  Policy second(Pilot(kRows), WeightsOf(Pilot(kRows), 1), 7);
  std::atomic<int> mixed{0}, running{2};
  std::atomic<int> seen[2]{};
  const auto run = [&](Policy* policy) {
    const auto enough = [&](int steps) {
      return steps >= kSteps && policy->runner().swaps() >= kSwaps && seen[0] > 0 && seen[1] > 0;
    };
    for (int i = 0; !enough(i) && mixed == 0 && i < 1000000; ++i) {
      const std::vector<float> action = play(policy, observation);
      seen[0] += action == of[0];
      seen[1] += action == of[1];
      mixed += action != of[0] && action != of[1];
      std::this_thread::yield();
    }
    running -= 1;
  };
  std::thread one([&] { run(&first); }), two([&] { run(&second); });
  for (uint64_t k = 0; running.load() > 0; ++k) {
    for (Policy* policy : {&first, &second}) {
      policy->runner().Swap(WeightsOf(Pilot(kRows), 1 + k % 2));
    }
    std::this_thread::yield();
  }
  one.join();
  two.join();
  CHECK_EQ(mixed.load(), 0);
  CHECK(seen[0].load() > 0);
  CHECK(seen[1].load() > 0);
}

}  // namespace metabonk::nn
