// What is pressed crosses once: not lost to a newer action, not twice, never two in a row.
#include "play/presses.h"

#include "check.h"

namespace metabonk::play {
namespace {

Action Moving(float x, float choice = 0.0f) {
  return {{x, 0}, {0, 0}, 0, 0, 0, 0, 0, choice, {-1, -1}};
}

TEST(presses_that_are_overtaken_still_reach_the_game_once) {
  PressWriter writer;
  PressReader reader;
  writer.Next(Moving(0.1f, 5.0f), 1);  // nobody takes it
  const Answer newest = writer.Next(Moving(0.2f), 2);
  const Action first = reader.Due(newest);
  CHECK_EQ(first.move[0], 0.2f);
  CHECK_EQ(first.choice, 5.0f);
  CHECK_EQ(reader.Due(newest).choice, 0.0f);
  CHECK_EQ(reader.Due(writer.Next(Moving(0.3f), 3)).choice, 0.0f);
}

TEST(presses_leave_a_step_between_two_and_the_newest_counts) {
  PressWriter writer;
  PressReader reader;
  CHECK_EQ(reader.Due(writer.Next(Moving(0, 1.0f), 1)).choice, 1.0f);
  const Answer second = writer.Next(Moving(0, 2.0f), 2);
  CHECK_EQ(reader.Due(second).choice, 0.0f);
  CHECK_EQ(reader.Due(second).choice, 2.0f);
  CHECK_EQ(reader.Due(second).choice, 0.0f);
  writer.Next(Moving(0, 3.0f), 3);
  Action click = Moving(0);
  click.click[0] = 0.25f;
  click.click[1] = 0.5f;
  const Action due = reader.Due(writer.Next(click, 4));
  CHECK_EQ(due.choice, 0.0f);
  CHECK_EQ(due.click[0], 0.25f);
  CHECK_EQ(due.click[1], 0.5f);
}

TEST(presses_that_nobody_was_there_for_are_forgotten) {
  PressWriter writer;
  PressReader reader;
  reader.Drop(writer.Next(Moving(0, 4.0f), 1));
  CHECK_EQ(reader.Due(writer.Next(Moving(0), 2)).choice, 0.0f);
  CHECK_EQ(reader.Due(Answer{}).choice, 0.0f);
}

}  // namespace
}  // namespace metabonk::play
