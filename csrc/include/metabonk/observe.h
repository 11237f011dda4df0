// Observations: GameState -> arrays of fixed shape. A pure function, used unchanged for the arena,
// BonkLink and shared memory, so that what is trained and what is served see the same input.
#pragma once

#include <cstdint>

#include "metabonk/records.h"

namespace metabonk {

inline constexpr int kStateFeatures = 96;
inline constexpr int kNearestEntities = 32;
inline constexpr int kEntityFeatures = 12;
inline constexpr int kNearestPickups = 16;
inline constexpr int kPickupFeatures = 12;
inline constexpr int kOfferRows = 4;
inline constexpr int kOfferFeatures = 48;
inline constexpr int kActionMask = 2 * kButtons + kChoices;  // (off, on) per button, then choices

// Where one environment's observation is written. A null pointer skips that part.
struct ObservationView {
  float* state = nullptr;            // [kStateFeatures]
  float* entities = nullptr;         // [kNearestEntities, kEntityFeatures], nearest first
  uint8_t* entities_mask = nullptr;  // [kNearestEntities]
  float* pickups = nullptr;          // [kNearestPickups, kPickupFeatures], nearest first
  uint8_t* pickups_mask = nullptr;   // [kNearestPickups]
  float* offers = nullptr;           // [kOfferRows, kOfferFeatures]
  uint8_t* offers_mask = nullptr;    // [kOfferRows]
  uint8_t* action_mask = nullptr;    // [kActionMask], 1 where the action is allowed
  float* dt = nullptr;               // [1], seconds
};

void Observe(const GameState& state, const ObservationView& out);

}  // namespace metabonk
