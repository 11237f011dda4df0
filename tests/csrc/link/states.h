// States, frames and streams that tests and fuzzers of the link share.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "link/action.h"
#include "link/decoder.h"
#include "link/frame.h"
#include "link/hello.h"
#include "link/state.h"
#include "link/text.h"
#include "metabonk/records.h"

namespace metabonk::link {

using Bytes = std::vector<uint8_t>;

inline Bytes FromHex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
  }
  return bytes;
}

// A state in which every field is set, with `things` of each list.
inline void FillState(int things, GameState* state) {
  std::memset(static_cast<void*>(state), 0, sizeof *state);
  state->fields = kHasEverything;
  state->dt = 0.25f;
  state->time = 123.4567890123;  // more than float32 holds
  state->run_seed = 0xFEDCBA9876543210ull;
  for (int i = 0; i < 3; ++i) {
    state->position[i] = 1.0f + static_cast<float>(i);
    state->velocity[i] = 4.0f + static_cast<float>(i);
  }
  state->yaw = -0.5f, state->health = 75.0f, state->max_health = 100.0f, state->shield = 5.0f;
  state->xp = 3.0f, state->xp_next = 10.0f, state->gold = 40.0f, state->score = 123.0f;
  state->kills = 17, state->level = 4;
  state->grounded = state->playing = state->paused = 1;
  state->tier = 2, state->character = 3;
  for (int i = 0; i < kLoadoutSlots; ++i) {
    state->weapons[i] = {static_cast<uint8_t>(i + 1), static_cast<uint8_t>(2 * i)};
    state->tomes[i] = {static_cast<uint8_t>(8 - i), static_cast<uint8_t>(i)};
  }
  CopyText("Level up \xC3\xA4", state->menu);
  const auto upto = [things](int most) {
    return static_cast<uint16_t>(things < most ? things : most);
  };
  state->entity_count = upto(kMaxEntities), state->pickup_count = upto(kMaxPickups);
  state->widget_count = upto(kMaxWidgets), state->offer_count = upto(kMaxOffers);
  for (int i = 0; i < things; ++i) {
    const float f = static_cast<float>(i);
    const uint8_t b = static_cast<uint8_t>(i);
    if (i < kMaxEntities) {
      state->entities[i] = {static_cast<uint32_t>(1000 + i),
                            b,
                            static_cast<uint8_t>(i % 8),
                            0,
                            {f, -f, 0.5f},
                            {0.5f * f, 1.0f, -2.0f},
                            10.0f + f,
                            20.0f + f};
    }
    if (i < kMaxPickups) {
      state->pickups[i] = {
          static_cast<uint32_t>(i + 1), static_cast<uint8_t>(i % 7), {}, {f, 2.0f, f}, 0.5f};
    }
    if (i < kMaxWidgets) {
      state->widgets[i] = {0.25f,
                           0.5f,
                           0.75f,
                           0.625f,
                           static_cast<uint8_t>(i % 2 == 0),
                           static_cast<uint8_t>(i < kMaxOffers ? i + 1 : 0),
                           {},
                           {}};
      CopyText("Widget", state->widgets[i].text);
    }
    if (i < kMaxOffers) {
      state->offers[i] = {1, 4, b, 3, 2, {}, {{5, 1, 0, 0.25f}, {2, 0, 0, -1.0f}}, {}};
      CopyText("Tome", state->offers[i].text);
    }
  }
}

inline Action NoAction() {
  Action action{};
  action.click[0] = action.click[1] = -1.0f;
  return action;
}

inline Bytes EncodedState(const GameState& state, const StateTrailers& trailers,
                          Axes axes = Axes::kOurs) {
  Bytes bytes(kStateBytesMax);
  size_t size = 0;
  if (!EncodeState(state, trailers, axes, bytes, &size).ok()) size = 0;
  bytes.resize(size);
  return bytes;
}

template <typename T>
void Append(const T& value, Bytes* bytes) {
  const size_t at = bytes->size();
  bytes->resize(at + sizeof value);
  std::memcpy(bytes->data() + at, &value, sizeof value);
}

inline void AppendAll(const Bytes& more, Bytes* bytes) {
  bytes->insert(bytes->end(), more.begin(), more.end());
}

// What a v1 game sends in a tick.
inline void AppendTick(const Bytes& state, const Bytes& frame, Bytes* bytes) {
  Append(static_cast<int32_t>(state.size()), bytes);
  AppendAll(state, bytes);
  Append(static_cast<int32_t>(frame.size()), bytes);
  AppendAll(frame, bytes);
}

inline void AppendV2(MessageType type, uint64_t sequence, const Bytes& payload, Bytes* bytes) {
  const size_t at = bytes->size();
  bytes->resize(at + kHeaderBytes);
  WriteHeader(type, payload.size(), sequence, static_cast<int64_t>(sequence) * 1000,
              bytes->data() + at);
  AppendAll(payload, bytes);
}

// The head of a JPEG: enough to know its size.
inline Bytes JpegHead(uint16_t width, uint16_t height) {
  return {0xFF,
          0xD8,
          0xFF,
          0xE0,
          0,
          4,
          1,
          2,
          0xFF,
          0xC0,
          0,
          11,
          8,
          static_cast<uint8_t>(height >> 8),
          static_cast<uint8_t>(height),
          static_cast<uint8_t>(width >> 8),
          static_cast<uint8_t>(width),
          1,
          1,
          0x11,
          0};
}

}  // namespace metabonk::link
