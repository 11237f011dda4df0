// metabonk._core.nn: RSSM sequences and steps. Pointers and sizes come from metabonk/ops, which has
// checked them; what can only be seen in the numbers is checked here. Nothing here knows tensors.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/address.h"
#include "bindings/arrays.h"
#include "bindings/rooms.h"
#include "nn/rssm_dream_plan.h"
#include "nn/rssm_imagine.h"
#include "nn/rssm_plan.h"
#include "nn/rssm_scan.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Shape = std::array<int, 6>;  // action, embed or 0, hidden, deter, groups, classes or 0
using Mixes = std::array<float, 2>;
using Weights = std::array<Address, 14>;
using Sequence = std::array<Address, 7>;
using Outputs = std::array<Address, 9>;
using Given = std::array<Address, 4>;
using StepOutputs = std::array<Address, 5>;

constexpr int64_t kReleaseMacs = int64_t{1} << 20;  // below, giving up the lock costs as much

int32_t* Indices(Address address) { return address.To<int32_t>(); }

nn::RssmShape ShapeOf(const Shape& s, const Mixes& mixes) {
  if (s[0] < 1 || s[1] < 0 || s[2] < 1 || s[3] < 1 || s[4] < 1 || s[5] < 0) {
    throw nb::value_error("shape: action, hidden, deter and groups must be 1 or more");
  }
  if (s[5] > nn::kClassesMax) throw nb::value_error("shape: classes must be 4096 or fewer");
  return {s[0], s[1], s[2], s[3], s[4], s[5], mixes[0], mixes[1]};
}

nn::RssmWeights WeightsOf(const Weights& w) {
  return {Floats(w[0]),  Floats(w[1]),  Floats(w[2]),  Floats(w[3]), Floats(w[4]),
          Floats(w[5]),  Floats(w[6]),  Floats(w[7]),  Floats(w[8]), Floats(w[9]),
          Floats(w[10]), Floats(w[11]), Floats(w[12]), Floats(w[13])};
}

nn::RssmSequence SequenceOf(int steps, int batch, const Sequence& s) {
  if (steps < 1 || batch < 1) throw nb::value_error("steps, batch: must be 1 or more");
  return {steps,        batch,        Floats(s[0]), {Floats(s[1]), Indices(s[2])},
          Floats(s[3]), Floats(s[4]), Floats(s[5]), Floats(s[6])};
}

nn::RssmOutputs OutputsOf(const Outputs& o) {
  return {Floats(o[0]), Floats(o[1]), Floats(o[2]), Floats(o[3]), Indices(o[4]),
          Floats(o[5]), Floats(o[6]), Floats(o[7]), Floats(o[8])};
}

void RaiseForIndex(const nn::RssmShape& shape, const nn::RssmState& state, int batch) {
  const int64_t at = nn::RssmBadIndex(shape, state, batch);
  if (at < 0) return;
  throw nb::value_error(("rssm: stoch: row " + std::to_string(at / shape.groups) + " holds " +
                         std::to_string(state.index[at]) + ", which is no class: wanted 0 to " +
                         std::to_string(shape.classes - 1))
                            .c_str());
}

void Forward(nn::RssmEngine& engine, const Shape& shape, const Mixes& mixes, int steps, int batch,
             const Weights& weights, const Sequence& sequence, const Outputs& outputs) {
  const nn::RssmShape widths = ShapeOf(shape, mixes);
  const nn::RssmSequence given = SequenceOf(steps, batch, sequence);
  RaiseForIndex(widths, given.state, batch);
  nb::gil_scoped_release release;
  engine.Forward(widths, WeightsOf(weights), given, OutputsOf(outputs));
}

void Backward(nn::RssmEngine& engine, const Shape& shape, const Mixes& mixes, int steps, int batch,
              const Weights& weights, const Sequence& sequence, const Outputs& saved,
              const Given& given, const Given& d_inputs, const Weights& d_weights) {
  const nn::RssmShape widths = ShapeOf(shape, mixes);
  const nn::RssmSequence inputs = SequenceOf(steps, batch, sequence);
  RaiseForIndex(widths, inputs.state, batch);
  const Weights& w = d_weights;
  const nn::RssmGradients gradients{Floats(d_inputs[0]), Floats(d_inputs[1]), Floats(d_inputs[2]),
                                    Floats(d_inputs[3]), Floats(w[0]),        Floats(w[1]),
                                    Floats(w[2]),        Floats(w[3]),        Floats(w[4]),
                                    Floats(w[5]),        Floats(w[6]),        Floats(w[7]),
                                    Floats(w[8]),        Floats(w[9]),        Floats(w[10]),
                                    Floats(w[11]),       Floats(w[12]),       Floats(w[13])};
  nb::gil_scoped_release release;
  engine.Backward(widths, WeightsOf(weights), inputs, OutputsOf(saved),
                  {Floats(given[0]), Floats(given[1]), Floats(given[2]), Floats(given[3])},
                  gradients);
}

