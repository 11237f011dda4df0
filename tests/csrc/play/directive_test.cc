// Directives: what the vocabulary takes, and which one goes before which. How they are carried out
// is in executor_test.cc.
#include "play/directive.h"

#include "check.h"

namespace metabonk::play {

namespace {

using enum DirectiveAction;
using Kind = TargetKind;

bool Takes(DirectiveAction action, Kind kind, uint32_t target = 0) {
  return CheckDirective({.action = action, .kind = kind, .target = target}).ok();
}

}  // namespace

TEST(directive_of_lower_priority_waits_its_turn) {
  const Directive high = {.id = 1, .action = kHold, .priority = 5, .until = 10};
  const Directive low = {
      .id = 2, .action = kMove, .kind = Kind::kCompass, .priority = 4, .until = 20};
  CHECK(Replaces(high, {}, 0));
  CHECK(!Replaces(low, high, 9));
  CHECK(Replaces(low, high, 10));
  CHECK(Replaces(high, low, 0));
  CHECK(Replaces(high, high, 0));
}

TEST(directive_takes_the_targets_of_its_action) {
  // Rows: actions from kNone on; columns: here, compass, widget, entity, pickup, point.
  constexpr const char* kTaken[] = {
      "x.....",  // none
      "x.....",  // hold
      ".x.xx.",  // move
      "x...x.",  // interact
      "..x..x",  // click
      "xx.x..",  // attack
      "x...x.",  // defend
      "xx.xx.",  // retreat
      "xx..x.",  // collect
      "xx....",  // explore
  };
  for (int action = 0; action < static_cast<int>(DirectiveAction::kCount); ++action) {
    for (int kind = 0; kind < static_cast<int>(TargetKind::kCount); ++kind) {
      CHECK_EQ(Takes(static_cast<DirectiveAction>(action), static_cast<TargetKind>(kind)),
               kTaken[action][kind] == 'x');
    }
  }
}

TEST(directive_outside_the_vocabulary_is_refused) {
  CHECK(Takes(kMove, Kind::kCompass, 15));
  CHECK(!Takes(kMove, Kind::kCompass, 16));
  CHECK(Takes(kClick, Kind::kWidget, 31));
  CHECK(!Takes(kClick, Kind::kWidget, 32));
  CHECK(Takes(kAttack, Kind::kEntity, 0xFFFFFFFFu));
  CHECK(!Takes(static_cast<DirectiveAction>(200), Kind::kHere));
  CHECK(!Takes(kHold, static_cast<TargetKind>(200)));
}

}  // namespace metabonk::play
