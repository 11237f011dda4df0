// Single RSSM steps bound to memory: the bits of a sequence of one step, in place; of weights in
// bf16 those of rounded ones; in int8 the layers one by one.
#include "nn/rssm_plan.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "nn/formats.h"
#include "nn/qlinear.h"
#include "nn/rssm_cases.h"
#include "support/cpu.h"

namespace metabonk::nn {
namespace {

RssmSteps StepsOf(const RssmProblem& p, const RssmOutputs& to) {
  const RssmSequence from = p.Sequence();
  return {p.steps,    p.batch,  from.deter, from.state, from.action, from.embed,  from.keep,
          from.noise, to.deter, to.stoch,   to.index,   to.prior,    to.posterior};
}

// What a step writes, with weights kept in `precision`.
RssmResult Stepped(const RssmProblem& p, RssmPrecision precision) {
  RssmEngine engine(1);
  RssmResult r;
  const RssmOutputs to = Forward(engine, p, r);
  RssmPlan plan(p.shape, p.Weights(), StepsOf(p, to), precision);
  CHECK(plan.loaded().ok());
  for (Floats* written : {&r.deter, &r.stoch, &r.prior, &r.posterior}) {
    written->assign(written->size(), -77.0f);
  }
  plan.Step();
  return r;
}

// Columns [first, first + inputs) of weight [outputs, columns] times rows of x, both rounded to
// int8, by the engine of qlinear.h.
Floats Product(const Floats& weight, int outputs, int first, int inputs, const Floats& x,
               const Floats& bias) {
  const int columns = static_cast<int>(weight.size()) / outputs;
  Floats part;
  for (int n = 0; n < outputs; ++n) {
    const auto row = weight.begin() + int64_t{n} * columns + first;
    part.insert(part.end(), row, row + inputs);
  }
  const WeightShape shape{WeightFormat::kInt8, outputs, inputs};
  std::vector<uint8_t> codes(part.size());
  Floats scales(static_cast<size_t>(outputs));
  const WeightArrays arrays{codes.data(), reinterpret_cast<uint8_t*>(scales.data()), nullptr};
  CHECK(QuantizeWeights(shape, part.data(), arrays).ok());
  const PanelLayout layout(shape);
  std::vector<uint8_t> panels(static_cast<size_t>(layout.bytes()));
  PackPanels(layout, arrays, panels.data());
  const auto rows = static_cast<int64_t>(x.size()) / inputs;
  Floats y(static_cast<size_t>(rows * outputs));
  QLinearEngine(1).Forward({shape, panels.data(), bias.empty() ? nullptr : bias.data()}, rows,
                           x.data(), y.data());
  return y;
}

Floats Sum(Floats a, const Floats& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// By the loops of the tier, so that the next product meets the very numbers that the plan's did.
Floats Elu(Floats x) {
  ActiveRssmKernels().elu(x.data(), static_cast<int>(x.size()));
  return x;
}

Floats Kept(const RssmProblem& p, Floats rows) {
  const size_t width = rows.size() / static_cast<size_t>(p.batch);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] *= p.keep[i / width];
  return rows;
}

// The distributions of the rows of hidden units behind matrix `out` of the weights.
Doubles HeadOf(const RssmProblem& p, const Floats& hidden, int out) {
  const int width = p.shape.parameters();
  const Floats numbers =
      Product(p.weights[out], width, 0, p.shape.hidden, hidden, p.weights[out + 1]);
  Doubles all;
  for (auto row = numbers.begin(); row != numbers.end(); row += width) {
    const Doubles one = Distribution(p.shape, Doubles(row, row + width));
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

void CheckClose(const Floats& found, const Doubles& want, double tolerance) {
  CHECK_EQ(found.size(), want.size());
  for (size_t i = 0; i < found.size(); ++i) CHECK_NEAR(found[i], want[i], tolerance);
}

// Each layer of an int8 step from what the one before it made: no rounding can fall differently.
void CompareLayers(const RssmProblem& p, const RssmResult& found) {
  const RssmShape& s = p.shape;
  const Floats* w = p.weights;
  const Floats none;
  const Floats x = Elu(Sum(Product(w[0], s.hidden, s.stoch(), s.action, Kept(p, p.action), w[1]),
                           Product(w[0], s.hidden, 0, s.stoch(), Kept(p, p.stoch), none)));
  const Floats before = Kept(p, p.deter);
  const Floats from_x = Product(w[2], 3 * s.deter, 0, s.hidden, x, w[4]);
  const Floats from_h = Product(w[3], 3 * s.deter, 0, s.deter, before, w[5]);
  Doubles deter;
  for (int b = 0; b < p.batch; ++b) {
    const float* fx = from_x.data() + int64_t{b} * 3 * s.deter;
    const float* fh = from_h.data() + int64_t{b} * 3 * s.deter;
    for (int i = 0; i < s.deter; ++i) {
      const auto at = [&](const float* sums, int gate) {
        return static_cast<double>(sums[gate * s.deter + i]);
      };
      const double r = Sigmoid(at(fx, 0) + at(fh, 0)), z = Sigmoid(at(fx, 1) + at(fh, 1));
      const double n = std::tanh(at(fx, 2) + r * at(fh, 2));
      const double h = before[static_cast<size_t>(b * s.deter + i)];
      deter.push_back((1.0 - z) * n + z * h);
    }
  }
  CheckClose(found.deter, deter, 3e-6);
  const Floats prior = Elu(Product(w[6], s.hidden, 0, s.deter, found.deter, w[7]));
  CheckClose(found.prior, HeadOf(p, prior, 8), 1e-5);
  if (!s.observes()) return;
  const Floats posterior = Elu(Sum(Product(w[10], s.hidden, 0, s.deter, found.deter, w[11]),
                                   Product(w[10], s.hidden, s.deter, s.embed, p.embed, none)));
  CheckClose(found.posterior, HeadOf(p, posterior, 12), 1e-5);
}

// Calls body() with every set of loops, of float32 and of int8, that this processor has.
template <typename Body>
void OnEverySet(const Body& body) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    CapExtension(CpuExtension::kNone);
    body();
  }
  for (int level = 1; level <= static_cast<int>(DetectedExtension()); ++level) {
    CapExtension(static_cast<CpuExtension>(level));
    body();
  }
  CapExtension(DetectedExtension());
}

}  // namespace

TEST(nn_rssm_plan_is_a_sequence_of_one_step_and_may_write_in_place) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      RssmProblem p(shape, 1, 301);
      RssmEngine engine(1);
      RssmResult want;
      const RssmOutputs to = Forward(engine, p, want);
      const RssmResult copy = want;
      for (const bool in_place : {false, true}) {
        want.deter.assign(want.deter.size(), 0.0f);
        want.prior.assign(want.prior.size(), 0.0f);
        RssmSteps step = StepsOf(p, to);
        if (in_place) step.out_deter = p.deter.data();
        RssmPlan plan(shape, p.Weights(), step);
        plan.Step();
        CHECK((in_place ? p.deter : want.deter) == copy.deter);
        CHECK(want.stoch == copy.stoch);
        CHECK(want.prior == copy.prior);
        CHECK(want.posterior == copy.posterior);
      }
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_plan_of_many_steps_is_the_sequence) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      const RssmProblem p(shape, 4, 301);
      RssmEngine engine(1);
      RssmResult want;
      const RssmOutputs to = Forward(engine, p, want);
      const RssmResult copy = want;
      for (Floats* written : {&want.deter, &want.stoch, &want.prior, &want.posterior}) {
        written->assign(written->size(), -77.0f);
      }
      want.index.assign(want.index.size(), -1);
      RssmPlan(shape, p.Weights(), StepsOf(p, to)).Step();
      CHECK(want == copy);
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_plan_in_bf16_gives_the_bits_of_rounded_weights) {
  for (const CpuTier tier : Tiers()) {
    CapTier(tier);
    for (const RssmShape& shape : kShapes) {
      RssmProblem p(shape, 1, 5);
      const RssmResult half = Stepped(p, RssmPrecision::kBf16);
      for (const int matrix : {0, 2, 3, 6, 8, 10, 12}) {
        for (float& w : p.weights[matrix]) w = FloatFromBf16(Bf16FromFloat(w));
      }
      const RssmResult rounded = Stepped(p, RssmPrecision::kFloat);
      CHECK(half.deter == rounded.deter);
      CHECK(half.prior == rounded.prior);
      CHECK(half.posterior == rounded.posterior);
      CHECK(half.stoch == rounded.stoch);
    }
  }
  CapTier(DetectedTier());
}