using ActorLayer = std::tuple<Address, Address, int>;  // weight, bias, units
using ActorGradients = std::vector<std::tuple<Address, Address>>;
using Starts = std::array<Address, 5>;
using Dream = std::array<Address, 11>;
using DreamGiven = std::array<Address, 6>;

nn::RssmActor ActorOf(const std::vector<ActorLayer>& layers, const Shape& shape, bool squashed,
                      float floor) {
  if (layers.empty() || layers.size() > nn::kActorLayersMax) {
    throw nb::value_error("actor: must have 1 to 16 layers");
  }
  nn::RssmActor actor{};
  actor.kind = squashed ? nn::ActionKind::kSquashed : nn::ActionKind::kChoice;
  actor.floor = floor;
  for (const auto& [weight, bias, units] : layers) {
    if (units < 1) throw nb::value_error("actor: layers must have 1 unit or more");
    actor.weights[actor.layers] = Floats(weight);
    actor.biases[actor.layers] = Floats(bias);
    actor.units[actor.layers++] = units;
  }
  if (actor.outputs() != (squashed ? 2 : 1) * shape[0] || shape[0] > nn::kClassesMax) {
    throw nb::value_error("actor: its outputs do not fit the action");
  }
  return actor;
}

nn::RssmStarts StartsOf(int steps, int batch, const Starts& s) {
  if (steps < 1 || batch < 1) throw nb::value_error("steps, batch: must be 1 or more");
  return {steps, batch, Floats(s[0]), {Floats(s[1]), Indices(s[2])}, Floats(s[3]), Floats(s[4])};
}

nn::RssmDream DreamOf(const Dream& d) {
  return {Floats(d[0]), Floats(d[1]), Floats(d[2]), Indices(d[3]), Floats(d[4]), Floats(d[5]),
          Floats(d[6]), Floats(d[7]), Floats(d[8]), Floats(d[9]),  Floats(d[10])};
}

void Imagine(nn::RssmImagination& engine, const Shape& shape, const Mixes& mixes, int steps,
             int batch, const Weights& weights, const std::vector<ActorLayer>& layers,
             bool squashed, float floor, const Starts& starts, const Dream& outputs) {
  const nn::RssmShape widths = ShapeOf(shape, mixes);
  const nn::RssmActor actor = ActorOf(layers, shape, squashed, floor);
  const nn::RssmStarts from = StartsOf(steps, batch, starts);
  RaiseForIndex(widths, from.state, batch);
  nb::gil_scoped_release release;
  engine.Run(widths, WeightsOf(weights), actor, from, DreamOf(outputs));
}

void ImagineBack(nn::RssmImagination& engine, const Shape& shape, const Mixes& mixes, int steps,
                 int batch, const Weights& weights, const std::vector<ActorLayer>& layers,
                 bool squashed, float floor, const Starts& starts, const Dream& saved,
                 const DreamGiven& given, const std::array<Address, 2>& d_inputs,
                 const std::array<Address, 10>& d_weights, const ActorGradients& d_actor) {
  const nn::RssmShape widths = ShapeOf(shape, mixes);
  const nn::RssmActor actor = ActorOf(layers, shape, squashed, floor);
  const nn::RssmStarts from = StartsOf(steps, batch, starts);
  RaiseForIndex(widths, from.state, batch);
  if (d_actor.size() != layers.size()) throw nb::value_error("d_actor: must be of every layer");
  nn::RssmActorGradients of_actor{};
  for (size_t i = 0; i < d_actor.size(); ++i) {
    of_actor.weights[i] = Floats(std::get<0>(d_actor[i]));
    of_actor.biases[i] = Floats(std::get<1>(d_actor[i]));
  }
  const std::array<Address, 10>& w = d_weights;
  nn::RssmGradients gradients{};
  gradients.deter = Floats(d_inputs[0]);
  gradients.stoch = Floats(d_inputs[1]);
  gradients.in = Floats(w[0]), gradients.in_bias = Floats(w[1]);
  gradients.ih = Floats(w[2]), gradients.hh = Floats(w[3]);
  gradients.ih_bias = Floats(w[4]), gradients.hh_bias = Floats(w[5]);
  gradients.prior = Floats(w[6]), gradients.prior_bias = Floats(w[7]);
  gradients.prior_out = Floats(w[8]), gradients.prior_out_bias = Floats(w[9]);
  nb::gil_scoped_release release;
  engine.Backward(widths, WeightsOf(weights), actor, from, DreamOf(saved),
                  {Floats(given[0]), Floats(given[1]), Floats(given[2]), Floats(given[3]),
                   Floats(given[4]), Floats(given[5])},
                  gradients, of_actor);
}

