// Widgets as they look: buttons, cards of offers, heroes and maps. Everything stays within the
// widget's rectangle, so that a click on what is seen is a click on the widget.
#include <algorithm>
#include <cstring>

#include "games/arena/content.h"
#include "games/arena/hud.h"
#include "games/arena/render_ground.h"
#include "games/arena/text_line.h"

namespace metabonk::arena {

namespace {

constexpr uint32_t kPale = Rgb(246, 240, 228);
constexpr uint32_t kQuiet = Rgb(168, 160, 184);
constexpr uint32_t kGood = Rgb(134, 232, 126);
constexpr uint32_t kBad = Rgb(255, 128, 112);
constexpr uint32_t kPanelTop = Rgb(58, 48, 84);
constexpr uint32_t kPanelBottom = Rgb(34, 26, 54);

uint32_t Tone(const uint8_t colour[3]) { return Rgb(colour[0], colour[1], colour[2]); }

Box BoxOf(const Widget& widget, const Canvas& canvas) {
  const float w = static_cast<float>(canvas.width), h = static_cast<float>(canvas.height);
  const int x0 = static_cast<int>(widget.x0 * w + 0.999f),
            y0 = static_cast<int>(widget.y0 * h + 0.999f);
  return {x0, y0, std::max(x0 + 1, static_cast<int>(widget.x1 * w)),
          std::max(y0 + 1, static_cast<int>(widget.y1 * h))};
}

Box Inset(const Box& box, int by) { return {box.x0 + by, box.y0 + by, box.x1 - by, box.y1 - by}; }

void DrawPanel(const Canvas& canvas, const Box& box, uint32_t top, uint32_t bottom, uint32_t edge,
               int u) {
  Gradient(canvas, box, top, bottom, 2 * u);
  Outline(canvas, box, Rgb(12, 8, 18), u, 2 * u);
  Outline(canvas, Inset(box, u), edge, std::max(1, u / 2), 2 * u);
}

void DrawButton(const Widget& widget, const Canvas& canvas, const Box& box, int u) {
  const uint32_t edge = widget.enabled ? Rgb(250, 208, 84) : Rgb(88, 82, 100);
  DrawPanel(canvas, box, widget.enabled ? Rgb(112, 76, 168) : Rgb(56, 52, 66),
            widget.enabled ? Rgb(64, 40, 112) : Rgb(38, 34, 48), edge, u);
  DrawCentered(canvas, Inset(box, 2 * u), widget.text, box.width() > 100 * u ? 2 * u : u,
               widget.enabled ? kPale : kQuiet);
}

void DrawPauseSign(const Canvas& canvas, const Box& box) {
  const int bar = std::max(1, box.width() / 5), gap = std::max(1, box.width() / 6);
  const int cx = (box.x0 + box.x1) / 2, in = box.height() / 5;
  if (canvas.depth) Blend(canvas, box, Rgb(24, 18, 32), 150);
  Fill(canvas, {cx - gap / 2 - bar, box.y0 + in, cx - gap / 2, box.y1 - in}, kPale);
  Fill(canvas, {cx + (gap + 1) / 2, box.y0 + in, cx + (gap + 1) / 2 + bar, box.y1 - in}, kPale);
}

int OfferSprite(const Offer& offer) {
  switch (static_cast<OfferKind>(offer.kind)) {
    case OfferKind::kWeapon:
      return kSpriteWeapon + offer.item;
    case OfferKind::kTome:
      return kSpriteTome + offer.item;
    case OfferKind::kItem:
      return kSpriteItem + offer.item;
    default:
      return kSpriteReward + offer.item;
  }
}

bool IsGain(const StatChange& change) { return change.amount >= 0.0f; }

// A weapon's changes are of its own numbers, everything else's are of the player's stats.
TextLine ChangeText(const StatChange& change, bool weapon) {
  TextLine line;
  const StatDef& def = kStatDefs[std::min<int>(change.stat, kStats - 1)];
  if (IsGain(change)) line.Add("+");
  const bool share =
      change.multiply || (!weapon && (def.high <= 1.0f || (def.base == 1.0f && def.low > 0.0f)));
  if (share) {
    line.AddDecimal(100.0f * change.amount).Add("% ");
  } else {
    line.AddDecimal(change.amount).Add(" ");
  }
  line.Add(def.name);
  return line;
}

void DrawOfferCard(const World& world, const Widget& widget, const Canvas& canvas, const Box& box,
                   int u) {
  Offer offer;
  DescribeOffer(world, world.menus.rolls[widget.offer - 1], &offer);
  const RarityDef& rarity = kRarityDefs[std::min<int>(offer.rarity, kRarityCount - 1)];
  const uint32_t tone = Tone(rarity.color);
  const uint32_t keep = widget.enabled ? 256u : 120u;
  DrawPanel(canvas, box, MixColour(kPanelTop, tone, 70), MixColour(kPanelBottom, tone, 26),
            DimColour(tone, keep), u);
  const Box in = Inset(box, 4 * u);
  const int side = std::min(in.height(), in.width() / 5);
  const Box icon{in.x0, in.y0 + (in.height() - side) / 2, in.x0 + side,
                 in.y0 + (in.height() + side) / 2};
  Fill(canvas, icon, MixColour(Rgb(20, 14, 32), tone, 40));
  Outline(canvas, icon, tone, std::max(1, u / 2), u);
  DrawPicture(canvas, OfferSprite(offer), icon.x0 + u, icon.y0 + u, side - 2 * u);
  const int x = icon.x1 + 5 * u;
  const int right = in.x0 + in.width() * 58 / 100;
  int size = u;
  while (size > 1 && TextWidth(widget.text, size) > right - x) --size;
  DrawShadedText(canvas, x, in.y0 + u, widget.text, size, widget.enabled ? kPale : kQuiet,
                 right - x);
  TextLine kind;
  static constexpr const char* kKinds[] = {"weapon", "tome", "item", "reward"};
  kind.Add(rarity.name).Add(" ").Add(kKinds[std::min<int>(offer.kind, 3)]);
  const int small = std::max(1, u / 2);
  DrawShadedText(canvas, x, in.y1 - 8 * small, kind, small, DimColour(tone, keep), right - x);
  const int rows = std::max(1, in.height() / (9 * u));
  const int shown = std::min<int>(offer.change_count, rows);
  for (int i = 0; i < shown; ++i) {
    const TextLine line =
        ChangeText(offer.changes[i], offer.kind == static_cast<uint8_t>(OfferKind::kWeapon));
    const int y = in.y0 + (in.height() - shown * 9 * u) / 2 + i * 9 * u + u;
    const int room = in.x1 - right - 3 * u;
    DrawShadedText(canvas, right + 3 * u, y, line, TextWidth(line, u) > room ? small : u,
                   IsGain(offer.changes[i]) ? kGood : kBad, room);
  }
  if (offer.change_count == 0 && static_cast<OfferKind>(offer.kind) == OfferKind::kWeapon) {
    DrawShadedText(canvas, right + 3 * u, in.y0 + in.height() / 2 - 4 * u,
                   kWeaponDefs[offer.item].text, u, kQuiet, in.x1 - right - 3 * u);
  }
}

// Words of `text` in lines that fit.
void DrawWrapped(const Canvas& canvas, const Box& box, const char* text, int u, uint32_t colour) {
  int y = box.y0;
  while (*text != '\0' && y + 7 * u <= box.y1) {
    char line[64] = {};
    size_t taken = 0;
    for (size_t end = 0; end < sizeof(line) - 1; ++end) {
      if (text[end] != ' ' && text[end] != '\0') continue;
      std::memcpy(line, text, end);
      line[end] = '\0';
      if (taken > 0 && TextWidth(line, u) > box.width()) break;
      taken = end;
      if (text[end] == '\0') break;
    }
    if (taken == 0) taken = std::min(std::strlen(text), sizeof(line) - 1);
    std::memcpy(line, text, taken);
    line[taken] = '\0';
    const int wide = std::min(TextWidth(line, u), box.width());
    DrawShadedText(canvas, box.x0 + (box.width() - wide) / 2, y, line, u, colour, box.width());
    text += taken;
    while (*text == ' ') ++text;
    y += 9 * u;
  }
}

void DrawHeroCard(int hero, const Widget& widget, const Canvas& canvas, const Box& box, int u) {
  const CharacterDef& def = kCharacterDefs[hero];
  const uint32_t tone = Tone(def.color);
  DrawPanel(canvas, box, MixColour(kPanelTop, tone, 90), kPanelBottom,
            widget.enabled ? tone : kQuiet, u);
  const Box in = Inset(box, 4 * u);
  const int side = std::min(in.width(), in.height() * 45 / 100);
  const int small = std::max(1, u / 2);
  DrawPicture(canvas, CharacterSprite(hero), in.x0 + (in.width() - side) / 2, in.y0, side);
  const int y = in.y0 + side + u;
  DrawCentered(canvas, {box.x0 + u, y, box.x1 - u, y + 9 * u}, widget.text, u, kPale);
  const int icon = 12 * u;
  DrawWrapped(canvas, {in.x0, y + 11 * u, in.x1, in.y1 - icon}, def.text, small, kQuiet);
  DrawPicture(canvas, kSpriteWeapon + def.weapon, in.x0, in.y1 - icon, icon);
  const char* ability = kAbilityDefs[def.ability].name;
  DrawShadedText(canvas, in.x0 + icon + 2 * u, in.y1 - icon / 2 - 4 * small, ability, small,
                 Rgb(250, 208, 84), in.width() - icon - 2 * u);
}

// A window onto the place: sky, hills, ground, and who rules there.
void DrawMapCard(int tier, const Widget& widget, const Canvas& canvas, const Box& box, int u) {
  const TierDef& def = kTierDefs[tier];
  const Scenery& scenery = SceneryOf(tier + 1);
  DrawPanel(canvas, box, kPanelTop, kPanelBottom, widget.enabled ? scenery.haze : kQuiet, u);
  const Box in = Inset(box, 4 * u);
  const Box window{in.x0, in.y0, in.x1, in.y0 + in.height() * 70 / 100};
  const int horizon = window.y0 + window.height() * 45 / 100;
  Gradient(canvas, {window.x0, window.y0, window.x1, horizon}, scenery.zenith, scenery.haze, 0);
  for (int x = window.x0; x < window.x1; ++x) {
    const int t = (x - window.x0) * 256 / std::max(1, window.width());
    const int wave = (t & 127) < 64 ? (t & 63) : 63 - (t & 63);
    const int top = horizon - (wave + (t >> 3)) * window.height() / 400;
    Fill(canvas, {x, top, x + 1, horizon}, scenery.ridge_near);
  }
  const int main = tier == 0 ? 0 : tier == 1 ? 1 : 3;  // grass, sand, snow
  Gradient(canvas, {window.x0, horizon, window.x1, window.y1}, scenery.ground[main],
           DimColour(scenery.ground_alt[main], 200), 0);
  const int side = window.height() * 62 / 100;
  const int tree = ObstacleSprite(static_cast<Ground>(main), 3.0f, tier + 1, 1);
  DrawPicture(canvas, tree, window.x0 + side / 8, horizon - side * 6 / 10, side);
  DrawPicture(canvas, kSpriteEnemy + def.enemy, window.x1 - side - side / 8, window.y1 - side - u,
              side);
  Outline(canvas, window, Rgb(16, 12, 24), u, 0);
  DrawCentered(canvas, {in.x0, window.y1 + 2 * u, in.x1, in.y1}, widget.text, u, kPale);
}

int HeroOf(const Widget& widget) {
  for (int i = 0; i < kCharacterCount; ++i) {
    if (std::strcmp(widget.text, kCharacterDefs[i].name) == 0) return i;
  }
  return -1;
}

int MapOf(const Widget& widget) {
  for (int i = 0; i < kTierCount; ++i) {
    if (std::strncmp(widget.text, kTierDefs[i].name, std::strlen(kTierDefs[i].name)) == 0) return i;
  }
  return -1;
}

// A few pixels: the colour says what it is, small letters the rest.
void DrawPlainWidget(const World& world, const Widget& widget, const Canvas& canvas,
                     const Box& box) {
  const Screen screen = world.menus.screen;
  uint32_t tone = Rgb(112, 76, 168);
  const int hero = screen == Screen::kCharacterMenu ? HeroOf(widget) : -1;
  if (widget.offer) {
    const int rarity = std::min<int>(world.menus.rolls[widget.offer - 1].rarity, kRarityCount - 1);
    tone = Tone(kRarityDefs[rarity].color);
  } else if (hero >= 0) {
    tone = Tone(kCharacterDefs[hero].color);
  } else if (screen == Screen::kMapMenu && MapOf(widget) >= 0) {
    tone = SceneryOf(MapOf(widget) + 1).ground[MapOf(widget) == 0 ? 0 : MapOf(widget) == 1 ? 1 : 3];
  }
  Fill(canvas, box, DimColour(tone, widget.enabled ? 130 : 60));
  if (box.width() >= 6 && box.height() >= 5)
    Outline(canvas, box, DimColour(tone, widget.enabled ? 256 : 120), 1, 0);
  if (widget.offer) {
    Offer offer;
    DescribeOffer(world, world.menus.rolls[widget.offer - 1], &offer);
    const uint32_t kinds[] = {Rgb(255, 90, 80), Rgb(90, 160, 255), Rgb(120, 230, 110),
                              Rgb(250, 208, 84)};
    Fill(canvas, {box.x0 + 1, box.y0 + 1, box.x0 + 4, box.y1 - 1},
         kinds[std::min<int>(offer.kind, 3)]);
    for (int i = 0; i < offer.change_count;
         ++i) {  // one dot per stat it changes, by the stat's colour
      const uint32_t hue = offer.changes[i].stat * 37u;
      Fill(canvas, {box.x0 + 5 + 3 * i, box.y1 - 3, box.x0 + 7 + 3 * i, box.y1 - 1},
           Rgb(96 + (hue & 127), 96 + (hue * 3 & 127), 96 + (hue * 7 & 127)));
    }
    DrawText(canvas, box.x0 + 5, box.y0 + 2, widget.text, 0, kPale, box.width() - 6);
    return;
  }
  const int wide = std::min(TextWidth(widget.text, 0), box.width() - 2);
  const int fitting = (wide + 1) / 4 * 4 - 1;
  const int x = box.x0 + std::max(1, (box.width() - fitting) / 2);
  DrawText(canvas, x, box.y0 + (box.height() - 5) / 2, widget.text, 0,
           widget.enabled ? kPale : kQuiet, box.x1 - 1 - x);
}

}  // namespace

void DrawWidget(const World& world, const Widget& widget, const Canvas& canvas) {
  const Box box = BoxOf(widget, canvas);
  if (world.menus.screen == Screen::kPlaying && !widget.offer) {
    DrawPauseSign(canvas, box);
    return;
  }
  if (canvas.depth == nullptr) {
    DrawPlainWidget(world, widget, canvas, box);
    return;
  }
  const int u = DotSize(canvas);
  const int hero = world.menus.screen == Screen::kCharacterMenu ? HeroOf(widget) : -1;
  const int map = world.menus.screen == Screen::kMapMenu ? MapOf(widget) : -1;
  if (widget.offer) {
    DrawOfferCard(world, widget, canvas, box, u);
  } else if (hero >= 0) {
    DrawHeroCard(hero, widget, canvas, box, u);
  } else if (map >= 0) {
    DrawMapCard(map, widget, canvas, box, u);
  } else {
    DrawButton(widget, canvas, box, u);
  }
}

}  // namespace metabonk::arena
