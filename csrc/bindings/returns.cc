// metabonk._core.nn: returns. Addresses and sizes come from metabonk/ops/gae.py and
// lambda_returns.py, which have checked them.
#include "nn/returns.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <string>

#include "bindings/address.h"
#include "bindings/rooms.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

class Gae {
 public:
  Gae(int64_t steps, int64_t columns, Address reward, Address value, Address terminated,
      Address truncated, Address is_reset, Address discount, float gamma, float lambda)
      : batch_{steps,           columns,           Floats(reward),
               Floats(value),   Bytes(terminated), Bytes(truncated),
               Bytes(is_reset), Floats(discount),  gamma,
               lambda} {}

  void Run(Address out) const {
    nb::gil_scoped_release release;
    nn::ActiveReturnsKernels().gae(batch_, Floats(out));
  }
  void Gradient(Address d_out, Address d_reward, Address d_value) const {
    nb::gil_scoped_release release;
    nn::ActiveReturnsKernels().gae_gradient(batch_, Floats(d_out), Floats(d_reward),
                                            Floats(d_value));
  }

 private:
  nn::GaeBatch batch_;
};

class LambdaReturns {
 public:
  LambdaReturns(int64_t steps, int64_t columns, Address reward, Address value, Address discount,
                float lambda)
      : batch_{steps, columns, Floats(reward), Floats(value), Floats(discount), lambda} {}

  void Run(Address out) const {
    nb::gil_scoped_release release;
    nn::ActiveReturnsKernels().lambda_returns(batch_, Floats(out));
  }
  void Gradient(Address out, Address d_out, Address d_reward, Address d_value,
                Address d_discount) const {
    nb::gil_scoped_release release;
    nn::ActiveReturnsKernels().lambda_gradient(batch_, Floats(out), Floats(d_out), Floats(d_reward),
                                               Floats(d_value), Floats(d_discount));
  }

 private:
  nn::LambdaBatch batch_;
};

// A computation and where its result goes.
template <typename Returns>
class Plan {
 public:
  Plan(const Returns& returns, Address out, nb::handle /* held */) : returns_(returns), out_(out) {}
  void Step() const { returns_.Run(out_); }

 private:
  Returns returns_;
  Address out_;
};

}  // namespace

void BindReturns(nb::module_& nn) {
  nn.def(
      "returns_kernels", [] { return std::string(nn::ActiveReturnsKernels().name); },
      "Name of the loops in use: portable, avx2 or avx512.");
  nb::class_<Gae>(nn, "Gae", "Generalised advantages of one batch, by address; 0 for none.")
      .def(nb::init<int64_t, int64_t, Address, Address, Address, Address, Address, Address, float,
                    float>(),
           nb::arg("steps"), nb::arg("columns"), nb::arg("reward"), nb::arg("value"),
           nb::arg("terminated"), nb::arg("truncated"), nb::arg("is_reset"), nb::arg("discount"),
           nb::arg("gamma"), nb::arg("gae_lambda"))
      .def("run", &Gae::Run, nb::arg("out"))
      .def("gradient", &Gae::Gradient, nb::arg("d_out"), nb::arg("d_reward"), nb::arg("d_value"));
  nb::class_<LambdaReturns>(nn, "LambdaReturns", "Lambda-returns of one batch, by address.")
      .def(nb::init<int64_t, int64_t, Address, Address, Address, float>(), nb::arg("steps"),
           nb::arg("columns"), nb::arg("reward"), nb::arg("value"), nb::arg("discount"),
           nb::arg("lambda_"))
      .def("run", &LambdaReturns::Run, nb::arg("out"))
      .def("gradient", &LambdaReturns::Gradient, nb::arg("out"), nb::arg("d_out"),
           nb::arg("d_reward"), nb::arg("d_value"), nb::arg("d_discount"));
  nb::class_<Plan<Gae>>(nn, "GaePlan", "Advantages bound to where they go.")
      .def(nb::init<const Gae&, Address, nb::handle>(), nb::keep_alive<1, 4>(), nb::arg("gae"),
           nb::arg("out"), nb::arg("held"), "held: whose memory it is, kept as long as the plan.")
      .def("step", &Plan<Gae>::Step);
  nb::class_<Plan<LambdaReturns>>(nn, "LambdaReturnsPlan", "Returns bound to where they go.")
      .def(nb::init<const LambdaReturns&, Address, nb::handle>(), nb::keep_alive<1, 4>(),
           nb::arg("returns"), nb::arg("out"), nb::arg("held"),
           "held: whose memory it is, kept as long as the plan.")
      .def("step", &Plan<LambdaReturns>::Step);
}

}  // namespace metabonk::bindings
