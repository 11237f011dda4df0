#include "play/directive.h"

#include <cmath>

#include "support/math.h"

namespace metabonk::play {

namespace {

constexpr float kTwoPi = 6.283185307f;

bool Move(int bin, const GameState& state, Action* action) {
  if (!(state.fields & kHasYaw) || !(std::fabs(state.yaw) <= 1e4f)) return false;
  // In the camera's frame forward is the direction of yaw, right a quarter turn clockwise of it.
  const float angle =
      kTwoPi * static_cast<float>(bin) / static_cast<float>(kCompassBins) - state.yaw;
  float sine, cosine;
  SinCos(angle, &sine, &cosine);
  action->move[0] = -sine;
  action->move[1] = cosine;
  return true;
}

bool Click(int widget, const GameState& state, Action* action) {
  const bool there = (state.fields & kHasWidgets) && widget < state.widget_count &&
                     widget < kMaxWidgets && state.widgets[widget].enabled;
  if (!there) return false;
  action->choice = static_cast<float>(widget + 1);
  action->click[0] = action->click[1] = -1.0f;
  return true;
}

bool Ground(const Directive& directive, const GameState& state, Action* action) {
  switch (directive.action) {
    case DirectiveAction::kHold:
      action->move[0] = action->move[1] = 0.0f;
      return true;
    case DirectiveAction::kMove:
      return Move(directive.target, state, action);
    case DirectiveAction::kInteract:
      action->interact = 1.0f;
      return true;
    case DirectiveAction::kClick:
      return Click(directive.target, state, action);
    default:
      return false;
  }
}

}  // namespace

Status CheckDirective(const Directive& directive) {
  if (directive.action >= DirectiveAction::kCount) {
    return {Code::kOutOfRange, "action", "must be none, hold, move, interact or click"};
  }
  if (directive.action == DirectiveAction::kMove && directive.target >= kCompassBins) {
    return {Code::kOutOfRange, "target", "must be one of 16 compass bins, 0 is east"};
  }
  if (directive.action == DirectiveAction::kClick && directive.target >= kMaxWidgets) {
    return {Code::kOutOfRange, "target", "must be one of 32 widgets, 0 is the first"};
  }
  return Status::Ok();
}

bool Replaces(const Directive& next, const Directive& current, int64_t now) {
  return current.action == DirectiveAction::kNone || current.until <= now ||
         next.priority >= current.priority;
}

Applied Apply(const Directive& directive, const GameState& state, int64_t now, Action* action) {
  if (directive.action == DirectiveAction::kNone) return Applied::kNothing;
  if (now >= directive.until) return Applied::kExpired;
  return Ground(directive, state, action) ? Applied::kChanged : Applied::kUngrounded;
}

}  // namespace metabonk::play
