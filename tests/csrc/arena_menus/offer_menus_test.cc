// The screens that offer something: taking, rolling anew, skipping, banishing.
#include <algorithm>
#include <cstring>

#include "arena_menus/screens.h"
#include "check.h"

namespace metabonk::arena {
namespace {

constexpr Screen kOfferScreens[] = {Screen::kLevelUp, Screen::kChest};

TEST(arena_menus_refresh_rolls_anew_and_runs_out) {
  for (const Screen screen : kOfferScreens) {
    Run run = On(screen);
    const int most = run.world.menus.refreshes;
    CHECK_EQ(most, kOffers.refreshes);
    for (int i = 0; i < most; ++i) {
      const Menus before = run.world.menus;
      PressText(run, "Refresh");
      CHECK_EQ(run.world.menus.refreshes, before.refreshes - 1);
      CHECK(std::memcmp(run.world.menus.rolls, before.rolls, sizeof before.rolls) != 0);
    }
    const Menus before = run.world.menus;
    PressText(run, "Refresh");
    CHECK_EQ(std::memcmp(run.world.menus.rolls, before.rolls, sizeof before.rolls), 0);
    CHECK_EQ(run.world.menus.refreshes, 0);
    CHECK(run.world.menus.screen == screen);
  }
}

TEST(arena_menus_skip_takes_gold_instead) {
  for (const Screen screen : kOfferScreens) {
    Run run = On(screen);
    const Player before = run.world.player;
    const int skips = run.world.menus.skips;
    run.Step(Choose(FindWidget(run, "Skip") + 1));
    CHECK(run.world.menus.screen == Screen::kPlaying);
    CHECK_EQ(run.world.menus.skips, skips - 1);
    CHECK_NEAR(run.world.player.gold,
               before.gold + kOffers.skip_gold * StatOf(before, Stat::kGoldGain), 1e-4);
    CHECK_EQ(std::memcmp(run.world.player.weapons, before.weapons, sizeof before.weapons), 0);
    CHECK_EQ(std::memcmp(run.world.player.tomes, before.tomes, sizeof before.tomes), 0);
    CHECK_EQ(run.world.player.pending_levels, 0);
  }
}

TEST(arena_menus_banish_bans_one_and_runs_out) {
  for (const Screen screen : kOfferScreens) {
    Run run = On(screen);
    PressText(run, "Banish");
    CHECK_EQ(run.world.menus.banishing, 1);
    CHECK(FindWidget(run, "Keep") >= 0);
    const Menus before = run.world.menus;
    run.Step(Choose(2));
    run.Wait(1);
    const Menus& after = run.world.menus;
    CHECK_EQ(after.banishing, 0);
    CHECK_EQ(after.banishes, before.banishes - 1);
    CHECK_EQ(after.banned_count, 1);
    CHECK_EQ(after.banned[0], before.rolls[1].kind << 8 | before.rolls[1].item);
    CHECK(after.screen == screen);
    CHECK_EQ(std::memcmp(&after.rolls[0], &before.rolls[0], sizeof(Roll)), 0);
    CHECK(std::memcmp(&after.rolls[1], &before.rolls[1], sizeof(Roll)) != 0);
    for (int i = 1; i < kOffers.banishes; ++i) {
      PressText(run, "Banish");
      run.Step(Choose(1));
      run.Wait(1);
    }
    CHECK_EQ(run.world.menus.banishes, 0);
    PressText(run, "Banish");
    CHECK_EQ(run.world.menus.banishing, 0);
  }
}

TEST(arena_menus_keep_leaves_banishing_and_spends_it) {
  Run run = On(Screen::kLevelUp);
  const int banishes = run.world.menus.banishes;
  PressText(run, "Banish");
  PressText(run, "Keep");
  CHECK_EQ(run.world.menus.banishing, 0);
  CHECK_EQ(run.world.menus.banishes, banishes - 1);
  CHECK(run.world.menus.screen == Screen::kLevelUp);
}

TEST(arena_menus_every_pending_level_is_asked_about) {
  Run run = On(Screen::kPlaying);
  run.world.player.pending_levels = 4;
  int asked = 0;
  for (int i = 0; i < 20 && (run.world.player.pending_levels > 0 || asked == 0); ++i) {
    run.Wait(1);
    if (run.world.menus.screen != Screen::kLevelUp) continue;
    ++asked;
    run.Step(Choose(1));
  }
  CHECK_EQ(asked, 4);
  CHECK(run.world.menus.screen == Screen::kPlaying);
}

TEST(arena_menus_without_menus_offers_are_taken_at_once) {
  LevelSpec spec = Quiet();
  spec.menus = 0;
  Run run(spec);
  const World before = run.world;
  run.world.player.pending_levels = 2;
  run.Wait(1);
  CHECK(run.world.menus.screen == Screen::kPlaying);
  CHECK_EQ(run.world.player.pending_levels, 0);
  CHECK(std::memcmp(run.world.player.weapons, before.player.weapons,
                    sizeof before.player.weapons) != 0 ||
        std::memcmp(run.world.player.tomes, before.player.tomes, sizeof before.player.tomes) != 0);
  OpenMenu(run.world, run.level, Screen::kChest);
  CHECK(run.world.menus.screen == Screen::kPlaying);
  CHECK_EQ(std::count(run.world.player.items, run.world.player.items + kItemCount, 1), 1);
}

}  // namespace
}  // namespace metabonk::arena
