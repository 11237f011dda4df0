// metabonk._cuda: operations on frames of bytes on a stream. Taps and coefficients are those of the
// processor's kernels (csrc/video), so that results are the same bytes.
#include "video/frames.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "bindings/cuda/kernels.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Axis = std::array<Address, 2>;  // first, weights; on the device

MetabonkCudaColours Colours(bool bt709) {
  const video::ColourCoefficients& c =
      video::CoefficientsOf(bt709 ? video::ColourMatrix::kBt709 : video::ColourMatrix::kBt601);
  MetabonkCudaColours to = {};
  std::copy(c.luma, c.luma + 3, to.luma);
  std::copy(c.blue, c.blue + 3, to.blue);
  std::copy(c.red, c.red + 3, to.red);
  to.y = c.y;
  to.red_v = c.red_v;
  to.green_u = c.green_u;
  to.green_v = c.green_v;
  to.blue_u = c.blue_u;
  return to;
}

std::tuple<int, std::vector<int32_t>, std::vector<int16_t>> ResizeAxis(int from, int to,
                                                                       bool area) {
  if (from < 1 || to < 1) throw nb::value_error("resize_axis: from, to: must be 1 or more");
  const video::ResizeAxis axis = video::MakeResizeAxis(
      from, to, area ? video::ResizeMethod::kArea : video::ResizeMethod::kBilinear);
  return {axis.taps, axis.first, axis.weights};
}

void Resize(Address frames, int64_t count, const std::array<int, 5>& sizes,
            const std::array<int, 2>& taps, const Axis& rows, const Axis& columns, Address out,
            Address stream) {
  const auto [height, width, channels, to_height, to_width] = sizes;
  const MetabonkCudaResize resize = {
      .count = count,
      .height = height,
      .width = width,
      .channels = channels,
      .to_height = to_height,
      .to_width = to_width,
      .row_taps = taps[0],
      .column_taps = taps[1],
      .frames = At<uint8_t>(frames),
      .row_first = At<int32_t>(rows[0]),
      .column_first = At<int32_t>(columns[0]),
      .row_weights = At<int16_t>(rows[1]),
      .column_weights = At<int16_t>(columns[1]),
      .out = At<uint8_t>(out),
  };
  RaiseUnlessStarted("resize", metabonk_cuda_resize(&resize, At<void>(stream)));
}

void Grey(Address rgb, int64_t pixels, Address out, Address stream) {
  RaiseUnlessStarted(
      "grey", metabonk_cuda_grey(At<uint8_t>(rgb), pixels, At<uint8_t>(out), At<void>(stream)));
}

void Flip(Address frames, int64_t count, const std::array<int, 3>& sizes, bool horizontal,
          bool vertical, Address out, Address stream) {
  const auto [height, width, channels] = sizes;
  RaiseUnlessStarted(
      "flip", metabonk_cuda_flip(At<uint8_t>(frames), count, height, width, channels, horizontal,
                                 vertical, At<uint8_t>(out), At<void>(stream)));
}

void Normalise(Address frames, int64_t count, int64_t pixels, const std::vector<float>& scale,
               const std::vector<float>& shift, bool planar, Address out, Address stream) {
  if (scale.size() != shift.size() || scale.size() > kMetabonkCudaFrameChannels) {
    throw nb::value_error("normalise: scale, shift: must be one number each per channel, up to 16");
  }
  MetabonkCudaAffine affine = {};
  std::copy(scale.begin(), scale.end(), affine.scale);
  std::copy(shift.begin(), shift.end(), affine.shift);
  RaiseUnlessStarted(
      "normalise",
      metabonk_cuda_normalise(At<uint8_t>(frames), count, pixels, static_cast<int>(scale.size()),
                              &affine, planar, At<float>(out), At<void>(stream)));
}

void RgbToNv12(Address rgb, int64_t count, int height, int width, bool bt709, Address nv12,
               Address stream) {
  const MetabonkCudaColours colours = Colours(bt709);
  RaiseUnlessStarted("rgb_to_nv12",
                     metabonk_cuda_rgb_to_nv12(At<uint8_t>(rgb), count, height, width, &colours,
                                               At<uint8_t>(nv12), At<void>(stream)));
}

void Nv12ToRgb(Address nv12, int64_t count, int height, int width, bool bt709, Address rgb,
               Address stream) {
  const MetabonkCudaColours colours = Colours(bt709);
  RaiseUnlessStarted("nv12_to_rgb",
                     metabonk_cuda_nv12_to_rgb(At<uint8_t>(nv12), count, height, width, &colours,
                                               At<uint8_t>(rgb), At<void>(stream)));
}

}  // namespace

void BindCudaFrames(nb::module_& module) {
  module.def("resize_axis", &ResizeAxis, nb::arg("from_"), nb::arg("to"), nb::arg("area"),
             "Taps per coordinate, first [to] int32 and weights [to, taps] int16.");
  module.def("resize", &Resize, nb::arg("frames"), nb::arg("count"), nb::arg("sizes"),
             nb::arg("taps"), nb::arg("rows"), nb::arg("columns"), nb::arg("out"),
             nb::arg("stream"));
  module.def("grey", &Grey, nb::arg("rgb"), nb::arg("pixels"), nb::arg("out"), nb::arg("stream"));
  module.def("flip", &Flip, nb::arg("frames"), nb::arg("count"), nb::arg("sizes"),
             nb::arg("horizontal"), nb::arg("vertical"), nb::arg("out"), nb::arg("stream"));
  module.def("normalise", &Normalise, nb::arg("frames"), nb::arg("count"), nb::arg("pixels"),
             nb::arg("scale"), nb::arg("shift"), nb::arg("planar"), nb::arg("out"),
             nb::arg("stream"));
  module.def("rgb_to_nv12", &RgbToNv12, nb::arg("rgb"), nb::arg("count"), nb::arg("height"),
             nb::arg("width"), nb::arg("bt709"), nb::arg("nv12"), nb::arg("stream"));
  module.def("nv12_to_rgb", &Nv12ToRgb, nb::arg("nv12"), nb::arg("count"), nb::arg("height"),
             nb::arg("width"), nb::arg("bt709"), nb::arg("rgb"), nb::arg("stream"));
}

}  // namespace metabonk::bindings
