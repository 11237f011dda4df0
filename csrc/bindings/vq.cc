// metabonk._core.nn: vector quantisation. Addresses and sizes come from metabonk/ops/vq.py, which
// has checked them; what can only be seen in the numbers is checked by the core and raised here.
#include "nn/vq.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <mutex>
#include <string>

#include "bindings/address.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

int64_t* Indices(Address address) { return address.To<int64_t>(); }

void RaiseForCode(int64_t code) {
  if (code < 0) return;
  throw nb::value_error(("vq_lookup: codebook: code " + std::to_string(code) +
                         " holds NaN, infinity or a norm beyond float32")
                            .c_str());
}

void RaiseForRow(int64_t row) {
  if (row < 0) return;
  throw nb::value_error(("vq_lookup: x: row " + std::to_string(row) +
                         " holds NaN, infinity or numbers whose products overflow float32")
                            .c_str());
}

// An engine and the codebook that it packs anew in every call.
class Engine {
 public:
  explicit Engine(int threads) : engine_(threads) {}

  void Lookup(Address x, int64_t rows, Address codes, int64_t count, int width, bool dot,
              Address index, Address quantized) {
    int64_t code, row = -1;
    {
      nb::gil_scoped_release release;
      const std::lock_guard<std::mutex> lock(one_caller_);
      const auto metric = dot ? nn::VqMetric::kDot : nn::VqMetric::kEuclidean;
      code = codebook_.Pack(Floats(codes), count, width, metric);
      if (code < 0) {
        row = engine_.Lookup(codebook_, Floats(x), rows, Indices(index), Floats(codes),
                             Floats(quantized));
      }
    }
    RaiseForCode(code);
    RaiseForRow(row);
  }

  void Accumulate(Address x, Address index, int64_t rows, int64_t count, int width, Address counts,
                  Address sums) {
    int64_t row;
    {
      nb::gil_scoped_release release;
      row = engine_.Accumulate(Floats(x), Indices(index), rows, count, width, Floats(counts),
                               Floats(sums));
    }
    if (row < 0) return;
    throw nb::value_error(("vq_statistics: index: entry " + std::to_string(row) +
                           " is no code's: wanted -1 to " + std::to_string(count - 1))
                              .c_str());
  }

  nn::VqEngine& native() { return engine_; }

 private:
  nn::VqEngine engine_;
  std::mutex one_caller_;
  nn::VqCodebook codebook_;
};

// Shapes and memory bound once, the codebook packed once.
class Plan {
 public:
  Plan(Engine& engine, Address x, int64_t rows, Address codes, int64_t count, int width, bool dot,
       Address index, Address quantized, nb::handle /* held */)
      : engine_(engine.native()),
        metric_(dot ? nn::VqMetric::kDot : nn::VqMetric::kEuclidean),
        x_(Floats(x)),
        codes_(Floats(codes)),
        quantized_(Floats(quantized)),
        index_(Indices(index)),
        rows_(rows),
        count_(count),
        width_(width) {
    Repack();
    engine_.Reserve(codebook_, rows);
  }

  void Repack() { RaiseForCode(codebook_.Pack(codes_, count_, width_, metric_)); }

  void Step() {
    int64_t row;
    {
      nb::gil_scoped_release release;
      row = engine_.Lookup(codebook_, x_, rows_, index_, codes_, quantized_);
    }
    RaiseForRow(row);
  }

 private:
  nn::VqEngine& engine_;
  nn::VqCodebook codebook_;
  nn::VqMetric metric_;
  const float* x_;
  const float* codes_;
  float* quantized_;
  int64_t* index_;
  int64_t rows_, count_;
  int width_;
};

}  // namespace

void BindVq(nb::module_& nn) {
  nn.def(
      "vq_kernels",
      [] {
        return std::string(nn::ActiveVqScreen() != nullptr ? nn::ActiveVqScreen()->name
                                                           : nn::ActiveVqKernels().name);
      },
      "Name of the loops in use: portable, avx2, avx512, or bf16 or amx (which screen for "
      "avx512).");
  nb::class_<Engine>(nn, "VqEngine",
                     "Nearest codes on threads of its own. Arguments are addresses of contiguous "
                     "float32 and int64 that the caller has checked.")
      .def(nb::init<int>(), nb::arg("threads"))
      .def("lookup", &Engine::Lookup, nb::arg("x"), nb::arg("rows"), nb::arg("codes"),
           nb::arg("count"), nb::arg("width"), nb::arg("dot"), nb::arg("index"),
           nb::arg("quantized"),
           "quantized: 0 where nobody asks. Raises ValueError for numbers that are not finite; "
           "nothing is written then.")
      .def("accumulate", &Engine::Accumulate, nb::arg("x"), nb::arg("index"), nb::arg("rows"),
           nb::arg("count"), nb::arg("width"), nb::arg("counts"), nb::arg("sums"),
           "Raises ValueError for an index that is no code's; nothing is written then.");
  nb::class_<Plan>(nn, "VqPlan", "A lookup bound to its memory.")
      .def(nb::init<Engine&, Address, int64_t, Address, int64_t, int, bool, Address, Address,
                    nb::handle>(),
           nb::keep_alive<1, 2>(), nb::keep_alive<1, 11>(), nb::arg("engine"), nb::arg("x"),
           nb::arg("rows"), nb::arg("codes"), nb::arg("count"), nb::arg("width"), nb::arg("dot"),
           nb::arg("index"), nb::arg("quantized"), nb::arg("held"),
           "held: whose memory it is, kept as long as the plan.")
      .def("repack", &Plan::Repack, "Reads the codes again.")
      .def("step", &Plan::Step, "Looks all rows up.");
}

}  // namespace metabonk::bindings
