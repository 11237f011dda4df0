// Directive: what System 2 asks of the next seconds, in a closed vocabulary. Knows what each action
// takes and which directive goes before which; not how one is carried out (executor.h), who gave it
// or why.
//
//   kHold      stand still: no movement
//   kMove      to an entity or pickup, or in the direction of a compass bin of the world,
//              kCompassBins of them counter-clockwise from east
//   kInteract  go to a chest, shrine or portal and press interact
//   kClick     select a menu widget by its place, once and only while it can be selected; or, in
//              games that show no widgets, click a point of the screen
//   kAttack    go near, and keep the distance at which weapons reach
//   kDefend    stay at a place, and give way to what comes near
//   kRetreat   away from what threatens, to where there is room
//   kCollect   to what lies around
//   kExplore   to where one has not been
// A directive counts from the first tick after it was given until `until`; an expired one changes
// nothing, and neither does one that the state cannot ground (no yaw, no such widget or entity).
// It is for one run: where the next one begins, nobody follows it any more.
// The numbers are kept in ledgers: new ones go to the end.
#pragma once

#include <cstdint>

#include "metabonk/status.h"

namespace metabonk::play {

inline constexpr int kCompassBins = 16;

enum class DirectiveAction : uint8_t {
  kNone,
  kHold,
  kMove,
  kInteract,
  kClick,
  kAttack,
  kDefend,
  kRetreat,
  kCollect,
  kExplore,
  kCount,
};

// What `target` is a number of. kHere: of nothing; here, or whatever is best for the action.
enum class TargetKind : uint8_t { kHere, kCompass, kWidget, kEntity, kPickup, kPoint, kCount };

struct Directive {
  uint32_t id = 0;  // never 0 of one in force
  DirectiveAction action = DirectiveAction::kNone;
  TargetKind kind = TargetKind::kHere;
  uint8_t priority = 0;  // a lower one does not replace one in force
  uint8_t unused = 0;
  // Compass bin, widget (0 the first), id of an entity or pickup; of a point x in the low 16 bits
  // and y in the high ones, 65535 being the right and lower edge.
  uint32_t target = 0;
  uint32_t run = 0;  // of the seat's runs, 1 the first, that it is for; 0: the one when it is given
  int64_t until = 0;  // monotonic nanoseconds
};
static_assert(sizeof(Directive) == 24);

// What became of a directive in one tick.
enum class Applied : uint8_t { kNothing, kChanged, kExpired, kUngrounded };

Status CheckDirective(const Directive& directive);
// Whether `next` takes the place of `current`, which may be expired, at `now`.
bool Replaces(const Directive& next, const Directive& current, int64_t now);

}  // namespace metabonk::play
