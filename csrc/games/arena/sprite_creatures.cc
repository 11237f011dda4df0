// Enemies from the front, characters from behind. One without art here takes "monster" or "hero"
// in its own colour.
#include "games/arena/sprite_art.h"

namespace metabonk::arena {

namespace {

// ---- enemies

constexpr Shape kGoblin[] = {Both(Limb(kOwnDark, 25, 54, 23, 60, 5, 4)),
                             Limb(kWood, 32, 42, 32, 53, 12, 12),
                             Slab(kWoodDark, 20, 47, 44, 51, 1),
                             Limb(kOwn, 20, 42, 12, 50, 5, 4),
                             Limb(kOwn, 44, 42, 52, 48, 5, 4),
                             Wedge(kSteel, 50, 48, 62, 28, 56, 48),
                             Both(Wedge(kOwnDark, 18, 16, 0, 10, 17, 30)),
                             Oval(kOwn, 32, 22, 18, 16),
                             Both(Oval(kGoldTone, 25, 21, 5, 5, true)),
                             Both(Oval(kInk, 26, 22, 2, 3, true)),
                             Limb(kInk, 25, 32, 39, 32, 1.5f, 1.5f, true),
                             Both(Wedge(kBone, 27, 32, 31, 32, 29, 28, true))};

constexpr Shape kRat[] = {Limb(Rgb(226, 150, 150), 50, 50, 62, 30, 3, 1.5f),
                          Oval(kOwnDark, 36, 46, 22, 16),
                          Oval(kOwn, 36, 44, 20, 13),
                          Limb(kOwnDark, 26, 58, 22, 61, 4, 3),
                          Limb(kOwnDark, 46, 58, 48, 61, 4, 3),
                          Oval(Rgb(226, 150, 150), 24, 30, 8, 8),
                          Oval(kOwn, 16, 46, 13, 12),
                          Oval(kOwnDark, 10, 32, 7, 7),
                          Oval(kBlood, 12, 43, 3, 3, true),
                          Oval(kBlood, 20, 43, 3, 3, true),
                          Oval(Rgb(250, 170, 170), 6, 51, 3, 3, true),
                          Wedge(kWhite, 9, 55, 14, 55, 11, 61, true)};

constexpr Shape kBrute[] = {Both(Limb(kWoodDark, 23, 50, 21, 60, 8, 7)),
                            Both(Limb(kOwn, 12, 28, 8, 48, 9, 8)),
                            Oval(kOwn, 32, 36, 22, 19),
                            Oval(kOwnLight, 32, 42, 14, 12),
                            Slab(kWoodDark, 14, 48, 50, 54, 2),
                            Oval(kGoldTone, 32, 51, 4, 4),
                            Oval(kOwn, 32, 14, 12, 12),
                            Oval(kOwnDark, 32, 7, 11, 5),
                            Both(Oval(kBlood, 27, 13, 3, 2.5f, true)),
                            Both(Wedge(kBone, 23, 22, 28, 22, 24, 12, true)),
                            Both(Oval(kOwnDark, 8, 50, 8, 7))};

constexpr Shape kBat[] = {Both(Wedge(kOwnDark, 28, 24, 0, 10, 6, 44)),
                          Both(Wedge(kOwnDark, 28, 26, 6, 44, 24, 46)),
                          Both(Limb(kOwn, 28, 24, 2, 12, 2, 1.5f)),
                          Both(Wedge(kOwn, 22, 26, 20, 8, 31, 20)),
                          Oval(kOwn, 32, 34, 13, 15),
                          Oval(kOwnLight, 32, 42, 7, 6),
                          Both(Oval(Rgb(255, 90, 80), 27, 30, 4, 4, true)),
                          Both(Wedge(kWhite, 27, 38, 31, 38, 29, 44, true))};

constexpr Shape kSpider[] = {Both(Limb(kOwnDark, 26, 36, 8, 22, 3, 2)),
                             Both(Limb(kOwnDark, 8, 22, 2, 46, 2.5f, 1.5f)),
                             Both(Limb(kOwnDark, 26, 42, 10, 36, 3, 2)),
                             Both(Limb(kOwnDark, 10, 36, 6, 60, 2.5f, 1.5f)),
                             Both(Limb(kOwnDark, 28, 48, 18, 46, 3, 2)),
                             Both(Limb(kOwnDark, 18, 46, 18, 62, 2.5f, 1.5f)),
                             Oval(kOwn, 32, 30, 18, 16),
                             Wedge(kBlood, 26, 18, 38, 18, 32, 32),
                             Oval(kOwnLight, 32, 46, 12, 10),
                             Both(Oval(Rgb(255, 70, 70), 26, 44, 3, 3, true)),
                             Oval(Rgb(255, 70, 70), 31, 41, 2, 2, true),
                             Oval(Rgb(255, 70, 70), 34, 48, 2, 2, true),
                             Both(Wedge(kBone, 27, 54, 31, 54, 29, 61, true))};

constexpr Shape kArcher[] = {Limb(kWoodDark, 25, 52, 24, 60, 4, 4),
                             Limb(kWoodDark, 35, 52, 36, 60, 4, 4),
                             Limb(kOwn, 30, 32, 30, 50, 10, 13),
                             Slab(kWoodDark, 18, 42, 42, 46, 1),
                             Limb(kOwnDark, 38, 34, 50, 32, 4, 4),
                             Oval(kOwnDark, 30, 17, 14, 15),
                             Oval(kInk, 31, 20, 9, 9),
                             Oval(kGoldTone, 27, 19, 2.5f, 2.5f, true),
                             Oval(kGoldTone, 36, 19, 2.5f, 2.5f, true),
                             Limb(kWood, 46, 6, 57, 20, 2, 2.5f),
                             Limb(kWood, 57, 20, 57, 42, 2.5f, 2.5f),
                             Limb(kWood, 57, 42, 46, 56, 2.5f, 2),
                             Limb(kBone, 46, 6, 46, 56, 0.8f, 0.8f, true),
                             Limb(kWood, 40, 32, 60, 32, 1.2f, 1.2f),
                             Wedge(kSteel, 58, 28, 64, 32, 58, 36, true)};

constexpr Shape kMage[] = {
    Wedge(kOwnDark, 30, 18, 8, 62, 52, 62), Limb(kOwn, 30, 32, 30, 54, 9, 16),
    Limb(kOwnLight, 30, 36, 30, 60, 3, 5),  Limb(kOwn, 40, 38, 50, 40, 5, 4),
    Limb(kWood, 53, 18, 53, 62, 2, 2),      Oval(Rgb(180, 120, 255), 53, 13, 8, 8, true),
    Oval(kWhite, 51, 11, 3, 3, true),       Oval(kInk, 30, 25, 11, 9),
    Oval(kGlow, 26, 25, 3, 3, true),        Oval(kGlow, 35, 25, 3, 3, true),
    Oval(kOwnDark, 30, 18, 20, 5),          Wedge(kOwn, 17, 17, 43, 17, 36, -4),
    Slab(kGoldTone, 19, 13, 41, 17, 1)};

constexpr Shape kBomber[] = {Both(Limb(kWoodDark, 24, 56, 20, 60, 5, 4)),
                             Oval(kOwnDark, 32, 39, 22, 21),
                             Oval(kOwn, 31, 37, 20, 19),
                             Oval(kOwnLight, 23, 28, 6, 5),
                             Slab(kSteelDark, 26, 14, 40, 22, 2),
                             Limb(kWood, 34, 15, 43, 7, 2, 2),
                             Oval(kEmber, 47, 6, 7, 6, true),
                             Oval(Rgb(255, 244, 160), 47, 6, 4, 3, true),
                             Both(Oval(kWhite, 24, 37, 6, 6, true)),
                             Both(Oval(kInk, 26, 38, 3, 3, true)),
                             Both(Limb(kInk, 17, 29, 28, 33, 2, 2, true)),
                             Limb(kInk, 25, 49, 39, 49, 2, 2, true)};

constexpr Shape kCharger[] = {Both(Limb(kOwnDarker, 16, 50, 15, 60, 5, 4)),
                              Both(Limb(kOwnDarker, 25, 54, 25, 61, 5, 4)),
                              Oval(kOwnDark, 32, 34, 28, 21),
                              Oval(kOwn, 32, 30, 25, 16),
                              Both(Wedge(kBone, 18, 36, 0, 12, 26, 26)),
                              Oval(kOwn, 32, 40, 16, 15),
                              Oval(kOwnLight, 32, 49, 11, 8),
                              Both(Oval(kInk, 28, 49, 2.5f, 2.5f, true)),
                              Both(Oval(kGoldTone, 24, 37, 4, 3, true)),
                              Both(Oval(kInk, 25, 37, 1.5f, 2, true))};

constexpr Shape kWraith[] = {Wedge(kOwnDark, 14, 40, 22, 64, 30, 44),
                             Wedge(kOwnDark, 24, 44, 34, 64, 42, 44),
                             Wedge(kOwnDark, 36, 44, 46, 62, 52, 36),
                             Limb(kOwn, 32, 22, 32, 40, 19, 18),
                             Both(Limb(kOwnLight, 14, 34, 4, 46, 5, 3)),
                             Oval(kOwnLight, 30, 17, 15, 13),
                             Oval(kInk, 24, 21, 5, 7, true),
                             Oval(kInk, 39, 21, 5, 7, true),
                             Both(Oval(kGlow, 25, 22, 2, 3, true)),
                             Oval(kInk, 32, 36, 4, 6, true)};

constexpr Shape kShaman[] = {Wedge(kBlood, 22, 16, 8, 0, 26, 8),
                             Wedge(kGoldTone, 26, 12, 24, -4, 34, 8),
                             Wedge(kOwnLight, 40, 16, 52, 0, 34, 8),
                             Limb(kOwnDark, 30, 36, 30, 54, 11, 17),
                             Limb(kOwn, 30, 38, 30, 48, 8, 12),
                             Limb(kOwn, 42, 40, 50, 40, 5, 4),
                             Limb(kWood, 53, 14, 53, 62, 2, 2),
                             Oval(kBone, 53, 12, 8, 8),
                             Oval(kInk, 50, 12, 2, 2.5f, true),
                             Oval(kInk, 56, 12, 2, 2.5f, true),
                             Oval(kWood, 30, 22, 15, 17),
                             Oval(Rgb(168, 112, 62), 30, 20, 12, 13),
                             Wedge(kInk, 19, 17, 28, 21, 20, 23, true),
                             Wedge(kInk, 41, 17, 32, 21, 40, 23, true),
                             Slab(kBone, 23, 29, 37, 33, 1, true),
                             Limb(kOwnLight, 30, 8, 30, 18, 2, 1.5f, true)};

constexpr Shape kSlime[] = {
    Oval(kOwnDark, 32, 46, 31, 17),       Oval(kOwn, 32, 38, 26, 22),
    Oval(kOwnLight, 28, 28, 15, 9),       Oval(kWhite, 20, 26, 5, 4, true),
    Both(Oval(kInk, 23, 40, 4, 6, true)), Oval(kWhite, 22, 38, 1.5f, 2, true),
    Oval(kWhite, 40, 38, 1.5f, 2, true),  Limb(kOwnDarker, 26, 52, 38, 52, 2, 2, true)};

constexpr Shape kGolem[] = {Both(Slab(kOwnDark, 16, 46, 29, 63, 4)),
                            Both(Slab(kOwn, 0, 20, 14, 54, 6)),
                            Both(Slab(kOwnDark, 0, 42, 15, 57, 6)),
                            Slab(kOwn, 11, 16, 53, 50, 9),
                            Slab(kOwnLight, 16, 18, 46, 30, 6),
                            Slab(kOwn, 21, 2, 43, 22, 5),
                            Slab(kInk, 23, 10, 41, 16, 2, true),
                            Both(Oval(kEmber, 27, 13, 3, 2.5f, true)),
                            Oval(kInk, 32, 34, 8, 8, true),
                            Oval(kEmber, 32, 34, 6, 6, true),
                            Oval(Rgb(255, 232, 130), 32, 34, 3, 3, true),
                            Limb(kLeaf, 12, 20, 24, 17, 3, 2),
                            Limb(kOwnDarker, 20, 42, 26, 48, 1.2f, 1.2f, true),
                            Limb(kOwnDarker, 44, 40, 40, 47, 1.2f, 1.2f, true)};

constexpr Shape kQueen[] = {Both(Limb(kOwnDark, 24, 38, 6, 18, 4, 2.5f)),
                            Both(Limb(kOwnDark, 6, 18, 1, 48, 3, 1.5f)),
                            Both(Limb(kOwnDark, 24, 44, 9, 34, 4, 2.5f)),
                            Both(Limb(kOwnDark, 9, 34, 5, 62, 3, 1.5f)),
                            Both(Limb(kOwnDark, 26, 50, 17, 46, 4, 2.5f)),
                            Both(Limb(kOwnDark, 17, 46, 17, 63, 3, 1.5f)),
                            Oval(kOwn, 32, 28, 22, 18),
                            Oval(kOwnLight, 32, 20, 13, 8),
                            Both(Oval(kGoldTone, 26, 28, 3, 4, true)),
                            Oval(kGoldTone, 32, 32, 3, 4, true),
                            Oval(kOwn, 32, 47, 14, 12),
                            Wedge(kGoldTone, 20, 40, 23, 26, 29, 38),
                            Wedge(kGoldTone, 26, 39, 32, 24, 38, 39),
                            Wedge(kGoldTone, 44, 40, 41, 26, 35, 38),
                            Slab(kGoldTone, 20, 37, 44, 41, 1),
                            Both(Oval(kWhite, 26, 46, 4, 4, true)),
                            Both(Oval(kBlood, 27, 46, 2, 3, true)),
                            Both(Wedge(kBone, 26, 56, 31, 56, 28, 63, true))};

constexpr Shape kLich[] = {Wedge(kOwnDarker, 32, 16, 4, 63, 60, 63),
                           Limb(Rgb(52, 40, 84), 32, 34, 32, 52, 12, 19),
                           Limb(Rgb(80, 62, 124), 32, 34, 32, 60, 4, 9),
                           Both(Limb(Rgb(52, 40, 84), 20, 32, 8, 42, 6, 5)),
                           Both(Oval(kOwn, 6, 46, 6, 6, true)),
                           Both(Oval(kWhite, 6, 46, 3, 3, true)),
                           Oval(kBone, 32, 20, 13, 13),
                           Slab(kBone, 25, 27, 39, 36, 3),
                           Both(Oval(kInk, 27, 20, 4, 5, true)),
                           Both(Oval(kOwn, 27, 21, 2.5f, 2.5f, true)),
                           Wedge(kInk, 30, 28, 34, 28, 32, 24, true),
                           Limb(kInk, 28, 32, 36, 32, 1, 1, true),
                           Wedge(kGoldTone, 18, 12, 19, -3, 27, 9),
                           Wedge(kGoldTone, 25, 10, 32, -6, 39, 10),
                           Wedge(kGoldTone, 46, 12, 45, -3, 37, 9),
                           Slab(kGoldTone, 19, 8, 45, 13, 1),
                           Oval(kBlood, 32, 10, 2.5f, 2.5f, true)};

constexpr Shape kMonster[] = {Both(Limb(kOwnDark, 22, 54, 21, 60, 6, 5)),
                              Oval(kOwn, 32, 34, 24, 26),
                              Oval(kOwnLight, 32, 44, 13, 12),
                              Both(Wedge(kBone, 14, 18, 10, 2, 24, 12)),
                              Oval(kWhite, 32, 28, 10, 10, true),
                              Oval(kInk, 32, 29, 5, 6, true),
                              Limb(kInk, 24, 46, 40, 46, 2, 2, true)};

// ---- characters, from behind

constexpr Shape kHero[] = {Both(Limb(kInk, 26, 52, 25, 60, 5, 4)),
                           Both(Limb(kOwn, 18, 36, 13, 46, 5, 5)),
                           Limb(kOwn, 32, 34, 32, 48, 12, 12),
                           Both(Wedge(kBlood, 24, 28, 14, 58, 34, 58)),
                           Wedge(Rgb(168, 30, 44), 32, 28, 22, 58, 42, 58),
                           Slab(kGoldTone, 20, 26, 44, 30, 2),
                           Oval(kOwnDark, 32, 16, 13, 14),
                           Oval(kOwn, 31, 14, 11, 11)};

constexpr Shape kKnight[] = {Both(Limb(kSteelDark, 26, 52, 25, 60, 5, 5)),
                             Wedge(kSteel, 53, 44, 63, 12, 59, 46),
                             Limb(kGoldTone, 49, 44, 60, 48, 1.8f, 1.8f),
                             Limb(kOwnDark, 17, 35, 12, 45, 6, 5),
                             Limb(kOwnDark, 47, 35, 53, 45, 6, 5),
                             Limb(kOwn, 32, 34, 32, 48, 13, 12),
                             Both(Wedge(kBlood, 24, 26, 13, 58, 35, 58)),
                             Wedge(Rgb(160, 28, 40), 32, 27, 24, 59, 40, 59),
                             Both(Oval(kOwn, 18, 31, 7, 6)),
                             Oval(kOwnDark, 32, 17, 13, 13),
                             Oval(kOwn, 31, 15, 11, 11),
                             Slab(kOwnDark, 20, 19, 44, 22, 1),
                             Limb(kBlood, 32, 4, 32, 16, 4, 2)};

constexpr Shape kHooded[] = {Both(Limb(kWoodDark, 26, 54, 25, 60, 4, 4)),
                             Both(Limb(kOwnDark, 19, 36, 13, 46, 5, 4)),
                             Wedge(kOwn, 32, 16, 13, 58, 51, 58),
                             Wedge(kOwnDark, 32, 24, 26, 58, 38, 58),
                             Limb(kWood, 22, 26, 42, 52, 3.5f, 3.5f),
                             Wedge(kBone, 18, 20, 26, 24, 18, 30, true),
                             Oval(kOwn, 32, 17, 14, 14),
                             Wedge(kOwnDark, 24, 12, 40, 12, 32, 34)};

constexpr Shape kRobed[] = {
    Wedge(kOwnDark, 32, 20, 10, 62, 54, 62), Limb(kOwn, 32, 34, 32, 54, 10, 15),
    Limb(kOwn, 20, 36, 11, 46, 6, 5),        Limb(kOwn, 44, 36, 53, 44, 6, 5),
    Limb(kWood, 55, 16, 55, 62, 2, 2),       Oval(kGlow, 55, 12, 7, 7, true),
    Oval(kWhite, 53, 10, 2.5f, 2.5f, true),  Oval(kBone, 32, 24, 11, 10),
    Oval(kOwnDark, 32, 18, 21, 6),           Wedge(kOwn, 18, 17, 46, 17, 26, -6),
    Slab(kGoldTone, 20, 14, 44, 17, 1)};

constexpr Shape kBerserker[] = {Both(Limb(kWoodDark, 25, 52, 23, 60, 6, 5)),
                                Limb(kWood, 56, 18, 50, 56, 2, 2),
                                Wedge(kSteel, 54, 8, 64, 30, 50, 26),
                                Wedge(kSteelDark, 56, 10, 44, 20, 54, 28),
                                Limb(Rgb(226, 176, 140), 18, 34, 11, 46, 7, 6),
                                Limb(Rgb(226, 176, 140), 46, 34, 52, 44, 7, 6),
                                Limb(Rgb(226, 176, 140), 32, 34, 32, 48, 14, 12),
                                Wedge(kOwn, 16, 26, 48, 26, 32, 46),
                                Slab(kWoodDark, 19, 46, 45, 52, 2),
                                Limb(kOwnDark, 20, 28, 42, 50, 2.5f, 2.5f),
                                Oval(Rgb(168, 84, 44), 32, 22, 12, 12),
                                Oval(kSteelDark, 32, 15, 13, 11),
                                Both(Wedge(kBone, 20, 14, 8, -2, 26, 8)),
                                Slab(kGoldTone, 19, 18, 45, 21, 1)};

constexpr Shape kRogue[] = {Both(Limb(kInk, 26, 54, 24, 60, 4, 4)),
                            Both(Wedge(kSteel, 4, 40, 12, 62, 15, 46)),
                            Both(Limb(Rgb(60, 52, 74), 19, 36, 13, 46, 5, 4)),
                            Limb(Rgb(60, 52, 74), 32, 34, 32, 50, 11, 11),
                            Wedge(Rgb(48, 40, 60), 32, 20, 17, 56, 47, 56),
                            Wedge(kOwn, 20, 26, 44, 26, 30, 34),
                            Wedge(kOwn, 36, 28, 56, 42, 44, 28),
                            Oval(Rgb(60, 52, 74), 32, 17, 13, 14),
                            Slab(kOwn, 20, 14, 44, 19, 2)};

constexpr FiledArt kFiled[] = {
    {"goblin", kGoblin},       {"rat", kRat},         {"brute", kBrute},   {"bat", kBat},
    {"spider", kSpider},       {"archer", kArcher},   {"mage", kMage},     {"bomber", kBomber},
    {"charger", kCharger},     {"wraith", kWraith},   {"shaman", kShaman}, {"slime", kSlime},
    {"golem", kGolem},         {"queen", kQueen},     {"lich", kLich},     {"monster", kMonster},
    {"hero", kHero},           {"warden", kKnight},   {"ranger", kHooded}, {"rogue", kRogue},
    {"berserker", kBerserker}, {"alchemist", kRobed},
};

}  // namespace

std::span<const FiledArt> CreatureArt() { return kFiled; }

}  // namespace metabonk::arena
