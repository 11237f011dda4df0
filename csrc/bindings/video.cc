// metabonk._core.video: frames of bytes. Addresses and sizes come from metabonk/ops/frames.py,
// which has checked them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "bindings/address.h"
#include "bindings/rooms.h"
#include "video/frames.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

// A conversion bound to its memory.
class FramePlan {
 public:
  explicit FramePlan(std::function<void()> run) : run_(std::move(run)) {}
  void Step() const {
    nb::gil_scoped_release release;
    run_();
  }

 private:
  std::function<void()> run_;
};

// Taps and scratch of one pair of shapes, which several plans may share.
struct SharedResizer {
  SharedResizer(int height, int width, int channels, int to_height, int to_width, bool area)
      : resizer(height, width, channels, to_height, to_width,
                area ? video::ResizeMethod::kArea : video::ResizeMethod::kBilinear) {}

  video::Resizer resizer;
  std::mutex one_caller;
};

video::ColourMatrix MatrixOf(bool bt709) {
  return bt709 ? video::ColourMatrix::kBt709 : video::ColourMatrix::kBt601;
}

FramePlan Resize(std::shared_ptr<SharedResizer> shared, Address frames, int64_t count, Address out,
                 nb::handle /* held */) {
  return FramePlan([=] {
    const std::lock_guard<std::mutex> lock(shared->one_caller);
    shared->resizer.Run(Bytes(frames), count, Bytes(out));
  });
}

FramePlan Grey(Address frames, int64_t pixels, Address out, nb::handle /* held */) {
  return FramePlan([=] { video::ActiveFrameKernels().grey(Bytes(frames), pixels, Bytes(out)); });
}

FramePlan Flip(Address frames, int64_t count, int height, int width, int channels, bool horizontal,
               bool vertical, Address out, nb::handle /* held */) {
  return FramePlan([=] {
    video::Flip(Bytes(frames), count, height, width, channels, horizontal, vertical, Bytes(out));
  });
}

FramePlan Normalise(Address frames, int64_t count, int64_t pixels, std::vector<float> scale,
                    std::vector<float> shift, bool planar, Address out, nb::handle /* held */) {
  if (scale.empty() || scale.size() != shift.size()) {
    throw nb::value_error("scale, shift: one number per channel each");
  }
  return FramePlan([=, scale = std::move(scale), shift = std::move(shift)] {
    const int channels = static_cast<int>(scale.size());
    for (int64_t n = 0; n < count; ++n) {
      const int64_t at = n * pixels * channels;
      video::ActiveFrameKernels().normalise(Bytes(frames) + at, pixels, channels, scale.data(),
                                            shift.data(), planar, Floats(out) + at);
    }
  });
}

FramePlan RgbToNv12(Address rgb, int64_t count, int height, int width, bool bt709, Address nv12,
                    nb::handle /* held */) {
  return FramePlan(
      [=] { video::RgbToNv12(Bytes(rgb), count, height, width, MatrixOf(bt709), Bytes(nv12)); });
}

FramePlan Nv12ToRgb(Address nv12, int64_t count, int height, int width, bool bt709, Address rgb,
                    nb::handle /* held */) {
  return FramePlan(
      [=] { video::Nv12ToRgb(Bytes(nv12), count, height, width, MatrixOf(bt709), Bytes(rgb)); });
}

}  // namespace

void BindVideo(nb::module_& core) {
  nb::module_ module = core.def_submodule("video", "Frames of bytes.");
  module.def(
      "frame_kernels", [] { return std::string(video::ActiveFrameKernels().name); },
      "Name of the loops in use: portable or avx2.");
  nb::class_<FramePlan>(module, "FramePlan",
                        "A conversion bound to its memory, which `held` keeps as long as the plan.")
      .def("step", &FramePlan::Step);
  nb::class_<SharedResizer>(module, "Resizer", "Taps of one pair of shapes.")
      .def(
          nb::new_([](int height, int width, int channels, int to_height, int to_width, bool area) {
            return std::make_shared<SharedResizer>(height, width, channels, to_height, to_width,
                                                   area);
          }),
          nb::arg("height"), nb::arg("width"), nb::arg("channels"), nb::arg("to_height"),
          nb::arg("to_width"), nb::arg("area"));
  module.def("resize", &Resize, nb::arg("resizer"), nb::arg("frames"), nb::arg("count"),
             nb::arg("out"), nb::arg("held"), nb::keep_alive<0, 5>());
  module.def("grey", &Grey, nb::arg("frames"), nb::arg("pixels"), nb::arg("out"), nb::arg("held"),
             nb::keep_alive<0, 4>());
  module.def("flip", &Flip, nb::arg("frames"), nb::arg("count"), nb::arg("height"),
             nb::arg("width"), nb::arg("channels"), nb::arg("horizontal"), nb::arg("vertical"),
             nb::arg("out"), nb::arg("held"), nb::keep_alive<0, 9>());
  module.def("normalise", &Normalise, nb::arg("frames"), nb::arg("count"), nb::arg("pixels"),
             nb::arg("scale"), nb::arg("shift"), nb::arg("planar"), nb::arg("out"), nb::arg("held"),
             nb::keep_alive<0, 8>());
  module.def("rgb_to_nv12", &RgbToNv12, nb::arg("rgb"), nb::arg("count"), nb::arg("height"),
             nb::arg("width"), nb::arg("bt709"), nb::arg("nv12"), nb::arg("held"),
             nb::keep_alive<0, 7>());
  module.def("nv12_to_rgb", &Nv12ToRgb, nb::arg("nv12"), nb::arg("count"), nb::arg("height"),
             nb::arg("width"), nb::arg("bt709"), nb::arg("rgb"), nb::arg("held"),
             nb::keep_alive<0, 7>());
}

}  // namespace metabonk::bindings
