// The trailer MBX2: everything of GameState that v1's part lacks. Layout in docs/bonklink.md;
// version 1 is written, and any version whose sizes hold it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "link/bytes.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::link {

inline constexpr int32_t kMbx2Version = 1;
inline constexpr size_t kMbx2FixedBytes = 96;
inline constexpr size_t kMbx2EnemyBytes = 24;
inline constexpr size_t kMbx2PickupBytes = 24;
inline constexpr size_t kMbx2WidgetBytes = 68;
inline constexpr size_t kMbx2OfferBytes = 88;

// Rows that a state told and that have no room here. What v1 and MBX2 both tell counts once.
struct CutRows {
  uint32_t offers = 0;
  uint32_t others = 0;  // enemies, pickups, widgets
  uint32_t all() const { return offers + others; }
};

void EncodeMbx2(const GameState& state, ByteWriter* to);
// Completes a state whose v1 part has been read; leaves it half read if it fails. *cut grows by
// what was left out.
Status DecodeMbx2(std::span<const uint8_t> payload, GameState* state, CutRows* cut);

}  // namespace metabonk::link
