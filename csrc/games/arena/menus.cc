// The screens of the game: which widgets each shows and what selecting one does. Knows screens,
// rectangles and presses; what an offer grants is loadout.cc's, how things look is the view's.
//
// A choice and a click are the same press: both name a widget of ListWidgets, one by its place in
// reading order, the other by a point in its rectangle; where both are given the choice counts.
#include <algorithm>
#include <cstring>

#include "games/arena/content.h"
#include "games/arena/rules.h"

namespace metabonk::arena {
namespace {

// Appends widgets in reading order; callers lay out from top to bottom and from left to right.
class Layout {
 public:
  Layout(Widget* out, bool armed) : out_(out), armed_(armed) {}

  void Add(float x0, float y0, float x1, float y1, const char* text, bool enabled = true,
           int offer = 0) {
    Widget& widget = out_[count_++];
    widget = {};
    widget.x0 = x0;
    widget.y0 = y0;
    widget.x1 = x1;
    widget.y1 = y1;
    widget.enabled = enabled && armed_;
    widget.offer = static_cast<uint8_t>(offer);
    std::memcpy(widget.text, text, std::min<size_t>(std::strlen(text), kTextBytes - 1));
  }
  // One of a column of buttons in the middle of the screen.
  void AddRow(int row, const char* text, bool enabled = true) {
    const float y = 0.36f + 0.13f * static_cast<float>(row);
    Add(0.32f, y, 0.68f, y + 0.1f, text, enabled);
  }
  int count() const { return count_; }