TEST(nn_rssm_plan_in_int8_is_its_layers_one_by_one) {
  for (const RssmShape& shape : kShapes) {
    for (const int batch : {1, 5, 301}) {
      const RssmProblem p(shape, 1, batch);
      OnEverySet([&] { CompareLayers(p, Stepped(p, RssmPrecision::kInt8)); });
    }
  }
}

TEST(nn_rssm_plan_in_int8_is_near_float32_and_not_the_same) {
  for (const RssmShape& shape : kShapes) {
    const RssmProblem p(shape, 1, 61);
    const RssmResult coarse = Stepped(p, RssmPrecision::kInt8);
    const RssmResult exact = Stepped(p, RssmPrecision::kFloat);
    for (size_t i = 0; i < exact.deter.size(); ++i) {
      CHECK_NEAR(coarse.deter[i], exact.deter[i], 0.05);
    }
    if (shape.hidden > 1) CHECK(coarse.deter != exact.deter);  // one number is its own scale
  }
}

TEST(nn_rssm_plan_in_int8_takes_classes_as_the_rows_they_pick) {
  RssmProblem p({3, 6, 9, 7, 4, 5, 0.01f, 0.1f}, 1, 50);
  std::vector<int32_t> index;
  for (int i = 0; i < p.batch * p.shape.groups; ++i) index.push_back(i * 7 % 5);
  for (size_t i = 0; i < p.stoch.size(); ++i) {
    p.stoch[i] = static_cast<size_t>(index[i / 5]) == i % 5 ? 1.0f : 0.0f;
  }
  OnEverySet([&] {
    const RssmResult numbers = Stepped(p, RssmPrecision::kInt8);
    RssmEngine engine(1);
    RssmResult picked;
    RssmSteps step = StepsOf(p, Forward(engine, p, picked));
    step.state = {nullptr, index.data()};
    RssmPlan plan(p.shape, p.Weights(), step, RssmPrecision::kInt8);
    plan.Step();
    // A sum of rows is not rounded on its way: the next layer's codes may differ by one.
    for (size_t i = 0; i < picked.deter.size(); ++i) {
      CHECK_NEAR(picked.deter[i], numbers.deter[i], 0.02);
    }
  });
}

