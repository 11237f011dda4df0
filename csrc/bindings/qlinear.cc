// metabonk._core.nn: number formats, quantised weights and their linear layers. Pointers and sizes
// come from metabonk/ops, which has checked them; nothing here knows arrays or tensors.
#include "nn/qlinear.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "bindings/address.h"
#include "bindings/arrays.h"
#include "bindings/rooms.h"
#include "nn/formats.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

// Below this the call is about as long as giving up the interpreter's lock and getting it back.
constexpr int64_t kReleaseProducts = int64_t{1} << 20;

nn::NumberFormat NumbersOf(int format) {
  if (format < 0 || format >= static_cast<int>(nn::NumberFormat::kCount)) {
    throw nb::value_error("format: no such number format");
  }
  return static_cast<nn::NumberFormat>(format);
}

nn::WeightShape ShapeOf(int format, int outputs, int inputs) {
  const nn::WeightShape shape{static_cast<nn::WeightFormat>(format), outputs, inputs};
  RaiseUnlessOk(nn::CheckWeights(shape));
  return shape;
}

// codes, scales, and nvfp4's tensor scale or 0
nn::WeightArrays ArraysOf(Address codes, Address scales, Address tensor_scale) {
  return {Bytes(codes), Bytes(scales), Floats(tensor_scale)};
}

void Forward(nn::QLinearEngine& engine, int format, int outputs, int inputs, Address panels,
             Address bias, int64_t rows, Address x, Address y) {
  const nn::QWeights weights{ShapeOf(format, outputs, inputs), Bytes(panels), Floats(bias)};
  nb::gil_scoped_release release;
  engine.Forward(weights, rows, Floats(x), Floats(y));
}

// A plan and what owns the memory that it was given.
struct HeldPlan {
  nn::QLinearPlan plan;
  nb::object held;
};

void Plan(HeldPlan* plan, int format, int outputs, int inputs, Address panels, Address bias,
          int64_t rows, Address x, Address y, nb::object held, int threads) {
  if (threads < 1) throw nb::value_error("threads: must be 1 or more");
  const nn::QWeights weights{ShapeOf(format, outputs, inputs), Bytes(panels), Floats(bias)};
  new (plan)
      HeldPlan{nn::QLinearPlan(weights, rows, Floats(x), Floats(y), threads), std::move(held)};
}

void Step(HeldPlan& held) {
  if (held.plan.products() < kReleaseProducts) {
    held.plan.Step();
  } else {
    nb::gil_scoped_release release;
    held.plan.Step();
  }
}

void Load(HeldPlan& held, Address panels, Address bias, nb::object owner) {
  held.plan.Load(Bytes(panels), Floats(bias));
  held.held = std::move(owner);
}