 private:
  Widget* out_;
  bool armed_;
  int count_ = 0;
};

// "name (count)", count below ten.
void Counted(const char* name, int count, char out[kTextBytes]) {
  const size_t length = std::strlen(name);
  std::memset(out, 0, kTextBytes);
  std::memcpy(out, name, length);
  std::memcpy(out + length, " (0)", 4);
  out[length + 2] = static_cast<char>('0' + std::min(count, 9));
}

void ListOffers(const World& world, Layout* layout) {
  const Menus& menus = world.menus;
  for (int i = 0; i < menus.roll_count; ++i) {
    Offer offer;
    DescribeOffer(world, menus.rolls[i], &offer);
    const float y = 0.2f + 0.15f * static_cast<float>(i);
    const bool bannable = menus.rolls[i].kind != static_cast<uint8_t>(OfferKind::kReward);
    layout->Add(0.18f, y, 0.82f, y + 0.13f, offer.text, bannable || !menus.banishing, i + 1);
  }
  char text[kTextBytes];
  Counted("Refresh", menus.refreshes, text);
  layout->Add(0.18f, 0.83f, 0.38f, 0.92f, text, menus.refreshes > 0 && !menus.banishing);
  Counted("Skip", menus.skips, text);
  layout->Add(0.40f, 0.83f, 0.60f, 0.92f, text, menus.skips > 0 && !menus.banishing);
  Counted("Banish", menus.banishes, text);
  layout->Add(0.62f, 0.83f, 0.82f, 0.92f, menus.banishing ? "Keep" : text, menus.banishes > 0);
}

void ListCharacters(Layout* layout) {
  for (int i = 0; i < kCharacterCount; ++i) {
    const float x = 0.05f + 0.184f * static_cast<float>(i);
    layout->Add(x, 0.3f, x + 0.164f, 0.7f, kCharacterDefs[i].name);
  }
  layout->Add(0.05f, 0.83f, 0.25f, 0.92f, "Back");
}

void ListMaps(Layout* layout) {
  for (int i = 0; i < kTierCount; ++i) {
    const float x = 0.1f + 0.28f * static_cast<float>(i);
    char text[kTextBytes];
    Counted(kTierDefs[i].name, i + 1, text);
    layout->Add(x, 0.3f, x + 0.24f, 0.7f, text);
  }
  layout->Add(0.05f, 0.83f, 0.25f, 0.92f, "Back");
}

// The widget that a press selects, or -1.
int Pressed(const Widget* widgets, int count, const Action& action) {
  int index = -1;
  if (action.choice >= 1.0f) {
    index = action.choice <= static_cast<float>(count) ? static_cast<int>(action.choice) - 1 : -1;
  } else {
    const float x = action.click[0];
    const float y = action.click[1];
    for (int i = 0; i < count && index < 0; ++i) {
      const Widget& widget = widgets[i];
      if (x >= widget.x0 && x < widget.x1 && y >= widget.y0 && y < widget.y1) index = i;
    }
  }
  return index >= 0 && widgets[index].enabled ? index : -1;
}

bool IsPress(const Action& action) {
  return action.choice >= 1.0f || (action.click[0] >= 0.0f && action.click[1] >= 0.0f);
}

void Resume(World& world) {
  world.menus.screen = Screen::kPlaying;
  world.menus.roll_count = 0;
  world.menus.banishing = 0;
}

void CloseOffers(World& world) {
  Player& player = world.player;
  if (world.menus.screen == Screen::kLevelUp && player.pending_levels > 0) --player.pending_levels;
  Resume(world);
}

void PressOffers(World& world, const Level& level, int index) {
  Menus& menus = world.menus;
  const int button = index - menus.roll_count;
  if (button < 0 && menus.banishing) {
    BanOffer(world, level, index);
    menus.banishing = 0;
    --menus.banishes;
  } else if (button < 0) {
    TakeOffer(world, level, index);
    CloseOffers(world);
  } else if (button == 0) {
    --menus.refreshes;
    RollOffers(world, level, menus.screen == Screen::kChest);
  } else if (button == 1) {
    --menus.skips;
    GainGold(world, kOffers.skip_gold);
    CloseOffers(world);
  } else {
    // Taking it back spends it too: no menu can be played round and round for ever, which is where
    // an agent would hide that expects worse of the world.
    if (menus.banishing) --menus.banishes;
    menus.banishing = !menus.banishing;
  }
}

// The run that the menus chose begins on the ground that is there.
void BeginChosen(World& world, const Level& level) {
  world.tier = world.menus.chosen_tier;
  StartLoadout(world, level, world.menus.chosen_character);
  world.enemies.count = 0;  // those that stood there were of the level's tier
  StartDirector(world, level);
  Resume(world);
}

void PressEnd(World& world, const Level& level, int index) {
  if (!world.done) {  // a victory that does not end the run
    Resume(world);
    return;
  }
  const uint8_t character = world.player.character;
  const uint8_t tier = world.tier;
  StartRun(world, level, world.run_seed);  // as the level has it, not as somebody chose
  const bool chosen = character != world.player.character || tier != world.tier;
  if (index == 0 && chosen) {
    world.menus.chosen_character = character;
    world.menus.chosen_tier = tier;
    BeginChosen(world, level);
  } else if (index == 0) {
    Resume(world);
  } else {
    OpenMenu(world, level, Screen::kMainMenu);
  }
}

void Press(World& world, const Level& level, int index) {
  Menus& menus = world.menus;
  switch (menus.screen) {
    case Screen::kPlaying:
      OpenMenu(world, level, Screen::kPause);
      break;
    case Screen::kMainMenu:
      if (index == 0) {
        OpenMenu(world, level, Screen::kCharacterMenu);
      } else {
        Resume(world);
      }
      break;
    case Screen::kCharacterMenu:
      if (index < kCharacterCount) menus.chosen_character = static_cast<uint8_t>(index);
      OpenMenu(world, level, index < kCharacterCount ? Screen::kMapMenu : Screen::kMainMenu);
      break;
    case Screen::kMapMenu:
      if (index < kTierCount) {
        menus.chosen_tier = static_cast<uint8_t>(index + 1);
        BeginChosen(world, level);
      } else {
        OpenMenu(world, level, Screen::kCharacterMenu);
      }
      break;
    case Screen::kLevelUp:
    case Screen::kChest:
      PressOffers(world, level, index);
      break;
    case Screen::kPause:
      if (index == 0) {
        menus.screen = menus.behind;
      } else {  // gives up
        world.done = static_cast<uint8_t>(EpisodeEnd::kDied);
        OpenMenu(world, level, Screen::kDeath);
      }
      break;
    case Screen::kDeath:
    case Screen::kVictory:
      PressEnd(world, level, index);
      break;
    case Screen::kCount:
      break;
  }
}

// Without menus the first offer is taken as soon as there is one.
void TakeFirst(World& world, const Level& level, bool chest) {
  RollOffers(world, level, chest);
  TakeOffer(world, level, 0);
  world.menus.roll_count = 0;
}

}  // namespace

const char* MenuName(Screen screen) {
  static constexpr const char* kNames[] = {"None",    "MainMenu", "CharacterMenu",
                                           "MapMenu", "LevelUp",  "Chest",
                                           "Pause",   "Death",    "Victory"};
  static_assert(std::size(kNames) == static_cast<size_t>(Screen::kCount));
  return kNames[static_cast<int>(screen)];
}

int ListWidgets(const World& world, const Level& level, Widget out[kMaxWidgets]) {
  Layout layout(out, world.menus.armed);
  switch (world.menus.screen) {
    case Screen::kPlaying:
      if (level.spec.allow_pause) layout.Add(0.93f, 0.02f, 0.98f, 0.10f, "Pause");
      break;
    case Screen::kMainMenu:
      layout.AddRow(0, "Play");
      layout.AddRow(1, "Quick start");
      break;
    case Screen::kCharacterMenu:
      ListCharacters(&layout);
      break;
    case Screen::kMapMenu:
      ListMaps(&layout);
      break;
    case Screen::kLevelUp:
    case Screen::kChest:
      ListOffers(world, &layout);
      break;
    case Screen::kPause:
      layout.AddRow(0, "Resume");
      layout.AddRow(1, "Give up");
      break;
    case Screen::kVictory:
      if (!world.done) {
        layout.AddRow(0, "Continue");
        break;
      }
      [[fallthrough]];
    case Screen::kDeath:
      layout.AddRow(0, "Try again");
      layout.AddRow(1, "Main menu");
      break;
    case Screen::kCount:
      break;
  }
  return layout.count();
}

void OpenMenu(World& world, const Level& level, Screen screen) {
  Menus& menus = world.menus;
  const bool offers = screen == Screen::kLevelUp || screen == Screen::kChest;
  if (offers && !level.spec.menus) {
    TakeFirst(world, level, screen == Screen::kChest);
    return;
  }
  menus.behind = menus.screen;
  menus.screen = screen;
  menus.banishing = 0;
  menus.roll_count = 0;
  if (offers) RollOffers(world, level, screen == Screen::kChest);
}

bool TickMenus(World& world, const Level& level, const Action& action) {
  Menus& menus = world.menus;
  const bool press = IsPress(action);
  if (press && menus.armed) {
    Widget widgets[kMaxWidgets];
    const int count = ListWidgets(world, level, widgets);
    const int index = Pressed(widgets, count, action);
    if (index >= 0) Press(world, level, index);
  }
  menus.armed = !press;
  Player& player = world.player;
  if (!level.spec.menus) {
    for (; player.pending_levels > 0; --player.pending_levels) TakeFirst(world, level, false);
  }
  if (menus.screen == Screen::kPlaying && player.pending_levels > 0) {
    OpenMenu(world, level, Screen::kLevelUp);
  }
  return menus.screen != Screen::kPlaying;
}

}  // namespace metabonk::arena
