// Actions on the wire: v1's 20 or 28 bytes and v2's row of 12 float32. Knows no framing but v1's
// length, which is part of its golden vectors' messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::link {

// The picture that v1's clicks are pixels of.
struct CaptureSize {
  int32_t width = 0;
  int32_t height = 0;
};

inline constexpr size_t kActionV1BytesMax = 28;  // without the length
inline constexpr size_t kActionV2Bytes = 8 + 4 * kActionColumns;

// v1: moveX moveY aimX aimY f32 | fire ability interact uiClick u8 | clickX clickY i32 if uiClick.
// A click is at the pixel under it, from the bottom left, kept within the picture. A choice is a
// click in the middle of its widget; one that `state` has no enabled widget for is no click. Jump
// and slide do not exist in v1. *lost counts what could not be said: jump, slide, a choice without
// widget, a click without a picture's size.
Status EncodeActionV1(const Action& action, const GameState* state, CaptureSize capture,
                      std::span<uint8_t> room, size_t* size, uint32_t* lost);
// A choice as the click that v1 makes of it now, which a later state's widgets do not change; one
// without widget is no press.
void PlaceChoice(const GameState& state, Action* action);
Status DecodeActionV1(std::span<const uint8_t> bytes, CaptureSize capture, Action* action);

// v2: sequence of the answered state u64 | row of 12 f32.
Status EncodeActionV2(const Action& action, uint64_t answers, std::span<uint8_t> room,
                      size_t* size);
Status DecodeActionV2(std::span<const uint8_t> bytes, Action* action, uint64_t* answers);

}  // namespace metabonk::link
