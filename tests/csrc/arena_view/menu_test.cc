// Screens: what can be clicked is drawn where it can be clicked, and bars say what they measure.
#include <cstring>

#include "arena_view/scene.h"
#include "check.h"
#include "games/arena/canvas.h"
#include "games/arena/font.h"
#include "games/arena/hud.h"
#include "games/arena/render_camera.h"

namespace metabonk::arena::view_test {
namespace {

constexpr int kSizes[][2] = {{84, 84}, {180, 320}, {360, 640}, {720, 1280}};

struct Board {  // a canvas of its own
  std::vector<uint32_t> pixels;
  std::vector<uint16_t> depth;
  Canvas canvas;

  Board(int height, int width)
      : pixels(static_cast<size_t>(height * width), 0x123456u),
        depth(pixels.size()),
        canvas{pixels.data(), IsPlainFrame(height, width) ? nullptr : depth.data(), width, height,
               width} {}
};

bool Within(const Widget& widget, int x, int y, const Canvas& canvas) {
  const float sx = (static_cast<float>(x) + 0.5f) / static_cast<float>(canvas.width);
  const float sy = (static_cast<float>(y) + 0.5f) / static_cast<float>(canvas.height);
  return sx >= widget.x0 && sx < widget.x1 && sy >= widget.y0 && sy < widget.y1;
}

void CheckWidget(const World& world, const Widget& widget, int height, int width) {
  Board with(height, width);
  DrawWidget(world, widget, with.canvas);
  Widget silent = widget;
  std::memset(silent.text, 0, sizeof(silent.text));
  Board without(height, width);
  DrawWidget(world, silent, without.canvas);
  int outside = 0, inside = 0, letters = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const size_t at = static_cast<size_t>(y * width + x);
      const bool drawn = with.pixels[at] != 0x123456u;
      if (drawn && !Within(widget, x, y, with.canvas)) ++outside;
      if (drawn && Within(widget, x, y, with.canvas)) ++inside;
      letters += with.pixels[at] != without.pixels[at];
    }
  }
  // While playing the only widget is pause, which is a sign and not a word.
  const bool sign = world.menus.screen == Screen::kPlaying;
  if (outside || (letters < 6 && !sign)) {
    std::fprintf(stderr, "  '%s' at %dx%d: %d outside, %d of its text\n", widget.text, width,
                 height, outside, letters);
  }
  CHECK_EQ(outside, 0);
  CHECK(inside >= 8);
  CHECK(letters >= 6 || sign);
}

TEST(ArenaViewDrawsEveryWidgetInItsRectangle) {
  for (int screen = 0; screen < static_cast<int>(Screen::kCount); ++screen) {
    auto scene = MakeScene(1);
    scene->level.spec.allow_pause = 1;
    if (screen > 0) OpenMenu(scene->world, scene->level, static_cast<Screen>(screen));
    Widget widgets[kMaxWidgets];
    const int count = ListWidgets(scene->world, scene->level, widgets);
    CHECK(count > 0);
    for (const auto& size : kSizes) {
      for (int i = 0; i < count; ++i) CheckWidget(scene->world, widgets[i], size[0], size[1]);
    }
  }
}

TEST(ArenaViewShowsEachScreen) {
  for (const auto& size : kSizes) {
    std::vector<std::vector<uint8_t>> frames;
    for (int screen = 0; screen < static_cast<int>(Screen::kCount); ++screen) {
      auto scene = MakeScene(1);
      if (screen > 0) OpenMenu(scene->world, scene->level, static_cast<Screen>(screen));
      frames.push_back(Draw(*scene, size[0], size[1]));
      for (size_t other = 0; other + 1 < frames.size(); ++other) {
        CHECK(frames[other] != frames.back());
      }
    }
  }
}

