// ResearchPlugin's six numbers: what an action says in them, and what they cannot say.
#include "play/research_action.h"

#include <cstring>

#include "check.h"

namespace metabonk::play {
namespace {

TEST(research_action_crosses_both_ways) {
  const ResearchRow row = {0.5f, -1.0f, 1, 0, 1, 0};
  const Action action = ActionOfResearch(row);
  CHECK_EQ(action.move[1], -1.0f);
  CHECK(action.jump == 1.0f && action.slide == 0.0f && action.interact == 1.0f);
  CHECK(action.choice == 0.0f && action.click[0] < 0.0f);
  uint64_t lost = 0;
  CHECK(ResearchOfAction(action, &lost) == row);
  CHECK_EQ(lost, uint64_t{0});
}

TEST(research_action_chooses_by_a_button) {
  uint64_t lost = 0;
  for (int choice = 1; choice <= 4; ++choice) {
    Action action = ActionOfResearch({});
    action.choice = static_cast<float>(choice);
    ResearchRow wanted = {};
    wanted[static_cast<size_t>(1 + choice)] = 1.0f;
    CHECK(ResearchOfAction(action, &lost) == wanted);
  }
  CHECK_EQ(lost, uint64_t{0});
  Action more = ActionOfResearch({});
  more.choice = 5.0f;
  more.look[1] = 0.25f;
  more.ability = 1.0f;
  more.click[0] = more.click[1] = 0.5f;
  CHECK(ResearchOfAction(more, &lost) == ResearchRow{});
  CHECK_EQ(lost, uint64_t{4});
}

}  // namespace
}  // namespace metabonk::play
