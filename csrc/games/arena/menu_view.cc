// The screens of menus: dimmed world, titles, tables of numbers, and every widget of ListWidgets.
#include <algorithm>

#include "games/arena/content.h"
#include "games/arena/hud.h"
#include "games/arena/text_line.h"

namespace metabonk::arena {

namespace {

constexpr uint32_t kPale = Rgb(246, 240, 228);
constexpr uint32_t kQuiet = Rgb(176, 168, 192);
constexpr uint32_t kGold = Rgb(250, 208, 84);

void DimWorld(const Canvas& canvas, uint32_t tone, uint32_t keep) {
  for (int y = 0; y < canvas.height; ++y) {
    uint32_t* row = canvas.pixels + y * canvas.stride;
    for (int x = 0; x < canvas.width; ++x) row[x] = MixColour(tone, row[x], keep);
  }
}

struct Heading {
  const char* title;
  uint32_t top, bottom;  // colours
  uint32_t tone;         // that the world is dimmed with
  uint32_t keep;         // parts of 256 of the world that stay
};

Heading HeadingOf(Screen screen) {
  constexpr uint32_t kNight = Rgb(18, 12, 32);
  switch (screen) {
    case Screen::kMainMenu:
      return {"METABONK", Rgb(255, 236, 120), Rgb(240, 110, 40), kNight, 176};
    case Screen::kCharacterMenu:
      return {"CHOOSE A HERO", kPale, Rgb(170, 190, 250), kNight, 96};
    case Screen::kMapMenu:
      return {"CHOOSE A MAP", kPale, Rgb(150, 230, 180), kNight, 96};
    case Screen::kLevelUp:
      return {"LEVEL UP", Rgb(255, 244, 170), kGold, kNight, 110};
    case Screen::kChest:
      return {"TREASURE", Rgb(255, 226, 140), Rgb(230, 150, 50), kNight, 110};
    case Screen::kPause:
      return {"PAUSED", kPale, kQuiet, kNight, 110};
    case Screen::kDeath:
      return {"YOU FELL", Rgb(255, 150, 130), Rgb(190, 30, 50), Rgb(50, 6, 16), 90};
    case Screen::kVictory:
      return {"VICTORY", Rgb(255, 250, 190), Rgb(110, 220, 120), Rgb(20, 40, 30), 120};
    default:
      return {"", 0, 0, 0, 256};
  }
}

// Large letters whose colour runs from top to bottom, with a thick edge.
void DrawTitle(const Canvas& canvas, const Heading& heading, int y, int size) {
  const int x = (canvas.width - TextWidth(heading.title, size)) / 2;
  if (canvas.depth == nullptr) {
    const int face = TextWidth(heading.title, 1) < canvas.width && canvas.height >= 60 ? 1 : 0;
    DrawShadedText(canvas, std::max(0, (canvas.width - TextWidth(heading.title, face)) / 2), y,
                   heading.title, face, heading.top);
    return;
  }
  const int edge = std::max(1, size / 3);
  for (int dy = -edge; dy <= edge + edge; ++dy) {
    for (int dx = -edge; dx <= edge; ++dx) {
      if (dx == -edge || dx == edge || dy == -edge || dy == 2 * edge)
        DrawText(canvas, x + dx, y + dy, heading.title, size, Rgb(22, 14, 30));
    }
  }
  const int tall = TextHeight(size);
  for (int row = 7; row-- > 0;) {  // from below: each band covers what is above its own
    const int below = std::min(canvas.height, y + (row + 1) * tall / 8);
    const Canvas band{canvas.pixels, canvas.depth, canvas.width, below, canvas.stride};
    const uint32_t part = static_cast<uint32_t>(row * 256 / 6);
    DrawText(band, x, y, heading.title, size, MixColour(heading.top, heading.bottom, part));
  }
}

void DrawPairs(const Canvas& canvas, const char* const* names, const TextLine* values, int count,
               int x, int y, int wide, int u) {
  for (int i = 0; i < count; ++i) {
    const int row = y + i * 10 * u;
    DrawShadedText(canvas, x, row, names[i], u, kQuiet);
    DrawShadedText(canvas, x + wide - TextWidth(values[i], u), row, values[i], u, kPale);
  }
}

// What the run came to, below the buttons.
void DrawSummary(const World& world, const Canvas& canvas, int u) {
  const Totals& totals = world.totals;
  const char* names[] = {"Time", "Level", "Kills", "Bosses", "Gold", "Score"};
  TextLine values[6];
  values[0].AddClock(GameTime(world));
  values[1].Add(world.player.level);
  values[2].Add(totals.kills);
  values[3].Add(totals.boss_kills);
  values[4].Add(static_cast<int64_t>(totals.gold_earned));
  values[5].Add(static_cast<int64_t>(totals.score));
  const int wide = 110 * u, y = canvas.height * 64 / 100, x = (canvas.width - wide) / 2;
  const Box box = Box{x, y, x + wide, y + 59 * u}.Grown(5 * u);
  Blend(canvas, box, Rgb(14, 10, 24), 180);
  Outline(canvas, box, Rgb(92, 84, 116), std::max(1, u / 2), 2 * u);
  DrawPairs(canvas, names, values, 6, x, y, wide, u);
}

TextLine StatValue(int stat, float value) {
  TextLine line;
  const StatDef& def = kStatDefs[stat];
  const bool share = def.unit[0] == 'f' || def.unit[0] == 'c' ? def.high <= 1.0f : false;
  if (share) return line.AddDecimal(100.0f * value).Add("%"), line;
  if (def.low > 0.0f && def.base == 1.0f) return line.Add("x").AddDecimal(value, 2), line;
  return line.AddDecimal(value), line;
}

// All stats of the player to the left and right of the buttons.
void DrawStats(const World& world, const Canvas& canvas, int u) {
  constexpr int kRows = (kStats + 1) / 2;
  const int wide = canvas.width * 26 / 100;
  for (int half = 0; half < 2; ++half) {
    const int x = half == 0 ? canvas.width * 3 / 100 : canvas.width * 71 / 100;
    const int y = canvas.height * 30 / 100;
    const int dot = TextWidth("Projectile Speed  x1.25", u) > wide ? std::max(1, u / 2) : u;
    const Box box = Box{x, y, x + wide, y + kRows * 10 * dot}.Grown(3 * dot);
    Blend(canvas, box, Rgb(14, 10, 24), 170);
    Outline(canvas, box, Rgb(72, 66, 92), std::max(1, dot / 2), 2 * dot);
    for (int i = 0; i < kRows && half * kRows + i < kStats; ++i) {
      const int stat = half * kRows + i;
      const TextLine value = StatValue(stat, world.player.stat[stat]);
      const int row = y + i * 10 * dot + dot;
      const bool better = world.player.stat[stat] != kStatDefs[stat].base;
      DrawShadedText(canvas, x, row, kStatDefs[stat].name, dot, better ? kPale : kQuiet,
                     wide - TextWidth(value, dot) - 4 * dot);
      DrawShadedText(canvas, x + wide - TextWidth(value, dot), row, value, dot,
                     better ? kGold : kQuiet);
    }
  }
}

void DrawSubtitle(const World& world, const Canvas& canvas, int y, int u) {
  TextLine line;
  switch (world.menus.screen) {
    case Screen::kMainMenu:
      line.Add("Survive the horde");
      break;
    case Screen::kLevelUp:
      line.Add("Level ").Add(world.player.level);
      break;
    case Screen::kDeath:
      line.Add(world.done == static_cast<uint8_t>(EpisodeEnd::kTimeUp) ? "Time is up" : "");
      break;
    default:
      break;
  }
  if (world.menus.banishing) line.Add(" - choose what to banish");
  DrawShadedText(canvas, (canvas.width - TextWidth(line, u)) / 2, y, line, u, kPale);
}

}  // namespace

void DrawMenu(const World& world, const Level& level, const Canvas& canvas) {
  const Screen screen = world.menus.screen;
  if (screen != Screen::kPlaying) {
    const Heading heading = HeadingOf(screen);
    DimWorld(canvas, heading.tone, heading.keep);
    const bool main = screen == Screen::kMainMenu;
    if (canvas.depth == nullptr) {
      DrawTitle(canvas, heading, canvas.height * (main ? 16 : 8) / 100, 1);
    } else {
      const int u = DotSize(canvas);
      const int size = (main ? 5 : 2) * u;
      const int y = canvas.height * (main ? 6 : 3) / 100;  // cards begin at a fifth
      DrawTitle(canvas, heading, std::max(y, 0), size);
      DrawSubtitle(world, canvas, y + TextHeight(size) + 2 * u, u);
      if (screen == Screen::kPause) DrawStats(world, canvas, u);
      if (screen == Screen::kDeath || screen == Screen::kVictory) DrawSummary(world, canvas, u);
    }
  }
  Widget widgets[kMaxWidgets];
  const int count = ListWidgets(world, level, widgets);
  for (int i = 0; i < count; ++i) DrawWidget(world, widgets[i], canvas);
}

}  // namespace metabonk::arena
