#include "play/directive.h"

#include "metabonk/records.h"

namespace metabonk::play {

namespace {

constexpr uint32_t Bit(TargetKind kind) { return 1u << static_cast<int>(kind); }

// The targets that an action takes, as bits; metabonk/cognition/vocabulary.py has the same table.
constexpr uint32_t Takes(DirectiveAction action) {
  using enum TargetKind;
  switch (action) {
    case DirectiveAction::kMove:
      return Bit(kEntity) | Bit(kPickup) | Bit(kCompass);
    case DirectiveAction::kAttack:
      return Bit(kHere) | Bit(kEntity) | Bit(kCompass);
    case DirectiveAction::kDefend:
    case DirectiveAction::kInteract:
      return Bit(kHere) | Bit(kPickup);
    case DirectiveAction::kRetreat:
      return Bit(kHere) | Bit(kEntity) | Bit(kPickup) | Bit(kCompass);
    case DirectiveAction::kCollect:
      return Bit(kHere) | Bit(kPickup) | Bit(kCompass);
    case DirectiveAction::kExplore:
      return Bit(kHere) | Bit(kCompass);
    case DirectiveAction::kClick:
      return Bit(kWidget) | Bit(kPoint);
    case DirectiveAction::kNone:
    case DirectiveAction::kHold:
      return Bit(kHere);
    case DirectiveAction::kCount:
      break;
  }
  return 0;
}

}  // namespace

Status CheckDirective(const Directive& directive) {
  if (directive.action >= DirectiveAction::kCount) {
    return {Code::kOutOfRange, "action", "must be one of the vocabulary's"};
  }
  if (directive.kind >= TargetKind::kCount || !(Takes(directive.action) & Bit(directive.kind))) {
    return {Code::kOutOfRange, "kind", "must be a kind of target that the action takes"};
  }
  if (directive.kind == TargetKind::kCompass && directive.target >= kCompassBins) {
    return {Code::kOutOfRange, "target", "must be one of 16 compass bins, 0 is east"};
  }
  if (directive.kind == TargetKind::kWidget && directive.target >= kMaxWidgets) {
    return {Code::kOutOfRange, "target", "must be one of 32 widgets, 0 is the first"};
  }
  return Status::Ok();
}

bool Replaces(const Directive& next, const Directive& current, int64_t now) {
  return current.action == DirectiveAction::kNone || current.until <= now ||
         next.priority >= current.priority;
}

}  // namespace metabonk::play