// Dreams and what their numbers are checked against.
class BoundDream {
 public:
  BoundDream(const Shape& shape, const Mixes& mixes, int steps, int batch, const Weights& weights,
             const std::vector<ActorLayer>& layers, bool squashed, float floor,
             const Starts& starts, const Dream& outputs, nb::handle, int threads)
      : shape_(ShapeOf(shape, mixes)),
        starts_(StartsOf(steps, batch, starts)),
        actor_(ActorOf(layers, shape, squashed, floor)),
        sizes_(shape),
        plan_(shape_, WeightsOf(weights), actor_, starts_, DreamOf(outputs), std::max(threads, 1)) {
  }

  void Step() {
    RaiseForIndex(shape_, starts_.state, starts_.batch);
    nb::gil_scoped_release release;
    plan_.Step();
  }

  void Load(const Weights& weights, const std::vector<ActorLayer>& layers) {
    const nn::RssmActor actor =
        ActorOf(layers, sizes_, actor_.kind == nn::ActionKind::kSquashed, actor_.floor);
    if (actor.layers != actor_.layers ||
        !std::equal(actor.units, actor.units + actor.layers, actor_.units)) {
      throw nb::value_error("actor: other layers than the plan's");
    }
    plan_.Load(WeightsOf(weights), actor);
  }

  std::string tier() const { return plan_.tier(); }
  int threads() const { return plan_.threads(); }

 private:
  nn::RssmShape shape_;
  nn::RssmStarts starts_;
  nn::RssmActor actor_;
  Shape sizes_;
  nn::RssmDreamPlan plan_;
};

// Steps and what their numbers are checked against.
class BoundRssm {
 public:
  BoundRssm(const Shape& shape, const Mixes& mixes, int steps, int batch, const Weights& weights,
            const Sequence& sequence, const StepOutputs& out, nb::handle, int precision)
      : shape_(ShapeOf(shape, mixes)),
        sequence_(SequenceOf(steps, batch, sequence)),
        plan_(shape_, WeightsOf(weights),
              {steps, batch, sequence_.deter, sequence_.state, sequence_.action, sequence_.embed,
               sequence_.keep, sequence_.noise, Floats(out[0]), Floats(out[1]), Indices(out[2]),
               Floats(out[3]), Floats(out[4])},
              PrecisionOf(precision)) {
    RaiseUnlessOk(plan_.loaded());
  }

  void Step() {
    RaiseForIndex(shape_, sequence_.state, sequence_.batch);
    if (plan_.macs() < kReleaseMacs) {
      plan_.Step();
    } else {
      nb::gil_scoped_release release;
      plan_.Step();
    }
  }

  void Load(const Weights& weights) { RaiseUnlessOk(plan_.Load(WeightsOf(weights))); }
  std::string tier() const { return plan_.tier(); }

 private:
  static nn::RssmPrecision PrecisionOf(int precision) {
    if (precision < 0 || precision >= static_cast<int>(nn::RssmPrecision::kCount)) {
      throw nb::value_error("precision: no such precision");
    }
    return static_cast<nn::RssmPrecision>(precision);
  }

  nn::RssmShape shape_;
  nn::RssmSequence sequence_;
  nn::RssmPlan plan_;
};

}  // namespace