void BindWeights(nb::module_& module) {
  module.def(
      "encode_numbers",
      [](int format, Address from, int64_t count, Address codes) {
        nn::EncodeNumbers(NumbersOf(format), Floats(from), count, Bytes(codes));
      },
      nb::arg("format"), nb::arg("numbers"), nb::arg("count"), nb::arg("codes"),
      "format: 0 bf16, 1 e4m3, 2 e2m1, 3 e8m0 rounded down, 4 rounded up.");
  module.def(
      "decode_numbers",
      [](int format, Address codes, int64_t count, Address to) {
        nn::DecodeNumbers(NumbersOf(format), Bytes(codes), count, Floats(to));
      },
      nb::arg("format"), nb::arg("codes"), nb::arg("count"), nb::arg("numbers"));
  module.def(
      "weight_bytes",
      [](int format, int outputs, int inputs) {
        const nn::WeightShape shape = ShapeOf(format, outputs, inputs);
        return std::make_tuple(nn::CodeBytes(shape.format, inputs),
                               nn::ScaleBytes(shape.format, inputs),
                               nn::PanelLayout(shape).bytes());
      },
      nb::arg("format"), nb::arg("outputs"), nb::arg("inputs"),
      "(codes of one output, scales of one output, panels of all). "
      "format: 0 int8, 1 int4, 2 bf16, 3 fp8, 4 nvfp4, 5 mxfp8.");
  module.def(
      "quantize_weights",
      [](int format, int outputs, int inputs, Address weight, Address codes, Address scales,
         Address tensor_scale) {
        RaiseUnlessOk(nn::QuantizeWeights(ShapeOf(format, outputs, inputs), Floats(weight),
                                          ArraysOf(codes, scales, tensor_scale)));
      },
      nb::arg("format"), nb::arg("outputs"), nb::arg("inputs"), nb::arg("weight"), nb::arg("codes"),
      nb::arg("scales"), nb::arg("tensor_scale"));
  module.def(
      "dequantize_weights",
      [](int format, int outputs, int inputs, Address codes, Address scales, Address tensor_scale,
         Address weight) {
        nn::DequantizeWeights(ShapeOf(format, outputs, inputs),
                              ArraysOf(codes, scales, tensor_scale), Floats(weight));
      },
      nb::arg("format"), nb::arg("outputs"), nb::arg("inputs"), nb::arg("codes"), nb::arg("scales"),
      nb::arg("tensor_scale"), nb::arg("weight"));
  module.def(
      "pack_panels",
      [](int format, int outputs, int inputs, Address codes, Address scales, Address tensor_scale,
         Address panels) {
        const nn::WeightShape shape = ShapeOf(format, outputs, inputs);
        const nn::WeightArrays arrays = ArraysOf(codes, scales, tensor_scale);
        RaiseUnlessOk(nn::CheckCodes(shape, arrays));
        nn::PackPanels(nn::PanelLayout(shape), arrays, Bytes(panels));
      },
      nb::arg("format"), nb::arg("outputs"), nb::arg("inputs"), nb::arg("codes"), nb::arg("scales"),
      nb::arg("tensor_scale"), nb::arg("panels"));
  module.def(
      "unpack_panels",
      [](int format, int outputs, int inputs, Address panels, Address codes, Address scales,
         Address tensor_scale) {
        nn::UnpackPanels(nn::PanelLayout(ShapeOf(format, outputs, inputs)), Bytes(panels),
                         ArraysOf(codes, scales, tensor_scale));
      },
      nb::arg("format"), nb::arg("outputs"), nb::arg("inputs"), nb::arg("panels"), nb::arg("codes"),
      nb::arg("scales"), nb::arg("tensor_scale"));
}

}  // namespace

void BindQLinear(nb::module_& module) {
  BindWeights(module);
  module.def(
      "qlinear_kernels",
      [](int format, int64_t rows) {
        return std::string(nn::ActiveQLinearKernels(ShapeOf(format, 1, 1).format, rows).name);
      },
      nb::arg("format"), nb::arg("rows"),
      "Name of the loops in use for so many rows: portable, avx2, avx512, vnni, bf16 or amx.");
  nb::class_<nn::QLinearEngine>(
      module, "QLinearEngine",
      "Linear layers over packed weights on threads of its own. Arguments are addresses that the "
      "caller has checked: panels as pack_panels writes them, bias float32 or 0.")
      .def(nb::init<int>(), nb::arg("threads"))
      .def("forward", &Forward, nb::arg("format"), nb::arg("outputs"), nb::arg("inputs"),
           nb::arg("panels"), nb::arg("bias"), nb::arg("rows"), nb::arg("x"), nb::arg("y"));
  nb::class_<HeldPlan>(
      module, "QLinearPlan",
      "One product bound to memory. Addresses as for QLinearEngine; held: what owns "
      "the memory, lives as long as this.")
      .def("__init__", &Plan, nb::arg("format"), nb::arg("outputs"), nb::arg("inputs"),
           nb::arg("panels"), nb::arg("bias"), nb::arg("rows"), nb::arg("x"), nb::arg("y"),
           nb::arg("held"), nb::arg("threads"),
           "threads: at most so many, for large products only.")
      .def("step", &Step, "y = what x holds now times the weights; allocates nothing.")
      .def("load", &Load, nb::arg("panels"), nb::arg("bias"), nb::arg("held"),
           "Other weights of the same shape.")
      .def_prop_ro(
          "tier", [](const HeldPlan& held) { return std::string(held.plan.tier()); },
          "Name of the loops it runs.")
      .def_prop_ro(
          "threads", [](const HeldPlan& held) { return held.plan.threads(); },
          "How many threads a step takes.");
}

}  // namespace metabonk::bindings
