#include "link/action.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "link/bytes.h"

namespace metabonk::link {
namespace {

constexpr size_t kActionV1Bytes = 20;

uint8_t Pressed(float value) { return value >= 0.5f; }

// A place on the screen, 0..1 from the top left, as the pixel under it from the bottom left.
int32_t Pixel(float part, int32_t pixels) {
  const float at = std::floor(part * static_cast<float>(pixels));
  return static_cast<int32_t>(std::clamp(at, 0.0f, static_cast<float>(pixels - 1)));
}

// The middle of a pixel; what lies outside the picture counts as its edge.
float Part(int32_t pixel, int32_t pixels) {
  const int32_t inside = std::clamp(pixel, 0, pixels - 1);
  return (static_cast<float>(inside) + 0.5f) / static_cast<float>(pixels);
}

// The widget that a choice selects, as the arena reads choices; null for none.
const Widget* Chosen(float choice, const GameState* state) {
  const float bounded = std::min(choice, static_cast<float>(kMaxWidgets));
  const int index = static_cast<int>(std::lround(bounded)) - 1;
  if (state == nullptr || index < 0 || index >= state->widget_count) return nullptr;
  const Widget& widget = state->widgets[index];
  return widget.enabled ? &widget : nullptr;
}

// Where an action clicks, 0..1 from the top left; false for nowhere.
bool ClickOf(const Action& action, const GameState* state, float click[2], uint32_t* lost) {
  if (action.choice >= 0.5f) {
    if (const Widget* widget = Chosen(action.choice, state)) {
      click[0] = 0.5f * (widget->x0 + widget->x1);
      click[1] = 0.5f * (widget->y0 + widget->y1);
      return true;
    }
    ++*lost;
  }
  click[0] = action.click[0];
  click[1] = action.click[1];
  return click[0] >= 0.0f && click[1] >= 0.0f;
}

}  // namespace

Status EncodeActionV1(const Action& action, const GameState* state, CaptureSize capture,
                      std::span<uint8_t> room, size_t* size, uint32_t* lost) {
  *lost += Pressed(action.jump) + Pressed(action.slide);
  float click[2];
  bool clicks = ClickOf(action, state, click, lost);
  if (clicks && (capture.width <= 0 || capture.height <= 0)) {
    clicks = false;
    ++*lost;
  }
  ByteWriter to(room);
  to.Put(action.move);
  to.Put(action.look);
  to.Put({Pressed(action.fire), Pressed(action.ability), Pressed(action.interact),
          static_cast<uint8_t>(clicks)});
  if (clicks) {
    to.Put(Pixel(click[0], capture.width));
    to.Put(capture.height - 1 - Pixel(click[1], capture.height));
  }
  *size = to.size();
  if (to.ok()) return Status::Ok();
  return {Code::kInvalidArgument, "room", "too small for an action; kActionV1BytesMax holds any"};
}

void PlaceChoice(const GameState& state, Action* action) {
  if (action->choice < 0.5f) return;
  uint32_t lost = 0;
  float click[2];
  const bool clicks = ClickOf(*action, &state, click, &lost);
  action->choice = 0.0f;
  for (const int axis : {0, 1}) action->click[axis] = clicks ? click[axis] : -1.0f;
}

Status DecodeActionV1(std::span<const uint8_t> bytes, CaptureSize capture, Action* action) {
  if (bytes.size() < kActionV1Bytes) return {Code::kCorrupt, "action", "is cut before uiClick"};
  *action = {};
  ByteReader from(bytes);
  from.Get(action->move);
  from.Get(action->look);
  action->fire = from.Get<uint8_t>() != 0;
  action->ability = from.Get<uint8_t>() != 0;
  action->interact = from.Get<uint8_t>() != 0;
  const bool clicks = from.Get<uint8_t>() != 0;
  const auto x = from.Get<int32_t>();
  const auto y = from.Get<int32_t>();
  action->click[0] = action->click[1] = -1.0f;
  if (!clicks) return Status::Ok();
  if (!from.ok()) return {Code::kCorrupt, "action", "is cut before clickY"};
  if (capture.width > 0 && capture.height > 0) {
    action->click[0] = Part(x, capture.width);
    action->click[1] =
        Part(capture.height - 1 - std::clamp(y, 0, capture.height - 1), capture.height);
  }
  return Status::Ok();
}

Status EncodeActionV2(const Action& action, uint64_t answers, std::span<uint8_t> room,
                      size_t* size) {
  ByteWriter to(room);
  to.Put(answers);
  to.Raw(&action, sizeof action);
  *size = to.size();
  if (to.ok()) return Status::Ok();
  return {Code::kInvalidArgument, "room", "too small for an action; kActionV2Bytes holds it"};
}

Status DecodeActionV2(std::span<const uint8_t> bytes, Action* action, uint64_t* answers) {
  if (bytes.size() < kActionV2Bytes) return {Code::kCorrupt, "ACTION", "must have 56 bytes"};
  std::memcpy(answers, bytes.data(), sizeof *answers);
  std::memcpy(action, bytes.data() + sizeof *answers, sizeof *action);
  return Status::Ok();
}

}  // namespace metabonk::link