void BindRssm(nb::module_& module) {
  module.def(
      "rssm_kernels", [] { return std::string(nn::ActiveRssmKernels().name); },
      "Name of the loops in use: portable, avx2 or avx512.");
  nb::class_<nn::RssmEngine>(
      module, "RssmEngine",
      "RSSM over sequences on threads of its own. Arguments are addresses of contiguous float32 "
      "that the caller has checked. shape: action, embed or 0, hidden, deter, groups, classes or "
      "0. mixes: share of the uniform distribution, least deviation. weights: in the order of "
      "RssmWeights. sequence: deter, stoch or 0, its indices (int32) or 0, action, embed or 0, "
      "keep or 0, noise.")
      .def(nb::init<int>(), nb::arg("threads"))
      .def("forward", &Forward, nb::arg("shape"), nb::arg("mixes"), nb::arg("steps"),
           nb::arg("batch"), nb::arg("weights"), nb::arg("sequence"), nb::arg("outputs"),
           "outputs: deter, stoch, prior, posterior or 0, indices (int32) or 0; for the gradient "
           "x, gates, prior_hidden, posterior_hidden, or 0 for all. Raises ValueError for an index "
           "that is no class; nothing is written then.")
      .def("backward", &Backward, nb::arg("shape"), nb::arg("mixes"), nb::arg("steps"),
           nb::arg("batch"), nb::arg("weights"), nb::arg("sequence"), nb::arg("saved"),
           nb::arg("given"), nb::arg("d_inputs"), nb::arg("d_weights"),
           "saved: what forward wrote. given: of deter, stoch, prior, posterior, each or 0. "
           "d_inputs: of deter, stoch or 0, action or 0, embed or 0.");
  nb::class_<nn::RssmImagination>(
      module, "RssmImagination",
      "Steps of prior and actor on threads of its own. Addresses as for RssmEngine.")
      .def(nb::init<int>(), nb::arg("threads"))
      .def("run", &Imagine, nb::arg("shape"), nb::arg("mixes"), nb::arg("steps"), nb::arg("batch"),
           nb::arg("weights"), nb::arg("actor"), nb::arg("squashed"), nb::arg("floor"),
           nb::arg("starts"), nb::arg("outputs"),
           "actor: (weight, bias, units) of each layer. starts: deter, stoch or 0, its indices "
           "(int32) or 0, noise, action_noise. outputs: deter, stoch, prior, indices (int32) or 0, "
           "action, log_prob, policy; for the gradient x, gates, prior_hidden, units (0 for an "
           "actor of one layer), or 0 for all. Raises ValueError for an index that is no class; "
           "nothing is written then.")
      .def(
          "backward", &ImagineBack, nb::arg("shape"), nb::arg("mixes"), nb::arg("steps"),
          nb::arg("batch"), nb::arg("weights"), nb::arg("actor"), nb::arg("squashed"),
          nb::arg("floor"), nb::arg("starts"), nb::arg("saved"), nb::arg("given"),
          nb::arg("d_inputs"), nb::arg("d_weights"), nb::arg("d_actor"),
          "saved: what run wrote. given: of deter, stoch, prior, action, log_prob, policy, each or "
          "0. d_inputs: of deter, stoch or 0. d_weights: the prior's ten. d_actor: (weight, bias) "
          "of each layer.");
  nb::class_<BoundRssm>(module, "RssmPlan",
                        "RSSM steps bound to memory. Addresses as for RssmEngine.")
      .def(nb::init<const Shape&, const Mixes&, int, int, const Weights&, const Sequence&,
                    const StepOutputs&, nb::handle, int>(),
           nb::arg("shape"), nb::arg("mixes"), nb::arg("steps"), nb::arg("batch"),
           nb::arg("weights"), nb::arg("sequence"), nb::arg("outputs"), nb::arg("held"),
           nb::arg("precision"), nb::keep_alive<1, 9>(),
           "outputs: deter, stoch, indices or 0, prior or 0, posterior or 0. precision: how the "
           "weights are kept, 0 float32, 1 bf16, 2 int8. held: what owns the memory; lives as long "
           "as this. Raises ValueError for weights that int8 has no codes for.")
      .def("step", &BoundRssm::Step,
           "The next states; allocates nothing. Raises ValueError for an index that is no class; "
           "nothing is written then.")
      .def("load", &BoundRssm::Load, nb::arg("weights"),
           "Packs weights of the same shape. Raises ValueError for those that int8 has no codes "
           "for; steps then go on with the ones from before.")
      .def_prop_ro("tier", &BoundRssm::tier, "Name of the loops it runs.");
  nb::class_<BoundDream>(module, "RssmDreamPlan",
                         "Dreams bound to memory. Arguments as for RssmImagination.run.")
      .def(nb::init<const Shape&, const Mixes&, int, int, const Weights&,
                    const std::vector<ActorLayer>&, bool, float, const Starts&, const Dream&,
                    nb::handle, int>(),
           nb::arg("shape"), nb::arg("mixes"), nb::arg("steps"), nb::arg("batch"),
           nb::arg("weights"), nb::arg("actor"), nb::arg("squashed"), nb::arg("floor"),
           nb::arg("starts"), nb::arg("outputs"), nb::arg("held"), nb::arg("threads"),
           nb::keep_alive<1, 12>(),
           "held: what owns the memory of starts and outputs; lives as long as this. threads: at "
           "most so many, where there is work for them.")
      .def("step", &BoundDream::Step,
           "Dreams from what the starts and the noises hold now; allocates nothing. Raises "
           "ValueError for an index that is no class; nothing is written then.")
      .def("load", &BoundDream::Load, nb::arg("weights"), nb::arg("actor"),
           "Packs weights of the same shapes.")
      .def_prop_ro("tier", &BoundDream::tier, "Name of the loops it runs.")
      .def_prop_ro("threads", &BoundDream::threads, "How many threads a dream takes at most.");
}

}  // namespace metabonk::bindings
