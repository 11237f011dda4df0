#include <algorithm>
#include <cstring>

#include "arena_menus/screens.h"
#include "check.h"
#include "metabonk/observe.h"

namespace metabonk::arena {
namespace {

constexpr Screen kScreens[] = {Screen::kMainMenu, Screen::kCharacterMenu, Screen::kMapMenu,
                               Screen::kLevelUp,  Screen::kChest,         Screen::kPause,
                               Screen::kDeath,    Screen::kVictory};

bool SameWorld(const Run& a, const Run& b) { return HashWorld(a.world) == HashWorld(b.world); }

TEST(arena_menus_widgets_are_on_the_screen_apart_and_in_reading_order) {
  for (const Screen screen : kScreens) {
    Run run = On(screen);
    Widget widgets[kMaxWidgets];
    const int count = run.Widgets(widgets);
    CHECK(count >= 1 && count <= kMaxWidgets);
    for (int i = 0; i < count; ++i) {
      const Widget& w = widgets[i];
      CHECK(w.x0 >= 0.0f && w.y0 >= 0.0f && w.x1 <= 1.0f && w.y1 <= 1.0f);
      CHECK(w.x0 < w.x1 && w.y0 < w.y1);
      CHECK(w.text[0] != '\0' && w.text[kTextBytes - 1] == '\0');
      if (i == 0) continue;
      const Widget& before = widgets[i - 1];
      const bool below = w.y0 >= before.y1;
      const bool right = w.y0 == before.y0 && w.x0 >= before.x1;
      CHECK(below || right);
    }
  }
}

TEST(arena_menus_a_click_is_the_choice) {
  for (const Screen screen : kScreens) {
    Run first = On(screen);
    Widget widgets[kMaxWidgets];
    const int count = first.Widgets(widgets);
    for (int i = 0; i < count; ++i) {
      Run chosen = On(screen);
      Run clicked = On(screen);
      CHECK(SameWorld(chosen, clicked));
      chosen.Step(Choose(i + 1));
      clicked.Step(ClickOn(widgets[i]));
      CHECK(SameWorld(chosen, clicked));
      chosen.Wait(5);
      clicked.Wait(5);
      CHECK(SameWorld(chosen, clicked));
    }
  }
}

TEST(arena_menus_a_click_beside_everything_does_nothing) {
  for (const Screen screen : kScreens) {
    Run run = On(screen);
    Run waited = On(screen);
    Action click = Idle();
    click.click[0] = 0.01f;
    click.click[1] = 0.99f;
    run.Step(click);
    waited.Wait(1);
    run.Wait(1);
    waited.Wait(1);
    CHECK(SameWorld(run, waited));
  }
}

TEST(arena_menus_choices_that_are_not_there_do_nothing) {
  for (const Screen screen : kScreens) {
    Run run = On(screen);
    Run waited = On(screen);
    Widget widgets[kMaxWidgets];
    const int count = run.Widgets(widgets);
    run.Step(Choose(count + 1));
    waited.Wait(1);
    run.Wait(1);
    waited.Wait(1);
    CHECK(SameWorld(run, waited));
  }
}

// The observation's mask, an attempt of each choice, and the widgets say the same.
TEST(arena_menus_masks_are_what_the_rules_accept) {
  for (const Screen screen : kScreens) {
    for (int variant = 0; variant < 4; ++variant) {
      const auto make = [&] {
        Run run = On(screen);
        Menus& menus = run.world.menus;
        if (variant == 1) menus.refreshes = menus.skips = menus.banishes = 0;
        if (variant == 2) menus.armed = 0;
        if (variant == 3 && menus.roll_count > 0) menus.banishing = 1;
        return run;
      };
      Run shown = make();
      GameState state = {};
      FillGameState(shown.world, shown.level, &state);
      uint8_t mask[kActionMask];
      ObservationView view;
      view.action_mask = mask;
      Observe(state, view);
      CHECK_EQ(mask[2 * kButtons], 1);
      for (int choice = 1; choice < kChoices; ++choice) {
        Run tried = make();
        Run waited = make();
        tried.Step(Choose(choice));
        waited.Wait(1);
        tried.world.menus.armed = waited.world.menus.armed;
        CHECK_EQ(mask[2 * kButtons + choice], !SameWorld(tried, waited));
      }
    }
  }
}

TEST(arena_menus_lead_from_the_main_menu_into_the_chosen_run) {
  LevelSpec spec = Quiet();
  spec.start_screen = static_cast<uint8_t>(Screen::kMainMenu);
  Run run(spec);
  run.Wait(1);
  CHECK(run.world.menus.screen == Screen::kMainMenu);
  PressText(run, "Play");
  CHECK(run.world.menus.screen == Screen::kCharacterMenu);
  PressText(run, "Back");
  CHECK(run.world.menus.screen == Screen::kMainMenu);
  PressText(run, "Play");
  PressText(run, "Rogue");
  CHECK(run.world.menus.screen == Screen::kMapMenu);
  PressText(run, "Back");
  PressText(run, "Alchemist");
  CHECK_EQ(run.world.tick, uint64_t{0});
  run.Step(Choose(2));
  CHECK(run.world.menus.screen == Screen::kPlaying);
  CHECK_EQ(run.world.tier, 2);
  CHECK_EQ(run.world.player.character, static_cast<uint8_t>(kCharacterAlchemist));
  CHECK_EQ(run.world.player.weapons[0].kind, kCharacterDefs[kCharacterAlchemist].weapon + 1);
  run.Wait(5);
  CHECK(run.world.tick >= 5);
}

TEST(arena_menus_the_chosen_tier_is_what_is_met) {
  LevelSpec spec = DefaultSpec();
  spec.start_enemies = 12;
  float total[3] = {};
  for (int tier = 1; tier <= 3; ++tier) {
    spec.start_screen = static_cast<uint8_t>(Screen::kMainMenu);
    Run run(spec);
    run.Wait(1);
    PressText(run, "Play");
    PressText(run, "Warden");
    run.Step(Choose(tier));
    CHECK_EQ(run.world.tier, tier);
    CHECK(run.world.enemies.count >= 12);
    for (int i = 0; i < run.world.enemies.count; ++i) {
      const EnemyDef& def = kEnemyDefs[run.world.enemies.kind[i]];
      total[tier - 1] += run.world.enemies.max_health[i] / def.health;
    }
    total[tier - 1] /= static_cast<float>(run.world.enemies.count);
  }
  CHECK(total[0] < total[1] && total[1] < total[2]);
}

TEST(arena_menus_quick_start_plays_the_levels_own) {
  LevelSpec spec = Quiet();
  spec.start_screen = static_cast<uint8_t>(Screen::kMainMenu);
  spec.character = kCharacterRanger;
  spec.tier = 3;
  Run run(spec);
  run.Wait(1);
  PressText(run, "Quick");
  CHECK(run.world.menus.screen == Screen::kPlaying);
  CHECK_EQ(run.world.tier, 3);
  CHECK_EQ(run.world.player.character, static_cast<uint8_t>(kCharacterRanger));
}

TEST(arena_menus_stop_the_game) {
  LevelSpec spec = DefaultSpec();
  spec.start_enemies = 10;
  Run run(spec);
  run.Wait(30);
  run.world.player.pending_levels = 1;
  run.Wait(1);
  CHECK(run.world.menus.screen == Screen::kLevelUp);
  const World before = run.world;
  Action busy = Idle();
  busy.move[0] = busy.look[0] = busy.jump = busy.slide = busy.fire = busy.ability = 1.0f;
  for (int i = 0; i < 120; ++i) run.Step(busy);
  CHECK_EQ(run.world.tick, before.tick);
  CHECK_EQ(run.world.total_ticks, before.total_ticks + 120);
  CHECK_EQ(std::memcmp(&run.world.enemies, &before.enemies, sizeof before.enemies), 0);
  CHECK_EQ(std::memcmp(&run.world.director, &before.director, sizeof before.director), 0);
  CHECK_EQ(run.world.player.x, before.player.x);
  CHECK_EQ(run.world.player.yaw, before.player.yaw);
  run.Step(Choose(1));
  run.Wait(3);
  CHECK(run.world.tick > before.tick);
}

TEST(arena_menus_a_held_choice_does_not_fall_through) {
  Run run = On(Screen::kPlaying);
  run.world.player.pending_levels = 3;
  run.Wait(1);
  for (int i = 0; i < 50; ++i) run.Step(Choose(1));
  CHECK_EQ(run.world.player.pending_levels, 2);
  Widget widgets[kMaxWidgets];
  const int count = run.Widgets(widgets);
  for (int i = 0; i < count; ++i) CHECK_EQ(widgets[i].enabled, 0);
  run.Wait(1);
  run.Step(Choose(1));
  CHECK_EQ(run.world.player.pending_levels, 1);
}

TEST(arena_menus_a_click_held_while_playing_does_not_choose) {
  Run run = On(Screen::kPlaying);
  Run shown = On(Screen::kLevelUp);
  Widget widgets[kMaxWidgets];
  shown.Widgets(widgets);
  run.Step(ClickOn(widgets[0]));
  run.world.player.pending_levels = 1;
  for (int i = 0; i < 20; ++i) run.Step(ClickOn(widgets[0]));
  CHECK_EQ(run.world.player.pending_levels, 1);
  run.Wait(1);
  run.Step(ClickOn(widgets[0]));
  CHECK_EQ(run.world.player.pending_levels, 0);
}

TEST(arena_menus_a_decision_is_a_press) {
  LevelSpec spec = Quiet();
  spec.skip_min = spec.skip_max = 4;
  Run run(spec);
  run.Wait(1);
  run.world.player.pending_levels = 3;
  run.Wait(1);
  for (int left = 2; left >= 0; --left) {
    CHECK_EQ(RunDecision(run.world, run.level, Choose(1), *run.scratch), 4);
    CHECK_EQ(run.world.player.pending_levels, left);
  }
}

TEST(arena_menus_pause_where_the_level_allows_it) {
  Run run = On(Screen::kPlaying);
  run.Step(Choose(1));
  CHECK(run.world.menus.screen == Screen::kPause);
  const uint64_t tick = run.world.tick;
  run.Wait(20);
  CHECK_EQ(run.world.tick, tick);
  PressText(run, "Resume");
  CHECK(run.world.menus.screen == Screen::kPlaying);

  Run strict(Quiet());
  strict.Wait(2);
  Widget widgets[kMaxWidgets];
  CHECK_EQ(strict.Widgets(widgets), 0);
  strict.Step(Choose(1));
  CHECK(strict.world.menus.screen == Screen::kPlaying);
}

TEST(arena_menus_giving_up_is_a_death) {
  Run run = On(Screen::kPause);
  run.Step(Choose(FindWidget(run, "Give up") + 1));
  CHECK_EQ(run.world.done, static_cast<uint8_t>(EpisodeEnd::kDied));
  CHECK(run.world.menus.screen == Screen::kDeath);
}

TEST(arena_menus_trying_again_is_the_same_run_anew) {
  Run run = On(Screen::kDeath, 7);
  PressText(run, "Try again");
  CHECK_EQ(run.world.done, 0);
  CHECK(run.world.menus.screen == Screen::kPlaying);
  Run fresh(run.level.spec, 7);
  fresh.Wait(1);
  CHECK_EQ(run.world.player.x, fresh.world.player.x);
  CHECK_EQ(run.world.player.health, fresh.world.player.health);
  CHECK_EQ(run.world.totals.kills, fresh.world.totals.kills);
  Run home = On(Screen::kDeath, 7);
  PressText(home, "Main menu");
  CHECK(home.world.menus.screen == Screen::kMainMenu);
  CHECK_EQ(home.world.done, 0);
}

TEST(arena_menus_trying_again_keeps_what_was_chosen) {
  LevelSpec spec = Quiet();
  Run run(spec, 7);
  run.world.menus.chosen_character = 2;
  run.world.menus.chosen_tier = 1;
  OpenMenu(run.world, run.level, Screen::kMapMenu);
  run.Wait(1);
  run.Step(Choose(3));  // the third map
  run.Wait(1);
  CHECK_EQ(run.world.player.character, 2);
  CHECK_EQ(run.world.tier, 3);
  const Player chosen = run.world.player;
  run.Wait(30);
  run.world.done = static_cast<uint8_t>(EpisodeEnd::kDied);
  OpenMenu(run.world, run.level, Screen::kDeath);
  run.Wait(1);
  PressText(run, "Try again");
  CHECK(run.world.menus.screen == Screen::kPlaying);
  CHECK_EQ(run.world.player.character, 2);
  CHECK_EQ(run.world.tier, 3);
  for (int i = 0; i < kStats; ++i) CHECK_EQ(run.world.player.base[i], chosen.base[i]);
}

TEST(arena_menus_a_victory_that_does_not_end_the_run_goes_on) {
  Run run = On(Screen::kVictory);
  CHECK_EQ(run.world.done, 0);
  const uint64_t tick = run.world.tick;
  PressText(run, "Continue");
  run.Wait(5);
  CHECK(run.world.menus.screen == Screen::kPlaying);
  CHECK(run.world.tick > tick);
}

TEST(arena_menus_a_copy_taken_in_a_menu_goes_on_alike) {
  for (const Screen screen : kScreens) {
    Run run = On(screen, 3);
    Run other = On(Screen::kPlaying, 3);
    std::memcpy(static_cast<void*>(&other.world), &run.world, sizeof(World));
    for (int i = 0; i < 60; ++i) {
      const Action action = i % 3 == 0 ? Choose(1 + i / 3 % 4) : Idle();
      run.Step(action);
      other.Step(action);
    }
    CHECK(SameWorld(run, other));
  }
}

}  // namespace
}  // namespace metabonk::arena