TEST(ArenaViewCardsShowRarityAndEffect) {
  for (const auto& size : kSizes) {
    auto scene = MakeScene(1);
    OpenMenu(scene->world, scene->level, Screen::kLevelUp);
    Menus& menus = scene->world.menus;
    menus.roll_count = 1;
    menus.rolls[0] = {static_cast<uint8_t>(OfferKind::kTome), 0, 0, 1, 1.0f};
    const std::vector<uint8_t> common = Draw(*scene, size[0], size[1]);
    menus.rolls[0].rarity = 4;
    CHECK(Draw(*scene, size[0], size[1]) != common);
    menus.rolls[0].rarity = 0;
    menus.rolls[0].item = 1;
    CHECK(Draw(*scene, size[0], size[1]) != common);
    menus.rolls[0].item = 0;
    menus.rolls[0].scale = 3.0f;  // the same tome, three times the effect
    if (size[0] >= 180) CHECK(Draw(*scene, size[0], size[1]) != common);
  }
}

int CountReddish(const std::vector<uint8_t>& rgb, int width, int rows) {
  int count = 0;
  for (size_t i = 0; i < static_cast<size_t>(rows * width * 3); i += 3) {
    count += rgb[i] > 140 && rgb[i + 1] < 80 && rgb[i + 2] < 90;
  }
  return count;
}

TEST(ArenaViewHealthBarShrinksWithHealth) {
  for (const auto& size : kSizes) {
    auto scene = MakeScene(1, false);
    Player& player = scene->world.player;
    int last = 1 << 30;
    for (const float part : {1.0f, 0.75f, 0.5f, 0.3f}) {
      player.health = part * StatOf(player, Stat::kMaxHealth);
      const int red = CountReddish(Draw(*scene, size[0], size[1]), size[1], size[0] / 9);
      CHECK(red < last);
      CHECK(red > 0);
      last = red;
    }
  }
}

TEST(ArenaViewCountersFollowTheRun) {
  for (const auto& size : kSizes) {
    auto scene = MakeScene(1, false);
    const std::vector<uint8_t> before = Draw(*scene, size[0], size[1]);
    const auto changes = [&](auto change) {
      World saved = scene->world;
      change(scene->world);
      const bool differs = Draw(*scene, size[0], size[1]) != before;
      scene->world = saved;
      return differs;
    };
    CHECK(changes([](World& w) { w.player.xp += 5.0f; }));
    CHECK(changes([](World& w) { w.player.level = 12; }));
    CHECK(changes([](World& w) { w.player.weapons[2] = {3, 1}; }));
    CHECK(changes([](World& w) { StatOf(w.player, Stat::kMaxShield) = 20.0f; }));
    CHECK(changes([](World& w) { w.tick += 64 * 60; }));  // time, with everything in the same pose
    if (size[0] < 180) continue;
    CHECK(changes([](World& w) { w.player.gold = 999.0f; }));
    CHECK(changes([](World& w) { w.totals.kills = 77; }));
    CHECK(changes([](World& w) { w.player.tomes[2] = {3, 1}; }));
    CHECK(changes([](World& w) { w.director.wave = 4; }));
    CHECK(changes([](World& w) { w.player.ability_cooldown = 3.0f; }));
  }
}

TEST(ArenaViewLettersDiffer) {
  for (int a = ' '; a <= '~'; ++a) {
    for (int b = ' '; b < a; ++b) {
      bool large = false;
      for (int row = 0; row < kLargeTall; ++row) {
        large |= LargeRow(static_cast<char>(a), row) != LargeRow(static_cast<char>(b), row);
      }
      CHECK(large);
    }
  }
  for (int a = '0'; a <= 'Z'; ++a) {
    int dots = 0;
    for (int row = 0; row < kSmallTall; ++row) dots += SmallRow(static_cast<char>(a), row) != 0;
    CHECK(dots >= 2);
  }
  CHECK_EQ(TextWidth("", 1), 0);
  CHECK_EQ(TextWidth("00", 2), 22);  // digits are five dots wide, one between them
}

}  // namespace
}  // namespace metabonk::arena::view_test
