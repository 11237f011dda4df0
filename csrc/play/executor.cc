#include "play/executor.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "play/clock.h"
#include "support/math.h"

namespace metabonk::play {

namespace {

constexpr int kExpansions = 1500;                     // cells of a search a tick
constexpr int64_t kSearchAgain = 500 * kMillisecond;  // at the earliest
constexpr int64_t kStuckAfter = 400 * kMillisecond, kDodge = 500 * kMillisecond;
constexpr float kStuckWithin = 0.4f;  // metres

bool IsOpen(const GameState& state) {  // a menu is
  if (!(state.fields & kHasMenu)) return false;
  for (const char* none : {"", "None", "Gameplay"}) {
    if (std::strncmp(state.menu, none, sizeof state.menu) == 0) return false;
  }
  return true;
}

// Whether the state says where one is and looks.
bool IsPlaced(const GameState& state) {
  return (state.fields & kHasPlayer) && (state.fields & kHasYaw) && std::fabs(state.yaw) <= 1e4f &&
         std::fabs(state.position[0]) <= 1e6f && std::fabs(state.position[1]) <= 1e6f;
}

bool Click(const Directive& directive, const GameState& state, Action* action) {
  const uint32_t widget = directive.target;
  if (directive.kind == TargetKind::kPoint) {
    action->choice = 0.0f;
    action->click[0] = static_cast<float>(widget & 0xFFFF) / 65535.0f;
    action->click[1] = static_cast<float>(widget >> 16) / 65535.0f;
    return true;
  }
  const bool there = (state.fields & kHasWidgets) && widget < state.widget_count &&
                     widget < kMaxWidgets && state.widgets[widget].enabled;
  if (!there) return false;
  action->choice = static_cast<float>(widget + 1);
  action->click[0] = action->click[1] = -1.0f;
  return true;
}

// In the camera's frame forward is the direction of yaw, right a quarter turn clockwise of it.
void SetMove(const Way& way, float yaw, Action* action) {
  float sine, cosine;
  SinCos(yaw, &sine, &cosine);
  action->move[0] = way.x * sine - way.y * cosine;
  action->move[1] = way.x * cosine + way.y * sine;
}

int CellsApart(int a, int b) {
  return std::max(std::abs(a % kWalkSide - b % kWalkSide), std::abs(a / kWalkSide - b / kWalkSide));
}

Wish WishFor(float x, float y) {
  const float length = std::sqrt(x * x + y * y);
  if (!(length > 1e-3f)) return {};
  return {.x = x / length, .y = y / length};
}

}  // namespace

Applied Executor::Apply(const Directive& directive, const GameState& state, const WalkGrid* grid,
                        int64_t now, Action* action) {
  Note(state, now);
  const bool none = directive.action == DirectiveAction::kNone;
  if (none || now >= directive.until) {
    taken_ = {};
    last_ = {};
    return none ? Applied::kNothing : Applied::kExpired;
  }
  Take(directive, state, now);
  switch (directive.action) {
    case DirectiveAction::kHold:
      action->move[0] = action->move[1] = 0.0f;
      last_ = {};
      return Applied::kChanged;
    case DirectiveAction::kClick:
      // Once: what is in the same place a moment later is on another screen.
      if (clicked_ == directive.id) return Applied::kNothing;
      if (!Click(directive, state, action)) return Applied::kUngrounded;
      clicked_ = directive.id;
      return Applied::kChanged;
    default:
      return Carry(directive, state, grid, now, action);
  }
}

// What does not depend on directives: a new run forgets the old one, a place is marked.
void Executor::Note(const GameState& state, int64_t now) {
  if (state.run_seed != run_ || state.time < time_) {
    visited_.Forget();
    route_.Clear();
    taken_ = {};
  }
  run_ = state.run_seed;
  time_ = state.time;
  if ((state.fields & kHasPlayer) && std::fabs(state.position[0]) <= 1e6f &&
      std::fabs(state.position[1]) <= 1e6f) {
    visited_.Mark(state.position[0], state.position[1], now);
  }
}

// A directive that asks for what the one before did goes on with what was chosen.
void Executor::Take(const Directive& directive, const GameState& state, int64_t now) {
  const bool same = directive.action == taken_.action && directive.kind == taken_.kind &&
                    directive.target == taken_.target;
  taken_ = directive;
  if (same) return;
  choices_ = {};
  route_.Clear();
  mark_ = now;
  mark_x_ = state.position[0];
  mark_y_ = state.position[1];
  dodge_until_ = 0;
}

Applied Executor::Carry(const Directive& directive, const GameState& state, const WalkGrid* grid,
                        int64_t now, Action* action) {
  if (IsOpen(state)) {
    mark_ = now;  // nobody gets anywhere in a menu
    return Applied::kUngrounded;
  }
  const bool press = directive.action == DirectiveAction::kInteract;
  Aim aim;
  bool found = IsPlaced(state);
  if (found) {
    FindThreats(state, &threats_);
    found = FindAim(directive, {state, grid, threats_, visited_, now}, &choices_, &aim);
  }
  if (!found) {
    // Nothing is known that could be used: what stands before one may be.
    if (!press || directive.kind != TargetKind::kHere) return Applied::kUngrounded;
    action->interact = 1.0f;
    return Applied::kChanged;
  }
  climbs_ = false;
  bool arrived = false;
  Wish wish = WishOf(aim, state, grid, now, &arrived);
  wish.caution = aim.caution;
  if (!arrived) Unstick(state, now, &wish);
  // Who jumps or squeezes past something does not mind walls.
  const bool minds = !climbs_ && now >= dodge_until_;
  last_ = Steer(wish, threats_, state, minds ? grid : nullptr, last_);
  SetMove(last_, state.yaw, action);
  if (climbs_ && state.grounded) action->jump = 1.0f;
  pressed_ = aim.press && arrived && !pressed_;
  if (aim.press) action->interact = pressed_ ? 1.0f : 0.0f;
  return Applied::kChanged;
}

Wish Executor::WishOf(const Aim& aim, const GameState& state, const WalkGrid* grid, int64_t now,
                      bool* arrived) {
  if (!aim.place) {
    const float x = state.position[0], y = state.position[1];
    if (grid == nullptr || (aim.x == 0.0f && aim.y == 0.0f) ||
        Room(*grid, x, y, aim.x, aim.y, 3.0f) >= 3.0f) {
      return {.x = aim.x, .y = aim.y};
    }
    // A wall: round it, to the nearest open place some way on.
    const int on = NearestOpen(*grid, CellOf(x + 14.0f * aim.x, y + 14.0f * aim.y), 6);
    if (on < 0) return {.x = aim.x, .y = aim.y};
    return Towards(MiddleX(on), MiddleY(on), state, grid, now);
  }
  if (aim.keep > 0.0f) return Circle(aim, state, grid, now);
  const float dx = aim.x - state.position[0], dy = aim.y - state.position[1];
  *arrived = dx * dx + dy * dy <= aim.stop * aim.stop;
  return *arrived ? Wish{} : Towards(aim.x, aim.y, state, grid, now);
}

// Straight where that is free, else by the route.
Wish Executor::Towards(float x, float y, const GameState& state, const WalkGrid* grid,
                       int64_t now) {
  const float at_x = state.position[0], at_y = state.position[1];
  const Wish direct = WishFor(x - at_x, y - at_y);
  if (grid == nullptr || Straight(*grid, at_x, at_y, x, y)) return direct;
  const int goal = CellOf(x, y);
  const bool going = route_.search() == Route::Search::kGoing;
  float to_x = 0.0f, to_y = 0.0f;
  bool climbs = false;
  const bool follows = route_.Next(*grid, at_x, at_y, &to_x, &to_y, &climbs);
  const int drift = route_.goal() < 0 ? kWalkSide : CellsApart(route_.goal(), goal);
  const bool wanted = drift > 2 || (!follows && !going);
  if (route_.goal() < 0 || (wanted && now - routed_ >= kSearchAgain)) {
    route_.Begin(*grid, CellOf(at_x, at_y), goal);
    routed_ = now;
  }
  if (route_.Advance(*grid, kExpansions) == Route::Search::kFound && !follows) {
    if (!route_.Next(*grid, at_x, at_y, &to_x, &to_y, &climbs)) return direct;
  } else if (!follows) {
    return direct;
  }
  climbs_ = climbs;
  return WishFor(to_x - at_x, to_y - at_y);
}

// Near enough for the weapons and no nearer, round and round.
Wish Executor::Circle(const Aim& aim, const GameState& state, const WalkGrid* grid, int64_t now) {
  const float x = aim.x - state.position[0], y = aim.y - state.position[1];
  const float away = std::sqrt(x * x + y * y);
  if (away > aim.keep + 1.5f) return Towards(aim.x, aim.y, state, grid, now);
  if (!(away > 1e-3f)) return {.x = 1.0f, .y = 0.0f};
  // Between the two: across, and in or out by how far off the distance is.
  const float excess = std::clamp((away - aim.keep) / 1.5f, -1.0f, 1.0f);
  const float nx = x / away, ny = y / away;
  if (last_.x != 0.0f || last_.y != 0.0f) {
    side_ = last_.x * -ny + last_.y * nx >= 0.0f ? 1.0f : -1.0f;
  }
  return WishFor(nx * excess - ny * side_, ny * excess + nx * side_);
}

// Who wants to move on and does not goes aside for a moment, and jumps.
void Executor::Unstick(const GameState& state, int64_t now, Wish* wish) {
  const float dx = state.position[0] - mark_x_, dy = state.position[1] - mark_y_;
  const bool wants = wish->x != 0.0f || wish->y != 0.0f;
  if (!wants || dx * dx + dy * dy > kStuckWithin * kStuckWithin) {
    mark_ = now;
    mark_x_ = state.position[0];
    mark_y_ = state.position[1];
  } else if (now - mark_ >= kStuckAfter) {
    mark_ = now;
    dodge_until_ = now + kDodge;
    side_ = -side_;
    climbs_ = true;
  }
  if (now >= dodge_until_) return;
  const float x = wish->x, y = wish->y;
  wish->x = 0.38268343f * x - 0.92387953f * side_ * y;
  wish->y = 0.92387953f * side_ * x + 0.38268343f * y;
}

}  // namespace metabonk::play
