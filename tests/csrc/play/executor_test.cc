// Carrying directives out: each action of the vocabulary does what it says in a world that follows,
// avoids what would hurt, goes round walls, does not waver, and changes nothing else.
#include "play/executor.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "check.h"
#include "play/clock.h"
#include "play/executor_world.h"
#include "support/random.h"

namespace metabonk::play {

using enum DirectiveAction;

TEST(executor_without_a_directive_changes_nothing) {
  World world;
  CHECK(world.Tick({}) == Applied::kNothing);
  CHECK(Same(world.action, kBefore));
}

TEST(executor_lets_go_of_what_has_run_out) {
  World world;
  Directive hold = Do(kHold);
  hold.until = world.now + 2 * kTick;
  CHECK(world.Tick(hold) == Applied::kChanged);
  CHECK(world.Tick(hold) == Applied::kExpired);
  CHECK(Same(world.action, kBefore));
}

TEST(executor_holds_still_and_nothing_else) {
  World world;
  Action wanted = kBefore;
  wanted.move[0] = wanted.move[1] = 0.0f;
  CHECK(world.Tick(Do(kHold)) == Applied::kChanged);
  CHECK(Same(world.action, wanted));
}

TEST(executor_moves_in_the_cameras_frame) {
  for (uint32_t bin = 0; bin < kCompassBins; ++bin) {
    for (const float yaw : {0.0f, 0.7f, -2.5f}) {
      World world;
      world.state->yaw = yaw;
      CHECK(world.Tick(Do(kMove, TargetKind::kCompass, bin)) == Applied::kChanged);
      const double angle = 2.0 * M_PI * bin / kCompassBins;
      CHECK_NEAR(world.EastOf(), std::cos(angle), 1e-5);
      CHECK_NEAR(world.NorthOf(), std::sin(angle), 1e-5);
      Action wanted = kBefore;
      wanted.move[0] = world.action.move[0];
      wanted.move[1] = world.action.move[1];
      CHECK(Same(world.action, wanted));
    }
  }
}

TEST(executor_does_nothing_where_the_state_does_not_say_where_one_is) {
  const Directive all[] = {Do(kMove, TargetKind::kCompass, 3),
                           Do(kAttack),
                           Do(kDefend),
                           Do(kRetreat),
                           Do(kCollect),
                           Do(kExplore)};
  for (const Directive& directive : all) {
    for (int fault = 0; fault < 4; ++fault) {
      World world;
      world.Enemy(1, 62.0f, 60.0f);
      world.Lay(1, PickupKind::kXp, 70.0f, 60.0f);
      if (fault == 0) world.state->fields &= ~static_cast<uint32_t>(kHasYaw);
      if (fault == 1) world.state->fields &= ~static_cast<uint32_t>(kHasPlayer);
      if (fault == 2) world.state->position[0] = NAN;
      if (fault == 3) world.state->yaw = INFINITY;
      CHECK(world.Tick(directive) == Applied::kUngrounded);
      CHECK(Same(world.action, kBefore));
    }
  }
}

TEST(executor_leaves_menus_to_those_who_click) {
  World world;
  world.Lay(1, PickupKind::kXp, 70.0f, 60.0f);
  std::strcpy(world.state->menu, "LevelUp");
  CHECK(world.Tick(Do(kCollect)) == Applied::kUngrounded);
  CHECK(Same(world.action, kBefore));
  Action wanted = kBefore;
  wanted.choice = 2.0f;
  CHECK(world.Tick(Do(kClick, TargetKind::kWidget, 1)) == Applied::kChanged);
  CHECK(Same(world.action, wanted));
  for (const uint32_t widget : {0u, 2u, 31u}) {  // disabled, not there
    Directive click = Do(kClick, TargetKind::kWidget, widget);
    click.id = 2;
    CHECK(world.Tick(click) == Applied::kUngrounded);
    CHECK(Same(world.action, kBefore));
  }
}

TEST(executor_clicks_once) {
  World world;
  std::strcpy(world.state->menu, "MainMenu");
  const Directive click = Do(kClick, TargetKind::kWidget, 1);
  world.state->widgets[1].enabled = 0;
  CHECK(world.Tick(click) == Applied::kUngrounded);
  world.state->widgets[1].enabled = 1;
  CHECK(world.Tick(click) == Applied::kChanged);
  CHECK(world.action.choice == 2.0f);
  for (int i = 0; i < 5; ++i) {
    CHECK(world.Tick(click) == Applied::kNothing);
    CHECK(Same(world.action, kBefore));
  }
  Directive another = click;
  another.id = 9;
  CHECK(world.Tick(another) == Applied::kChanged);
}

TEST(executor_clicks_points_of_games_without_widgets) {
  World world;
  const Directive click = Do(kClick, TargetKind::kPoint, 0x8000'4000);
  CHECK(world.Tick(click) == Applied::kChanged);
  CHECK(world.action.choice == 0.0f);
  CHECK(std::fabs(world.action.click[0] - 0.25f) < 1e-4f);
  CHECK(std::fabs(world.action.click[1] - 0.5f) < 1e-4f);
  CHECK(world.Tick(click) == Applied::kNothing);
}

TEST(executor_goes_to_what_is_named_and_only_while_it_is_there) {
  World world;
  world.Lay(7, PickupKind::kHeal, 68.0f, 64.0f);
  world.Walk(Do(kMove, TargetKind::kPickup, 7), 150);
  CHECK(world.Away(68.0f, 64.0f) < 0.5f);
  world.state->pickup_count = 0;
  CHECK(world.Tick(Do(kMove, TargetKind::kPickup, 7)) == Applied::kUngrounded);
  CHECK(world.Tick(Do(kMove, TargetKind::kEntity, 7)) == Applied::kUngrounded);
}

TEST(executor_attacks_from_where_weapons_reach) {
  World world;
  Entity& enemy = world.Enemy(3, 80.0f, 60.5f);
  world.Enemy(4, 90.0f, 60.5f);
  world.Walk(Do(kAttack), 400);
  float least = 1e9f, most = 0.0f, turned = 0.0f, before = 0.0f;
  for (int i = 0; i < 240; ++i) {
    world.Walk(Do(kAttack));
    const float x = world.state->position[0] - enemy.position[0];
    const float y = world.state->position[1] - enemy.position[1];
    least = std::min(least, std::hypot(x, y));
    most = std::max(most, std::hypot(x, y));
    const float angle = std::atan2(y, x);
    if (i > 0) turned += std::fabs(std::remainder(angle - before, 2.0f * static_cast<float>(M_PI)));
    before = angle;
  }
  CHECK(least > 1.5f);
  CHECK(most < 6.0f);
  CHECK(turned > 2.0f);  // round it, not in front of it
}

TEST(executor_attack_without_anybody_is_ungrounded) {
  World world;
  CHECK(world.Tick(Do(kAttack)) == Applied::kUngrounded);
  world.Enemy(9, 62.0f, 60.0f, kEntityProjectile);  // nobody to attack
  CHECK(world.Tick(Do(kAttack)) == Applied::kUngrounded);
  CHECK(world.Tick(Do(kAttack, TargetKind::kEntity, 8)) == Applied::kUngrounded);
  CHECK(world.Tick(Do(kAttack, TargetKind::kCompass, 8)) == Applied::kChanged);
  CHECK(world.EastOf() < -0.9f);  // to where somebody is said to be
}

TEST(executor_retreats_from_what_comes) {
  World world;
  for (uint32_t i = 0; i < 5; ++i) world.Enemy(i, 63.0f, 58.0f + static_cast<float>(i));
  for (int i = 0; i < 120; ++i) {
    world.Walk(Do(kRetreat));
    for (int k = 0; k < 5; ++k) {  // they follow, slower
      Entity& enemy = world.state->entities[k];
      const float x = world.state->position[0] - enemy.position[0];
      const float y = world.state->position[1] - enemy.position[1];
      const float away = std::hypot(x, y);
      enemy.velocity[0] = 4.0f * x / away;
      enemy.velocity[1] = 4.0f * y / away;
      enemy.position[0] += enemy.velocity[0] / 60.0f;
      enemy.position[1] += enemy.velocity[1] / 60.0f;
      CHECK(away > 1.2f);
    }
  }
  CHECK(world.state->position[0] < 56.0f);
}

TEST(executor_retreats_to_where_there_is_room) {
  // A dead end in the west, enemies in the east: out by the north, though west is further from
  // them.
  World world;
  world.Wall(54, 40, 56, 80);
  world.Wall(54, 40, 70, 44);
  for (uint32_t i = 0; i < 4; ++i) world.Enemy(i, 68.0f, 56.0f + 2.0f * static_cast<float>(i));
  world.Walk(Do(kRetreat), 240);
  CHECK(world.state->position[1] > 70.0f);
}

TEST(executor_collects_what_is_worth_it_without_wavering) {
  World world;
  world.Lay(1, PickupKind::kXp, 65.5f, 60.5f);
  world.Lay(2, PickupKind::kXp, 55.5f, 60.5f);  // as far
  world.Tick(Do(kCollect));
  const float first = world.EastOf();
  CHECK(std::fabs(first) > 0.9f);
  for (int i = 0; i < 20; ++i) {
    // Now the other one seems a little nearer, now this one.
    world.state->position[0] = 60.5f + ((i & 1) ? 0.2f : -0.2f);
    CHECK(world.Tick(Do(kCollect)) == Applied::kChanged);
    CHECK(world.EastOf() * first > 0.5f);
  }
  world.Lay(3, PickupKind::kHeal, 60.5f, 65.5f);  // much better for the hurt
  world.Tick(Do(kCollect));
  CHECK(world.NorthOf() > 0.9f);
  CHECK(world.Tick(Do(kCollect, TargetKind::kCompass, 8)) == Applied::kChanged);
  CHECK(world.EastOf() < -0.9f);
}

TEST(executor_goes_round_walls) {
  World world;
  world.Wall(64, 20, 65, 90);  // 70 metres of wall between here and there
  world.Lay(1, PickupKind::kXp, 70.5f, 60.5f);
  int ticks = 0;
  while (world.Away(70.5f, 60.5f) > 0.5f && ++ticks < 1500) world.Walk(Do(kCollect));
  CHECK(ticks < 1100);  // the way is some 65 metres
  // Without knowing the ground it stays behind the wall: what the route is for.
  World blind;
  blind.Wall(64, 20, 65, 90);
  const auto walls = std::move(blind.grid);
  blind.Lay(1, PickupKind::kXp, 70.5f, 60.5f);
  for (int i = 0; i < 1500; ++i) {
    const float x = blind.state->position[0], y = blind.state->position[1];
    blind.Walk(Do(kCollect));
    if (!Stands(*walls, blind.state->position[0], blind.state->position[1])) {
      blind.state->position[0] = x;
      blind.state->position[1] = y;
    }
  }
  CHECK(blind.Away(70.5f, 60.5f) > 4.0f);
}

TEST(executor_explores_where_it_has_not_been) {
  World world;
  world.Wall(0, 0, 127, 0);  // only to know the ground
  world.Wall(40, 30, 41, 100);
  std::set<std::pair<int, int>> seen;
  for (int i = 0; i < 3600; ++i) {
    CHECK(world.Walk(Do(kExplore)) == Applied::kChanged);
    seen.insert({static_cast<int>(world.state->position[0] / 8.0f),
                 static_cast<int>(world.state->position[1] / 8.0f)});
  }
  CHECK(seen.size() >= 32);  // a minute, 360 metres: few places twice
}

TEST(executor_defends_a_place_and_gives_way) {
  World world;
  world.Walk(Do(kDefend), 60);
  CHECK(world.Away(60.5f, 60.5f) < 0.5f);  // nothing comes near
  for (int i = 0; i < 60; ++i) {
    world.state->entity_count = 0;
    world.Enemy(1, 61.0f, 60.5f);
    world.Walk(Do(kDefend));
  }
  CHECK(world.Away(61.0f, 60.5f) > 1.0f);  // gave way
  world.state->entity_count = 0;
  world.Walk(Do(kDefend), 120);
  CHECK(world.Away(60.5f, 60.5f) < 2.0f);  // and came back
}

TEST(executor_uses_what_stands_there) {
  World world;
  world.Lay(5, PickupKind::kChest, 66.0f, 60.5f, 20.0f);
  CHECK(world.Tick(Do(kInteract)) == Applied::kChanged);
  CHECK_EQ(world.action.interact, 1.0f);  // no gold: what stands before one is used, if anything
  world.state->gold = 30.0f;
  CHECK(world.Tick(Do(kInteract)) == Applied::kChanged);
  CHECK_EQ(world.action.interact, 0.0f);  // not there yet
  world.Walk(Do(kInteract), 120);
  CHECK(world.Away(66.0f, 60.5f) < 2.0f);
  int presses = 0, both = 0;
  bool before = false;
  for (int i = 0; i < 20; ++i) {
    world.Walk(Do(kInteract));
    const bool pressed = world.action.interact >= 0.5f;
    presses += pressed;
    both += pressed && before;
    before = pressed;
  }
  CHECK_EQ(presses, 10);  // a press after every release
  CHECK_EQ(both, 0);
}

TEST(executor_steps_aside_for_what_flies) {
  World world;
  float least = 1e9f;
  for (int i = 0; i < 60; ++i) {
    world.state->entity_count = 0;
    const float x = 74.0f - 11.0f * static_cast<float>(i) / 60.0f;
    world.Enemy(1, x, 60.5f, kEntityProjectile).velocity[0] = -11.0f;
    world.Walk(Do(kMove, TargetKind::kCompass, 0));
    least = std::min(least, world.Away(x, 60.5f));
  }
  CHECK(least > 0.8f);  // its way led straight into it
}

TEST(executor_says_the_same_again) {
  const auto play = [](std::vector<Action>* actions) {
    World world;
    world.Wall(64, 20, 65, 90);
    for (uint32_t i = 0; i < 200; ++i) {
      const float x = 20.0f + 80.0f * UnitFloat(HashDraw(1, i));
      world.Enemy(i, x, 20.0f + 80.0f * UnitFloat(HashDraw(2, i)));
    }
    for (uint32_t i = 0; i < 60; ++i) {
      const float x = 20.0f + 80.0f * UnitFloat(HashDraw(3, i));
      world.Lay(i, PickupKind::kXp, x, 20.0f + 80.0f * UnitFloat(HashDraw(4, i)));
    }
    const Directive all[] = {Do(kCollect), Do(kRetreat), Do(kExplore), Do(kAttack), Do(kDefend)};
    for (int i = 0; i < 600; ++i) {
      world.Walk(all[i / 120]);
      actions->push_back(world.action);
    }
  };
  std::vector<Action> first, second;
  play(&first);
  play(&second);
  for (size_t i = 0; i < first.size(); ++i) CHECK(Same(first[i], second[i]));
}

TEST(executor_allocates_nothing) {
  World world;
  world.Wall(64, 20, 65, 90);
  world.Lay(1, PickupKind::kXp, 70.5f, 60.5f);
  for (uint32_t i = 0; i < 256; ++i) world.Enemy(i, 50.0f + 0.1f * static_cast<float>(i), 50.0f);
  const Directive all[] = {Do(kCollect), Do(kRetreat), Do(kExplore), Do(kAttack), Do(kDefend)};
  const size_t before = check::Allocations();
  for (int i = 0; i < 300; ++i) world.Walk(all[i / 60]);
  CHECK_EQ(check::Allocations(), before);
}

TEST(executor_survives_any_state) {
  const auto state = std::make_unique<GameState>();
  auto* bytes = reinterpret_cast<uint8_t*>(state.get());
  World world;
  world.Wall(64, 20, 65, 90);
  uint64_t draw = 0;
  for (int round = 0; round < 400; ++round) {
    std::memcpy(static_cast<void*>(state.get()), world.state.get(), sizeof(GameState));
    const int changes = 1 + static_cast<int>(Below(HashDraw(5, draw++), 4000));
    for (int i = 0; i < changes; ++i) {
      const uint64_t bits = HashDraw(5, draw++);
      bytes[Below(bits, sizeof(GameState))] = static_cast<uint8_t>(bits >> 40);
    }
    state->fields = round & 1 ? static_cast<uint32_t>(kHasEverything) : state->fields;
    for (int action = 0; action < static_cast<int>(DirectiveAction::kCount); ++action) {
      for (int kind = 0; kind < static_cast<int>(TargetKind::kCount); ++kind) {
        Directive directive = {.id = 1, .until = INT64_MAX};
        directive.action = static_cast<DirectiveAction>(action);
        directive.kind = static_cast<TargetKind>(kind);
        directive.target = Below(HashDraw(5, draw++), 16);
        if (!CheckDirective(directive).ok()) continue;
        Action sent = kBefore;
        world.now += kTick;
        world.executor->Apply(directive, *state, world.grid.get(), world.now, &sent);
        CHECK(std::fabs(sent.move[0]) <= 1.001f && std::fabs(sent.move[1]) <= 1.001f);
      }
    }
  }
}

}  // namespace metabonk::play