TEST(nn_rssm_plan_in_int8_refuses_what_has_no_code_and_goes_on) {
  RssmProblem p({3, 6, 9, 7, 4, 5, 0.01f, 0.1f}, 1, 5);
  RssmEngine engine(1);
  RssmResult r;
  const RssmSteps step = StepsOf(p, Forward(engine, p, r));
  RssmPlan plan(p.shape, p.Weights(), step, RssmPrecision::kInt8);
  plan.Step();
  const RssmResult before = r;
  const char* names[] = {"w_in", "w_ih", "w_hh", "w_prior", "w_prior_out", "w_post", "w_post_out"};
  const int matrices[] = {0, 2, 3, 6, 8, 10, 12};
  for (size_t i = 0; i < 7; ++i) {
    RssmProblem wrong = p;
    wrong.weights[0][0] += 1.0f;  // would show where some of the new weights were taken
    wrong.weights[matrices[i]].back() = std::numeric_limits<float>::quiet_NaN();
    const Status status = plan.Load(wrong.Weights());
    CHECK_EQ(status.code, Code::kInvalidArgument);
    CHECK_EQ(std::string(status.where), std::string(names[i]));
    plan.Step();
    CHECK(r == before);
    const RssmPlan unmade(p.shape, wrong.Weights(), step, RssmPrecision::kInt8);
    CHECK_EQ(std::string(unmade.loaded().where), std::string(names[i]));
  }
  RssmProblem other = p;
  for (float& w : other.weights[2]) w *= 0.5f;
  CHECK(plan.Load(other.Weights()).ok());
  plan.Step();
  CHECK(r.deter != before.deter);
}

TEST(nn_rssm_plan_does_not_allocate_in_any_precision) {
  const RssmProblem p({4, 6, 24, 20, 4, 8, 0.01f, 0.1f}, 1, 50);
  RssmEngine engine(1);
  RssmResult r;
  const RssmSteps step = StepsOf(p, Forward(engine, p, r));
  for (const RssmPrecision precision :
       {RssmPrecision::kFloat, RssmPrecision::kBf16, RssmPrecision::kInt8}) {
    RssmPlan plan(p.shape, p.Weights(), step, precision);
    const size_t before = check::Allocations();
    for (int i = 0; i < 20; ++i) plan.Step();
    CHECK_EQ(check::Allocations(), before);
  }
}

}  // namespace metabonk::nn
