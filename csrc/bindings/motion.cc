// metabonk._core.motion: how pictures move on.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <string>

#include "bindings/arrays.h"
#include "bindings/rooms.h"
#include "video/flow.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Picture = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;

class Flow {
 public:
  Flow(int height, int width) : height_(height), width_(width), flow_(height, width) {}

  void Observe(const Picture& before, const Picture& now) {
    Expect(before, "before");
    Expect(now, "now");
    const nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> lock(one_caller_);
    flow_.Run(before.data(), now.data());
  }

  nb::object Extrapolate(const Picture& now, float steps) {
    Expect(now, "now");
    if (!(std::fabs(steps) <= 64.0f)) throw nb::value_error("steps: must be -64 to 64");
    uint8_t* out;
    nb::object made = NewArray<uint8_t>(
        {static_cast<size_t>(height_), static_cast<size_t>(width_), size_t{3}}, &out);
    {
      const nb::gil_scoped_release release;
      const std::lock_guard<std::mutex> lock(one_caller_);
      flow_.Extrapolate(now.data(), steps, out);
    }
    return made;
  }

  nb::object Field() {
    float* out;
    nb::object made = NewArray<float>({static_cast<size_t>(flow_.flow_height()),
                                       static_cast<size_t>(flow_.flow_width()), size_t{2}},
                                      &out);
    const std::lock_guard<std::mutex> lock(one_caller_);
    std::copy(flow_.flow().begin(), flow_.flow().end(), out);
    return made;
  }

 private:
  void Expect(const Picture& picture, const char* name) const {
    if (picture.shape(0) == static_cast<size_t>(height_) &&
        picture.shape(1) == static_cast<size_t>(width_)) {
      return;
    }
    const std::string text = std::string(name) + ": must be uint8 [" + std::to_string(height_) +
                             ", " + std::to_string(width_) + ", 3]";
    throw nb::value_error(text.c_str());
  }

  int height_, width_;
  std::mutex one_caller_;
  video::DenseFlow flow_;
};

}  // namespace

void BindMotion(nb::module_& core) {
  nb::module_ module = core.def_submodule("motion", "How pictures move on.");
  nb::class_<Flow>(module, "Flow", "Dense optical flow between pictures of one size.")
      .def(
          "__init__",
          [](Flow* flow, int height, int width) {
            RaiseUnlessOk(video::DenseFlow::Check(height, width));
            new (flow) Flow(height, width);
          },
          nb::arg("height"), nb::arg("width"),
          "Raises ValueError for sides below 16 or above 4096.")
      .def("observe", &Flow::Observe, nb::arg("before").noconvert(), nb::arg("now").noconvert(),
           "Finds for every pixel of `now` where it was in `before`, both uint8 [H, W, 3].")
      .def("extrapolate", &Flow::Extrapolate, nb::arg("now").noconvert(), nb::arg("steps"),
           "`now` after the motion went on for `steps` times the time between the two pictures, "
           "uint8 [H, W, 3].")
      .def("field", &Flow::Field,
           "What was found: x and y in pixels, float32 [h, w, 2]; at half the size for pictures "
           "with sides of 128 or more.");
}

}  // namespace metabonk::bindings
