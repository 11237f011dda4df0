#include "games/arena/hud.h"

#include <algorithm>

#include "games/arena/content.h"
#include "games/arena/text_line.h"

namespace metabonk::arena {

namespace {

constexpr uint32_t kBack = Rgb(24, 18, 32);
constexpr uint32_t kRim = Rgb(8, 6, 12);
constexpr uint32_t kPale = Rgb(246, 240, 228);
constexpr uint32_t kHealth = Rgb(222, 50, 58);
constexpr uint32_t kHealthDark = Rgb(150, 24, 44);
constexpr uint32_t kShield = Rgb(90, 200, 255);
constexpr uint32_t kXp = Rgb(70, 150, 255);
constexpr uint32_t kXpDark = Rgb(34, 84, 200);
constexpr uint32_t kGold = Rgb(250, 208, 84);
constexpr uint32_t kBoss = Rgb(200, 60, 220);
constexpr uint32_t kBossDark = Rgb(110, 24, 140);

float Part(float value, float most) {
  return most > 0.0f ? std::clamp(value / most, 0.0f, 1.0f) : 0.0f;
}

int BossIndex(const Enemies& enemies) {
  for (int i = 0; i < enemies.count; ++i) {
    if (enemies.flags[i] & kEntityBoss) return i;
  }
  return -1;
}

// ---- plain frames: bars of a few pixels, small digits

void PlainBar(const Canvas& canvas, const Box& box, float part, uint32_t colour) {
  Fill(canvas, box, kBack);
  const int filled =
      part > 0.0f ? std::max(1, static_cast<int>(part * static_cast<float>(box.width()))) : 0;
  Fill(canvas, {box.x0, box.y0, box.x0 + filled, box.y1}, colour);
}

void DrawPlainHud(const World& world, const Canvas& canvas) {
  const Player& player = world.player;
  const int w = canvas.width, h = canvas.height;
  const int thick = std::max(1, h / 28);
  PlainBar(canvas, {1, 1, w / 2, 1 + thick}, Part(player.health, StatOf(player, Stat::kMaxHealth)),
           kHealth);
  if (StatOf(player, Stat::kMaxShield) > 0.0f) {
    PlainBar(canvas, {1, 1 + thick, w / 2, 2 + thick},
             Part(player.shield, StatOf(player, Stat::kMaxShield)), kShield);
  }
  PlainBar(canvas, {0, h - std::max(1, h / 42), w, h}, Part(player.xp, XpNeeded(player.level)),
           kXp);
  const int boss = BossIndex(world.enemies);
  if (boss >= 0) {
    PlainBar(canvas, {1, 3 + thick, w - 1, 3 + thick + std::max(1, thick * 2 / 3)},
             Part(world.enemies.health[boss], world.enemies.max_health[boss]), kBoss);
  }
  if (w < 48 || h < 32) return;
  TextLine level;
  DrawText(canvas, w / 2 + 2, 1, level.Add(player.level), 0, kPale);
  TextLine clock;
  clock.AddClock(GameTime(world));
  DrawText(canvas, w - 6 - TextWidth(clock, 0), 1, clock, 0, kGold);
  const int y = h - 6 - std::max(1, h / 42) + 2;
  for (int i = 0; i < kLoadoutSlots && 4 + 4 * i < w; ++i) {
    if (player.weapons[i].kind == 0) continue;
    const WeaponDef& def = kWeaponDefs[std::min<int>(player.weapons[i].kind - 1, kWeaponCount - 1)];
    Fill(canvas, {1 + 4 * i, y, 4 + 4 * i, y + 3}, Rgb(def.color[0], def.color[1], def.color[2]));
  }
}

// ---- detailed frames; `u` is the size of a dot of text

void Bar(const Canvas& canvas, const Box& box, float part, uint32_t top, uint32_t bottom, int u) {
  Fill(canvas, box.Grown(u), kRim);
  Fill(canvas, box, kBack);
  const int filled = static_cast<int>(part * static_cast<float>(box.width()));
  Gradient(canvas, {box.x0, box.y0, box.x0 + filled, box.y1}, top, bottom, 0);
  Blend(canvas, {box.x0, box.y0, box.x0 + filled, box.y0 + u}, Rgb(255, 255, 255), 80);
}

void DrawVitals(const World& world, const Canvas& canvas, int u) {
  const Player& player = world.player;
  const float most = StatOf(player, Stat::kMaxHealth);
  const float most_shield = StatOf(player, Stat::kMaxShield);
  const int x = 6 * u, y = 10 * u, wide = canvas.width / 4;
  DrawPicture(canvas, kSpriteHeal, x - 2 * u, y - u, 11 * u);
  const Box bar{x + 11 * u, y, x + 11 * u + wide, y + 9 * u};
  Bar(canvas, bar, Part(player.health, most), kHealth, kHealthDark, u);
  TextLine line;
  line.Add(static_cast<int64_t>(player.health + 0.5f))
      .Add("/")
      .Add(static_cast<int64_t>(most + 0.5f));
  DrawCentered(canvas, bar, line, u, kPale);
  if (most_shield > 0.0f) {
    Bar(canvas, {bar.x0, bar.y1 + 2 * u, bar.x1, bar.y1 + 5 * u}, Part(player.shield, most_shield),
        kShield, Rgb(40, 120, 200), u);
  }
}

void DrawProgress(const World& world, const Canvas& canvas, int u) {
  const Player& player = world.player;
  const Box bar{u, u, canvas.width - u, 6 * u};
  Bar(canvas, bar, Part(player.xp, XpNeeded(player.level)), kXp, kXpDark, u);
  TextLine level;
  level.Add("LV ").Add(player.level);
  const int below = StatOf(player, Stat::kMaxShield) > 0.0f ? 27 : 23;  // the shield's bar
  DrawShadedText(canvas, 6 * u, below * u, level, u, kPale);
  TextLine clock;
  const int size = 2 * u;
  clock.AddClock(GameTime(world));
  DrawShadedText(canvas, (canvas.width - TextWidth(clock, size)) / 2, 10 * u, clock, size, kPale);
  TextLine wave;
  wave.Add("Wave ").Add(world.director.wave + 1);
  DrawShadedText(canvas, (canvas.width - TextWidth(wave, u)) / 2, 27 * u, wave, u,
                 Rgb(206, 198, 220));
}

void DrawCounters(const World& world, const Canvas& canvas, int u) {
  const int right = canvas.width * 92 / 100;
  const auto counter = [&](int sprite, int64_t value, int y, uint32_t colour) {
    TextLine line;
    line.Add(value);
    const int x = right - TextWidth(line, u);
    DrawShadedText(canvas, x, y, line, u, colour);
    DrawPicture(canvas, sprite, x - 12 * u, y - 2 * u, 10 * u);
  };
  counter(kSpriteGold, static_cast<int64_t>(world.player.gold), 10 * u, kGold);
  counter(kSpriteSkull, world.totals.kills, 21 * u, kPale);
}

void DrawSlots(const Slot* slots, int first_sprite, int count, int x, int y, int side,
               const Canvas& canvas, int u) {
  for (int i = 0; i < count; ++i) {
    const Box box{x + i * (side + 2 * u), y, x + i * (side + 2 * u) + side, y + side};
    Blend(canvas, box, kBack, 150);
    Outline(canvas, box, slots[i].kind ? Rgb(150, 140, 170) : Rgb(84, 78, 98), std::max(1, u / 2),
            u);
    if (slots[i].kind == 0) continue;
    DrawPicture(canvas, first_sprite + slots[i].kind - 1, box.x0 + u, box.y0 + u, side - 2 * u);
    TextLine level;
    level.Add(slots[i].level);
    DrawShadedText(canvas, box.x1 - TextWidth(level, u) - u, box.y1 - 7 * u, level, u, kGold);
  }
}

void DrawLoadout(const World& world, const Level& level, const Canvas& canvas, int u) {
  const int side = 16 * u;
  const int y = canvas.height - side - 4 * u;
  const int weapons = std::min<int>(level.spec.weapon_slots, kLoadoutSlots);
  const int tomes = std::min<int>(level.spec.tome_slots, kLoadoutSlots);
  DrawSlots(world.player.weapons, kSpriteWeapon, weapons, 4 * u, y, side, canvas, u);
  DrawSlots(world.player.tomes, kSpriteTome, tomes, canvas.width - 4 * u - tomes * (side + 2 * u),
            y, side, canvas, u);
}

void DrawAbility(const World& world, const Canvas& canvas, int u) {
  const Player& player = world.player;
  const CharacterDef& character =
      kCharacterDefs[std::min<int>(player.character, kCharacterCount - 1)];
  const AbilityDef& ability = kAbilityDefs[character.ability];
  const int wide = TextWidth(ability.name, u) + 8 * u;
  const Box box{(canvas.width - wide) / 2, canvas.height - 16 * u, (canvas.width + wide) / 2,
                canvas.height - 4 * u};
  const float ready =
      ability.cooldown > 0.0f ? 1.0f - Part(player.ability_cooldown, ability.cooldown) : 1.0f;
  Blend(canvas, box, kBack, 170);
  const bool running = player.ability_time > 0.0f;
  Gradient(canvas,
           {box.x0, box.y0, box.x0 + static_cast<int>(ready * static_cast<float>(wide)), box.y1},
           running ? kGold : Rgb(92, 80, 150), running ? Rgb(190, 130, 30) : Rgb(58, 48, 104), 0);
  Outline(canvas, box, ready >= 1.0f ? kGold : Rgb(84, 78, 98), std::max(1, u / 2), u);
  DrawCentered(canvas, box, ability.name, u, ready >= 1.0f || running ? kPale : Rgb(160, 152, 172));
}

void DrawBossBar(const World& world, const Canvas& canvas, int u) {
  const int boss = BossIndex(world.enemies);
  if (boss < 0) return;
  const Enemies& enemies = world.enemies;
  const EnemyDef& def = kEnemyDefs[std::min<int>(enemies.kind[boss], kEnemyCount - 1)];
  const int wide = canvas.width / 2, x = canvas.width / 4, y = 47 * u;
  Bar(canvas, {x, y, x + wide, y + 6 * u}, Part(enemies.health[boss], enemies.max_health[boss]),
      kBoss, kBossDark, u);
  DrawShadedText(canvas, (canvas.width - TextWidth(def.name, u)) / 2, y - 9 * u, def.name, u,
                 Rgb(255, 190, 255));
}

}  // namespace

int DotSize(const Canvas& canvas) {
  return std::clamp(std::min(canvas.width / 320, canvas.height / 180), 1, 8);
}

void DrawScreen(const World& world, const Level& level, const Canvas& canvas) {
  const Screen screen = world.menus.screen;
  const bool running =
      screen != Screen::kMainMenu && screen != Screen::kCharacterMenu && screen != Screen::kMapMenu;
  if (running) {
    if (canvas.depth == nullptr) {
      DrawPlainHud(world, canvas);
    } else {
      const int u = DotSize(canvas);
      if (screen == Screen::kPlaying) {
        DrawVitals(world, canvas, u);
        DrawProgress(world, canvas, u);
        DrawCounters(world, canvas, u);
        DrawLoadout(world, level, canvas, u);
        DrawAbility(world, canvas, u);
        DrawBossBar(world, canvas, u);
      }
    }
  }
  DrawMenu(world, level, canvas);
}

}  // namespace metabonk::arena
