// Directives: each action of the vocabulary changes what it names and nothing else, until it has
// run out; what the state cannot ground changes nothing.
#include "play/directive.h"

#include <cmath>
#include <cstring>
#include <memory>

#include "check.h"

namespace metabonk::play {

namespace {

constexpr Action kBefore = {{0.5f, -0.5f}, {0.1f, 0.2f}, 1, 0, 0, 1, 0, 0, {-1, -1}};

struct Ground {
  Ground() {
    state->fields = kHasEverything;
    state->widget_count = 2;
    state->widgets[1].enabled = 1;
  }
  Applied On(Directive directive, Action* action, int64_t now = 5) const {
    directive.until = 10;
    *action = kBefore;
    return Apply(directive, *state, now, action);
  }
  std::unique_ptr<GameState> state = std::make_unique<GameState>();
};

bool Same(const Action& a, const Action& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

TEST(directive_none_changes_nothing) {
  Action action;
  CHECK(Ground().On({}, &action) == Applied::kNothing);
  CHECK(Same(action, kBefore));
}

TEST(directive_hold_stands_still) {
  Action action, wanted = kBefore;
  CHECK(Ground().On({.id = 1, .action = DirectiveAction::kHold}, &action) == Applied::kChanged);
  wanted.move[0] = wanted.move[1] = 0.0f;
  CHECK(Same(action, wanted));
}

TEST(directive_runs_out) {
  Action action;
  const Ground ground;
  CHECK(ground.On({.id = 1, .action = DirectiveAction::kHold}, &action, 9) == Applied::kChanged);
  CHECK(ground.On({.id = 1, .action = DirectiveAction::kHold}, &action, 10) == Applied::kExpired);
  CHECK(Same(action, kBefore));
}

TEST(directive_move_is_grounded_in_the_cameras_frame) {
  Ground ground;
  Action action;
  for (int bin = 0; bin < kCompassBins; ++bin) {
    for (const float yaw : {0.0f, 0.7f, -2.5f}) {
      ground.state->yaw = yaw;
      const Directive move = {
          .id = 1, .action = DirectiveAction::kMove, .target = static_cast<uint8_t>(bin)};
      CHECK(ground.On(move, &action) == Applied::kChanged);
      // Back into the world: forward is along yaw, right a quarter turn clockwise of it.
      const double east = action.move[1] * std::cos(yaw) + action.move[0] * std::sin(yaw);
      const double north = action.move[1] * std::sin(yaw) - action.move[0] * std::cos(yaw);
      const double angle = 2.0 * M_PI * bin / kCompassBins;
      CHECK_NEAR(east, std::cos(angle), 1e-5);
      CHECK_NEAR(north, std::sin(angle), 1e-5);
    }
  }
  ground.state->fields &= ~static_cast<uint32_t>(kHasYaw);
  CHECK(ground.On({.id = 1, .action = DirectiveAction::kMove}, &action) == Applied::kUngrounded);
  CHECK(Same(action, kBefore));
}

TEST(directive_click_selects_what_can_be_selected) {
  const Ground ground;
  Action action, wanted = kBefore;
  const auto click = [](uint8_t widget) {
    return Directive{.id = 1, .action = DirectiveAction::kClick, .target = widget};
  };
  wanted.choice = 2.0f;
  CHECK(ground.On(click(1), &action) == Applied::kChanged);
  CHECK(Same(action, wanted));
  for (const uint8_t widget : {uint8_t{0}, uint8_t{2}, uint8_t{31}}) {
    CHECK(ground.On(click(widget), &action) == Applied::kUngrounded);
    CHECK(Same(action, kBefore));
  }
}

TEST(directive_interact_presses) {
  Action action;
  CHECK(Ground().On({.id = 1, .action = DirectiveAction::kInteract}, &action) == Applied::kChanged);
  CHECK_EQ(action.interact, 1.0f);
}

TEST(directive_of_lower_priority_waits_its_turn) {
  const Directive high = {.id = 1, .action = DirectiveAction::kHold, .priority = 5, .until = 10};
  const Directive low = {.id = 2, .action = DirectiveAction::kMove, .priority = 4, .until = 20};
  CHECK(Replaces(high, {}, 0));
  CHECK(!Replaces(low, high, 9));
  CHECK(Replaces(low, high, 10));
  CHECK(Replaces(high, low, 0));
  CHECK(Replaces(high, high, 0));
}

TEST(directive_outside_the_vocabulary_is_refused) {
  CHECK(CheckDirective({.action = DirectiveAction::kMove, .target = 15}).ok());
  CHECK(!CheckDirective({.action = DirectiveAction::kMove, .target = 16}).ok());
  CHECK(!CheckDirective({.action = DirectiveAction::kClick, .target = 32}).ok());
  CHECK(!CheckDirective({.action = static_cast<DirectiveAction>(200)}).ok());
}

}  // namespace metabonk::play
