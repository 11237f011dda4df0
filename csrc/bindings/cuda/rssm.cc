// metabonk._cuda.rssm and .imagine: steps of an RSSM's prior on a stream, under actions that are
// given or that an actor chooses.
#include <nanobind/stl/array.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <tuple>
#include <vector>

#include "bindings/cuda/kernels.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

// steps, rows, actions, embed, hidden, units, groups, classes
using Sizes = std::array<int, 8>;
using Sequence = std::array<Address, 4>;  // action, h, index, uniform
// w_action, table, b_embed, w_x, w_h, b_x, b_h, w_prior, b_prior, w_logits, b_logits
using Weights = std::array<Address, 11>;
using Outputs = std::array<Address, 3>;  // h, log-probabilities or 0, index

MetabonkCudaRssm Sized(const Sizes& sizes) {
  const auto [steps, rows, actions, embed, hidden, units, groups, classes] = sizes;
  MetabonkCudaRssm rssm = {};
  rssm.steps = steps;
  rssm.rows = rows;
  rssm.actions = actions;
  rssm.embed = embed;
  rssm.hidden = hidden;
  rssm.units = units;
  rssm.groups = groups;
  rssm.classes = classes;
  return rssm;
}

MetabonkCudaRssm Bound(const Sizes& sizes, float mix, const Sequence& sequence, const Weights& w,
                       const Outputs& outputs, Address scratch) {
  MetabonkCudaRssm rssm = Sized(sizes);
  rssm.mix = mix;
  rssm.action = At<float>(sequence[0]);
  rssm.h = At<float>(sequence[1]);
  rssm.index = At<int32_t>(sequence[2]);
  rssm.uniform = At<float>(sequence[3]);
  rssm.w_action = At<uint16_t>(w[0]);
  rssm.table = At<uint16_t>(w[1]);
  rssm.b_embed = At<float>(w[2]);
  rssm.w_x = At<uint16_t>(w[3]);
  rssm.w_h = At<uint16_t>(w[4]);
  rssm.b_x = At<float>(w[5]);
  rssm.b_h = At<float>(w[6]);
  rssm.w_prior = At<uint16_t>(w[7]);
  rssm.b_prior = At<float>(w[8]);
  rssm.w_logits = At<uint16_t>(w[9]);
  rssm.b_logits = At<float>(w[10]);
  rssm.out_h = At<float>(outputs[0]);
  rssm.out_log_probs = At<float>(outputs[1]);
  rssm.out_index = At<int32_t>(outputs[2]);
  rssm.scratch = At<void>(scratch);
  return rssm;
}

void Rssm(const Sizes& sizes, float mix, const Sequence& sequence, const Weights& w,
          const Outputs& outputs, Address scratch, Address stream) {
  const MetabonkCudaRssm rssm = Bound(sizes, mix, sequence, w, outputs, scratch);
  RaiseUnlessStarted("rssm", metabonk_cuda_rssm(&rssm, At<void>(stream)));
}

using Actor = std::vector<std::tuple<Address, Address, int>>;  // weight, bias, units
using Acted = std::array<Address, 3>;                          // action, log_prob, policy

MetabonkCudaImagine Acting(const Actor& actor, bool squashed) {
  if (actor.empty() || actor.size() > kMetabonkCudaActorLayers) {
    throw nb::value_error("imagine: actor: must have 1 to 4 layers");
  }
  MetabonkCudaImagine imagine = {};
  imagine.squashed = squashed ? 1 : 0;
  for (const auto& [weight, bias, units] : actor) {
    imagine.weights[imagine.layers] = At<uint16_t>(weight);
    imagine.biases[imagine.layers] = At<float>(bias);
    imagine.units[imagine.layers++] = units;
  }
  return imagine;
}

void Imagine(const Sizes& sizes, float mix, const Sequence& sequence, const Weights& w,
             const Outputs& outputs, const Actor& actor, Address table, bool squashed, float floor,
             Address action_noise, const Acted& acted, Address scratch, Address stream) {
  MetabonkCudaImagine imagine = Acting(actor, squashed);
  imagine.rssm = Bound(sizes, mix, sequence, w, outputs, scratch);
  imagine.floor = floor;
  imagine.action_noise = At<float>(action_noise);
  imagine.table = At<uint16_t>(table);
  imagine.out_action = At<float>(acted[0]);
  imagine.out_log_prob = At<float>(acted[1]);
  imagine.out_policy = At<float>(acted[2]);
  RaiseUnlessStarted("imagine", metabonk_cuda_imagine(&imagine, At<void>(stream)));
}

int64_t ImagineScratch(const Sizes& sizes, const std::vector<int>& units) {
  Actor actor;
  for (const int width : units) actor.emplace_back(0, 0, width);
  MetabonkCudaImagine imagine = Acting(actor, false);
  imagine.rssm = Sized(sizes);
  return metabonk_cuda_imagine_scratch(&imagine);
}

int64_t Scratch(const Sizes& sizes) {
  const MetabonkCudaRssm rssm = Sized(sizes);
  return metabonk_cuda_rssm_scratch(&rssm);
}

}  // namespace

void BindCudaRssm(nb::module_& module) {
  module.def("rssm", &Rssm, nb::arg("sizes"), nb::arg("mix"), nb::arg("sequence"),
             nb::arg("weights"), nb::arg("outputs"), nb::arg("scratch"), nb::arg("stream"));
  module.def("rssm_scratch", &Scratch, nb::arg("sizes"));
  module.def("imagine", &Imagine, nb::arg("sizes"), nb::arg("mix"), nb::arg("sequence"),
             nb::arg("weights"), nb::arg("outputs"), nb::arg("actor"), nb::arg("table"),
             nb::arg("squashed"), nb::arg("floor"), nb::arg("action_noise"), nb::arg("acted"),
             nb::arg("scratch"), nb::arg("stream"));
  module.def("imagine_scratch", &ImagineScratch, nb::arg("sizes"), nb::arg("units"));
}

}  // namespace metabonk::bindings
