// Directive: what System 2 asks of the next seconds, in a closed vocabulary, and what it makes of
// one tick's action. Grounded anew every tick in the state of that tick. Knows the records; not who
// gave it or why.
//
// Actions: what the policy decided stays as it is but for what the directive names.
//   kHold      stand still: no movement
//   kMove      move towards a compass bin of the world, kCompassBins of them counter-clockwise from
//              east; turned into the camera's frame by the state's yaw
//   kInteract  press interact
//   kClick     select a menu widget by its place; only while that widget can be selected
// A directive counts from the first tick after it was given until `until`; an expired one changes
// nothing, and neither does one that the state cannot ground (no yaw, no such widget).
#pragma once

#include <cstdint>

#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::play {

inline constexpr int kCompassBins = 16;

enum class DirectiveAction : uint8_t { kNone, kHold, kMove, kInteract, kClick, kCount };

struct Directive {
  uint32_t id = 0;  // never 0 of one in force
  DirectiveAction action = DirectiveAction::kNone;
  uint8_t target = 0;    // compass bin or widget
  uint8_t priority = 0;  // a lower one does not replace one in force
  uint8_t unused = 0;
  int64_t until = 0;  // monotonic nanoseconds
};
static_assert(sizeof(Directive) == 16);

enum class Applied : uint8_t { kNothing, kChanged, kExpired, kUngrounded };

Status CheckDirective(const Directive& directive);
// Whether `next` takes the place of `current`, which may be expired, at `now`.
bool Replaces(const Directive& next, const Directive& current, int64_t now);
// Changes `action` as the directive asks in this state.
Applied Apply(const Directive& directive, const GameState& state, int64_t now, Action* action);

}  // namespace metabonk::play
