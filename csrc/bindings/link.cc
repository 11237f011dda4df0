#include "bindings/link.h"

#include <nanobind/stl/string.h>

#include <cstring>
#include <memory>
#include <string>

#include "bindings/arrays.h"

namespace nb = nanobind;

namespace metabonk::bindings {

std::span<const uint8_t> BytesOf(const nb::bytes& bytes) {
  return {static_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

nb::bytes ToBytes(std::span<const uint8_t> bytes) { return nb::bytes(bytes.data(), bytes.size()); }

link::StateTrailers TrailersFrom(const std::optional<InputTuple>& input,
                                 const std::optional<AnnouncementTuple>& announcement,
                                 const std::optional<StepTuple>& step, bool extra) {
  link::StateTrailers trailers;
  trailers.extra = extra;
  if (input) {
    const auto& [move_x, move_y, look_x, look_y, fire, ability, interact, ui_click, x, y] = *input;
    trailers.input = {{move_x, move_y}, {look_x, look_y}, fire,  ability,
                      interact,         ui_click,         {x, y}};
  }
  if (announcement) {
    const auto& [lowest, highest, capabilities] = *announcement;
    trailers.announcement = {lowest, highest, capabilities};
  }
  if (step) {
    const auto& [reward, is_first, terminated, truncated, action, episode, returned] = *step;
    trailers.step = {reward, is_first, terminated, truncated, action, episode, returned};
  }
  return trailers;
}

nb::tuple TrailersTo(const link::StateTrailers& trailers) {
  nb::object input = nb::none(), announcement = nb::none(), step = nb::none();
  if (trailers.input) {
    const link::InputSnapshot& is = *trailers.input;
    input = nb::make_tuple(is.move[0], is.move[1], is.look[0], is.look[1], is.fire != 0,
                           is.ability != 0, is.interact != 0, is.ui_click != 0, is.click[0],
                           is.click[1]);
  }
  if (trailers.announcement) {
    const link::Announcement& is = *trailers.announcement;
    announcement = nb::make_tuple(is.lowest_version, is.highest_version, is.capabilities);
  }
  if (trailers.step) {
    const link::StepResult& is = *trailers.step;
    step = nb::make_tuple(is.reward, is.is_first != 0, is.terminated != 0, is.truncated != 0,
                          is.action_sequence, is.episode, is.returned);
  }
  return nb::make_tuple(input, announcement, step, trailers.extra);
}

void StateFrom(const Packed& packed, GameState* state) {
  if (packed.size() != sizeof(GameState)) {
    throw nb::value_error(("state: " + std::to_string(packed.size()) +
                           " bytes, a packed GameState has " + std::to_string(sizeof(GameState)))
                              .c_str());
  }
  std::memcpy(static_cast<void*>(state), packed.data(), sizeof *state);
  if (state->entity_count > kMaxEntities || state->pickup_count > kMaxPickups ||
      state->widget_count > kMaxWidgets || state->offer_count > kMaxOffers) {
    throw nb::value_error("state: a count exceeds its list");
  }
}

Action ActionFrom(const Row& row) {
  if (row.size() != kActionColumns) throw nb::value_error("action: must be float32 [12]");
  Action action;
  std::memcpy(&action, row.data(), sizeof action);
  return action;
}

nb::object RowOf(const Action& action) {
  float* data = nullptr;
  nb::object row = NewArray<float>({kActionColumns}, &data);
  std::memcpy(data, &action, sizeof action);
  return row;
}

link::FrameView FrameFrom(nb::handle frame, bool bottom_up) {
  link::FrameView view;
  if (frame.is_none()) return view;
  if (nb::isinstance<nb::bytes>(frame)) {
    view.format = link::PixelFormat::kJpeg;
    view.pixels = BytesOf(nb::borrow<nb::bytes>(frame));
    RaiseLink(link::JpegSize(view.pixels, &view.width, &view.height));
    return view;
  }
  using Picture = nb::ndarray<const uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
  Picture picture;
  if (!nb::try_cast<Picture>(frame, picture, false) ||
      (picture.shape(2) != 3 && picture.shape(2) != 4)) {
    throw nb::type_error(
        "frame: must be uint8 [H, W, 3 or 4], C-contiguous (see numpy.ascontiguousarray), the "
        "bytes of a JPEG, or None");
  }
  view.format = picture.shape(2) == 3 ? link::PixelFormat::kRgb : link::PixelFormat::kRgba;
  view.row_order = bottom_up ? link::RowOrder::kBottomUp : link::RowOrder::kTopDown;
  if (picture.shape(0) > link::kFrameSideMax || picture.shape(1) > link::kFrameSideMax) {
    throw nb::value_error("frame: height and width must be at most 16384");
  }
  view.height = static_cast<uint32_t>(picture.shape(0));
  view.width = static_cast<uint32_t>(picture.shape(1));
  view.stride = view.width * view.channels();
  view.pixels = {picture.data(), picture.size()};
  return view;
}

nb::tuple FrameTo(const link::FrameView& frame) {
  const int format = static_cast<int>(frame.format);
  if (frame.format == link::PixelFormat::kJpeg) {
    return nb::make_tuple(format, frame.width, frame.height, ToBytes(frame.pixels));
  }
  const size_t size = size_t{frame.height} * frame.width * 3;
  auto pixels = std::make_unique<uint8_t[]>(size);
  {
    const nb::gil_scoped_release release;
    const Status status = link::CopyUpright(frame, {pixels.get(), size});
    if (!status.ok()) {
      const nb::gil_scoped_acquire acquire;
      RaiseLink(status);
    }
  }
  const size_t shape[3] = {frame.height, frame.width, 3};
  uint8_t* data = pixels.release();
  const nb::capsule owner(data,
                          [](void* memory) noexcept { delete[] static_cast<uint8_t*>(memory); });
  return nb::make_tuple(format, frame.width, frame.height,
                        nb::cast(nb::ndarray<nb::numpy, uint8_t>(data, 3, shape, owner)));
}

link::Protocol ProtocolFrom(const std::string& name) {
  if (name == "v1") return link::Protocol::kV1;
  if (name == "v2") return link::Protocol::kV2;
  if (name == "auto") return link::Protocol::kAuto;
  throw nb::value_error("protocol: one of v1, v2, auto");
}

link::Axes AxesFrom(const std::string& name) {
  if (name == "ours") return link::Axes::kOurs;
  if (name == "unity") return link::Axes::kUnity;
  throw nb::value_error("axes: one of ours, unity");
}

void RaiseLink(const Status& status) {
  if (status.ok()) return;
  const std::string text = std::string(status.where) + ": " + status.what;
  if (status.code == Code::kUnavailable) throw std::runtime_error(text);
  throw nb::value_error(text.c_str());
}

}  // namespace metabonk::bindings
