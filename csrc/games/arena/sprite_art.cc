#include "games/arena/sprite_art.h"

#include <cstring>

#include "games/arena/colour.h"

namespace metabonk::arena {

namespace {

constexpr uint32_t kInk = Rgb(30, 22, 34);
constexpr uint32_t kBone = Rgb(238, 230, 208);
constexpr uint32_t kWhite = Rgb(250, 250, 250);
constexpr uint32_t kSteel = Rgb(196, 204, 218);
constexpr uint32_t kSteelDark = Rgb(120, 130, 152);
constexpr uint32_t kWood = Rgb(128, 84, 48);
constexpr uint32_t kWoodDark = Rgb(88, 56, 36);
constexpr uint32_t kGoldTone = Rgb(250, 204, 70);
constexpr uint32_t kEmber = Rgb(255, 150, 48);
constexpr uint32_t kBlood = Rgb(210, 44, 52);
constexpr uint32_t kGlow = Rgb(150, 246, 255);
constexpr uint32_t kLeaf = Rgb(62, 124, 58);
constexpr uint32_t kLeafLight = Rgb(96, 160, 72);
constexpr uint32_t kLeafDark = Rgb(42, 92, 52);
constexpr uint32_t kStone = Rgb(132, 130, 132);
constexpr uint32_t kStoneLight = Rgb(166, 164, 162);
constexpr uint32_t kStoneDark = Rgb(96, 94, 102);

// ---- enemies

constexpr Shape kGoblin[] = {Limb(kOwnDark, 25, 54, 23, 60, 5, 4),
                             Limb(kOwnDark, 39, 54, 41, 60, 5, 4),
                             Limb(kWood, 32, 42, 32, 53, 12, 12),
                             Slab(kWoodDark, 20, 47, 44, 51, 1),
                             Limb(kOwn, 20, 42, 12, 50, 5, 4),
                             Limb(kOwn, 44, 42, 52, 48, 5, 4),
                             Wedge(kSteel, 50, 48, 62, 28, 56, 48),
                             Wedge(kOwnDark, 18, 16, 0, 10, 17, 30),
                             Wedge(kOwnDark, 46, 16, 64, 10, 47, 30),
                             Oval(kOwn, 32, 22, 18, 16),
                             Oval(kGoldTone, 25, 21, 5, 5, true),
                             Oval(kGoldTone, 39, 21, 5, 5, true),
                             Oval(kInk, 26, 22, 2, 3, true),
                             Oval(kInk, 38, 22, 2, 3, true),
                             Limb(kInk, 25, 32, 39, 32, 1.5f, 1.5f, true),
                             Wedge(kBone, 27, 32, 31, 32, 29, 28, true),
                             Wedge(kBone, 33, 32, 37, 32, 35, 28, true)};

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

constexpr Shape kBrute[] = {Limb(kWoodDark, 23, 50, 21, 60, 8, 7),
                            Limb(kWoodDark, 41, 50, 43, 60, 8, 7),
                            Limb(kOwn, 12, 28, 8, 48, 9, 8),
                            Limb(kOwn, 52, 28, 56, 48, 9, 8),
                            Oval(kOwn, 32, 36, 22, 19),
                            Oval(kOwnLight, 32, 42, 14, 12),
                            Slab(kWoodDark, 14, 48, 50, 54, 2),
                            Oval(kGoldTone, 32, 51, 4, 4),
                            Oval(kOwn, 32, 14, 12, 12),
                            Oval(kOwnDark, 32, 7, 11, 5),
                            Oval(kBlood, 27, 13, 3, 2.5f, true),
                            Oval(kBlood, 37, 13, 3, 2.5f, true),
                            Wedge(kBone, 23, 22, 28, 22, 24, 12, true),
                            Wedge(kBone, 41, 22, 36, 22, 40, 12, true),
                            Oval(kOwnDark, 8, 50, 8, 7),
                            Oval(kOwnDark, 56, 50, 8, 7)};

constexpr Shape kBat[] = {Wedge(kOwnDark, 28, 24, 0, 10, 6, 44),
                          Wedge(kOwnDark, 28, 26, 6, 44, 24, 46),
                          Wedge(kOwnDark, 36, 24, 64, 10, 58, 44),
                          Wedge(kOwnDark, 36, 26, 58, 44, 40, 46),
                          Limb(kOwn, 28, 24, 2, 12, 2, 1.5f),
                          Limb(kOwn, 36, 24, 62, 12, 2, 1.5f),
                          Wedge(kOwn, 22, 26, 20, 8, 31, 20),
                          Wedge(kOwn, 42, 26, 44, 8, 33, 20),
                          Oval(kOwn, 32, 34, 13, 15),
                          Oval(kOwnLight, 32, 42, 7, 6),
                          Oval(Rgb(255, 90, 80), 27, 30, 4, 4, true),
                          Oval(Rgb(255, 90, 80), 37, 30, 4, 4, true),
                          Wedge(kWhite, 27, 38, 31, 38, 29, 44, true),
                          Wedge(kWhite, 33, 38, 37, 38, 35, 44, true)};

constexpr Shape kSpider[] = {Limb(kOwnDark, 26, 36, 8, 22, 3, 2),
                             Limb(kOwnDark, 8, 22, 2, 46, 2.5f, 1.5f),
                             Limb(kOwnDark, 38, 36, 56, 22, 3, 2),
                             Limb(kOwnDark, 56, 22, 62, 46, 2.5f, 1.5f),
                             Limb(kOwnDark, 26, 42, 10, 36, 3, 2),
                             Limb(kOwnDark, 10, 36, 6, 60, 2.5f, 1.5f),
                             Limb(kOwnDark, 38, 42, 54, 36, 3, 2),
                             Limb(kOwnDark, 54, 36, 58, 60, 2.5f, 1.5f),
                             Limb(kOwnDark, 28, 48, 18, 46, 3, 2),
                             Limb(kOwnDark, 18, 46, 18, 62, 2.5f, 1.5f),
                             Limb(kOwnDark, 36, 48, 46, 46, 3, 2),
                             Limb(kOwnDark, 46, 46, 46, 62, 2.5f, 1.5f),
                             Oval(kOwn, 32, 30, 18, 16),
                             Wedge(kBlood, 26, 18, 38, 18, 32, 32),
                             Oval(kOwnLight, 32, 46, 12, 10),
                             Oval(Rgb(255, 70, 70), 26, 44, 3, 3, true),
                             Oval(Rgb(255, 70, 70), 38, 44, 3, 3, true),
                             Oval(Rgb(255, 70, 70), 31, 41, 2, 2, true),
                             Oval(Rgb(255, 70, 70), 34, 48, 2, 2, true),
                             Wedge(kBone, 27, 54, 31, 54, 29, 61, true),
                             Wedge(kBone, 33, 54, 37, 54, 35, 61, true)};

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

constexpr Shape kBomber[] = {Limb(kWoodDark, 24, 56, 20, 60, 5, 4),
                             Limb(kWoodDark, 40, 56, 44, 60, 5, 4),
                             Oval(kOwnDark, 32, 39, 22, 21),
                             Oval(kOwn, 31, 37, 20, 19),
                             Oval(kOwnLight, 23, 28, 6, 5),
                             Slab(kSteelDark, 26, 14, 40, 22, 2),
                             Limb(kWood, 34, 15, 43, 7, 2, 2),
                             Oval(kEmber, 47, 6, 7, 6, true),
                             Oval(Rgb(255, 244, 160), 47, 6, 4, 3, true),
                             Oval(kWhite, 24, 37, 6, 6, true),
                             Oval(kWhite, 40, 37, 6, 6, true),
                             Oval(kInk, 26, 38, 3, 3, true),
                             Oval(kInk, 38, 38, 3, 3, true),
                             Limb(kInk, 17, 29, 28, 33, 2, 2, true),
                             Limb(kInk, 47, 29, 36, 33, 2, 2, true),
                             Limb(kInk, 25, 49, 39, 49, 2, 2, true)};

constexpr Shape kCharger[] = {Limb(kOwnDarker, 16, 50, 15, 60, 5, 4),
                              Limb(kOwnDarker, 48, 50, 49, 60, 5, 4),
                              Limb(kOwnDarker, 25, 54, 25, 61, 5, 4),
                              Limb(kOwnDarker, 39, 54, 39, 61, 5, 4),
                              Oval(kOwnDark, 32, 34, 28, 21),
                              Oval(kOwn, 32, 30, 25, 16),
                              Wedge(kBone, 18, 36, 0, 12, 26, 26),
                              Wedge(kBone, 46, 36, 64, 12, 38, 26),
                              Oval(kOwn, 32, 40, 16, 15),
                              Oval(kOwnLight, 32, 49, 11, 8),
                              Oval(kInk, 28, 49, 2.5f, 2.5f, true),
                              Oval(kInk, 36, 49, 2.5f, 2.5f, true),
                              Oval(kGoldTone, 24, 37, 4, 3, true),
                              Oval(kGoldTone, 40, 37, 4, 3, true),
                              Oval(kInk, 25, 37, 1.5f, 2, true),
                              Oval(kInk, 39, 37, 1.5f, 2, true)};

constexpr Shape kWraith[] = {
    Wedge(kOwnDark, 14, 40, 22, 64, 30, 44), Wedge(kOwnDark, 24, 44, 34, 64, 42, 44),
    Wedge(kOwnDark, 36, 44, 46, 62, 52, 36), Limb(kOwn, 32, 22, 32, 40, 19, 18),
    Limb(kOwnLight, 14, 34, 4, 46, 5, 3),    Limb(kOwnLight, 50, 34, 60, 46, 5, 3),
    Oval(kOwnLight, 30, 17, 15, 13),         Oval(kInk, 24, 21, 5, 7, true),
    Oval(kInk, 39, 21, 5, 7, true),          Oval(kGlow, 25, 22, 2, 3, true),
    Oval(kGlow, 39, 22, 2, 3, true),         Oval(kInk, 32, 36, 4, 6, true)};

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

constexpr Shape kSlime[] = {Oval(kOwnDark, 32, 46, 31, 17),
                            Oval(kOwn, 32, 38, 26, 22),
                            Oval(kOwnLight, 28, 28, 15, 9),
                            Oval(kWhite, 20, 26, 5, 4, true),
                            Oval(kInk, 23, 40, 4, 6, true),
                            Oval(kInk, 41, 40, 4, 6, true),
                            Oval(kWhite, 22, 38, 1.5f, 2, true),
                            Oval(kWhite, 40, 38, 1.5f, 2, true),
                            Limb(kOwnDarker, 26, 52, 38, 52, 2, 2, true)};

constexpr Shape kGolem[] = {Slab(kOwnDark, 16, 46, 29, 63, 4),
                            Slab(kOwnDark, 35, 46, 48, 63, 4),
                            Slab(kOwn, 0, 20, 14, 54, 6),
                            Slab(kOwn, 50, 20, 64, 54, 6),
                            Slab(kOwnDark, 0, 42, 15, 57, 6),
                            Slab(kOwnDark, 49, 42, 64, 57, 6),
                            Slab(kOwn, 11, 16, 53, 50, 9),
                            Slab(kOwnLight, 16, 18, 46, 30, 6),
                            Slab(kOwn, 21, 2, 43, 22, 5),
                            Slab(kInk, 23, 10, 41, 16, 2, true),
                            Oval(kEmber, 27, 13, 3, 2.5f, true),
                            Oval(kEmber, 37, 13, 3, 2.5f, true),
                            Oval(kInk, 32, 34, 8, 8, true),
                            Oval(kEmber, 32, 34, 6, 6, true),
                            Oval(Rgb(255, 232, 130), 32, 34, 3, 3, true),
                            Limb(kLeaf, 12, 20, 24, 17, 3, 2),
                            Limb(kOwnDarker, 20, 42, 26, 48, 1.2f, 1.2f, true),
                            Limb(kOwnDarker, 44, 40, 40, 47, 1.2f, 1.2f, true)};

constexpr Shape kQueen[] = {Limb(kOwnDark, 24, 38, 6, 18, 4, 2.5f),
                            Limb(kOwnDark, 6, 18, 1, 48, 3, 1.5f),
                            Limb(kOwnDark, 40, 38, 58, 18, 4, 2.5f),
                            Limb(kOwnDark, 58, 18, 63, 48, 3, 1.5f),
                            Limb(kOwnDark, 24, 44, 9, 34, 4, 2.5f),
                            Limb(kOwnDark, 9, 34, 5, 62, 3, 1.5f),
                            Limb(kOwnDark, 40, 44, 55, 34, 4, 2.5f),
                            Limb(kOwnDark, 55, 34, 59, 62, 3, 1.5f),
                            Limb(kOwnDark, 26, 50, 17, 46, 4, 2.5f),
                            Limb(kOwnDark, 17, 46, 17, 63, 3, 1.5f),
                            Limb(kOwnDark, 38, 50, 47, 46, 4, 2.5f),
                            Limb(kOwnDark, 47, 46, 47, 63, 3, 1.5f),
                            Oval(kOwn, 32, 28, 22, 18),
                            Oval(kOwnLight, 32, 20, 13, 8),
                            Oval(kGoldTone, 26, 28, 3, 4, true),
                            Oval(kGoldTone, 38, 28, 3, 4, true),
                            Oval(kGoldTone, 32, 32, 3, 4, true),
                            Oval(kOwn, 32, 47, 14, 12),
                            Wedge(kGoldTone, 20, 40, 23, 26, 29, 38),
                            Wedge(kGoldTone, 26, 39, 32, 24, 38, 39),
                            Wedge(kGoldTone, 44, 40, 41, 26, 35, 38),
                            Slab(kGoldTone, 20, 37, 44, 41, 1),
                            Oval(kWhite, 26, 46, 4, 4, true),
                            Oval(kWhite, 38, 46, 4, 4, true),
                            Oval(kBlood, 27, 46, 2, 3, true),
                            Oval(kBlood, 37, 46, 2, 3, true),
                            Wedge(kBone, 26, 56, 31, 56, 28, 63, true),
                            Wedge(kBone, 33, 56, 38, 56, 36, 63, true)};

constexpr Shape kLich[] = {Wedge(kOwnDarker, 32, 16, 4, 63, 60, 63),
                           Limb(Rgb(52, 40, 84), 32, 34, 32, 52, 12, 19),
                           Limb(Rgb(80, 62, 124), 32, 34, 32, 60, 4, 9),
                           Limb(Rgb(52, 40, 84), 20, 32, 8, 42, 6, 5),
                           Limb(Rgb(52, 40, 84), 44, 32, 56, 42, 6, 5),
                           Oval(kOwn, 6, 46, 6, 6, true),
                           Oval(kWhite, 6, 46, 3, 3, true),
                           Oval(kOwn, 58, 46, 6, 6, true),
                           Oval(kWhite, 58, 46, 3, 3, true),
                           Oval(kBone, 32, 20, 13, 13),
                           Slab(kBone, 25, 27, 39, 36, 3),
                           Oval(kInk, 27, 20, 4, 5, true),
                           Oval(kInk, 37, 20, 4, 5, true),
                           Oval(kOwn, 27, 21, 2.5f, 2.5f, true),
                           Oval(kOwn, 37, 21, 2.5f, 2.5f, true),
                           Wedge(kInk, 30, 28, 34, 28, 32, 24, true),
                           Limb(kInk, 28, 32, 36, 32, 1, 1, true),
                           Wedge(kGoldTone, 18, 12, 19, -3, 27, 9),
                           Wedge(kGoldTone, 25, 10, 32, -6, 39, 10),
                           Wedge(kGoldTone, 46, 12, 45, -3, 37, 9),
                           Slab(kGoldTone, 19, 8, 45, 13, 1),
                           Oval(kBlood, 32, 10, 2.5f, 2.5f, true)};

constexpr Shape kMonster[] = {Limb(kOwnDark, 22, 54, 21, 60, 6, 5),
                              Limb(kOwnDark, 42, 54, 43, 60, 6, 5),
                              Oval(kOwn, 32, 34, 24, 26),
                              Oval(kOwnLight, 32, 44, 13, 12),
                              Wedge(kBone, 14, 18, 10, 2, 24, 12),
                              Wedge(kBone, 50, 18, 54, 2, 40, 12),
                              Oval(kWhite, 32, 28, 10, 10, true),
                              Oval(kInk, 32, 29, 5, 6, true),
                              Limb(kInk, 24, 46, 40, 46, 2, 2, true)};

// ---- characters, from behind

constexpr Shape kHero[] = {Limb(kInk, 26, 52, 25, 60, 5, 4),
                           Limb(kInk, 38, 52, 39, 60, 5, 4),
                           Limb(kOwn, 18, 36, 13, 46, 5, 5),
                           Limb(kOwn, 46, 36, 51, 46, 5, 5),
                           Limb(kOwn, 32, 34, 32, 48, 12, 12),
                           Wedge(kBlood, 24, 28, 14, 58, 34, 58),
                           Wedge(kBlood, 40, 28, 30, 58, 50, 58),
                           Wedge(Rgb(168, 30, 44), 32, 28, 22, 58, 42, 58),
                           Slab(kGoldTone, 20, 26, 44, 30, 2),
                           Oval(kOwnDark, 32, 16, 13, 14),
                           Oval(kOwn, 31, 14, 11, 11)};

constexpr Shape kKnight[] = {Limb(kSteelDark, 26, 52, 25, 60, 5, 5),
                             Limb(kSteelDark, 38, 52, 39, 60, 5, 5),
                             Wedge(kSteel, 53, 44, 63, 12, 59, 46),
                             Limb(kGoldTone, 49, 44, 60, 48, 1.8f, 1.8f),
                             Limb(kOwnDark, 17, 35, 12, 45, 6, 5),
                             Limb(kOwnDark, 47, 35, 53, 45, 6, 5),
                             Limb(kOwn, 32, 34, 32, 48, 13, 12),
                             Wedge(kBlood, 24, 26, 13, 58, 35, 58),
                             Wedge(kBlood, 40, 26, 29, 58, 51, 58),
                             Wedge(Rgb(160, 28, 40), 32, 27, 24, 59, 40, 59),
                             Oval(kOwn, 18, 31, 7, 6),
                             Oval(kOwn, 46, 31, 7, 6),
                             Oval(kOwnDark, 32, 17, 13, 13),
                             Oval(kOwn, 31, 15, 11, 11),
                             Slab(kOwnDark, 20, 19, 44, 22, 1),
                             Limb(kBlood, 32, 4, 32, 16, 4, 2)};

constexpr Shape kHooded[] = {Limb(kWoodDark, 26, 54, 25, 60, 4, 4),
                             Limb(kWoodDark, 38, 54, 39, 60, 4, 4),
                             Limb(kOwnDark, 19, 36, 13, 46, 5, 4),
                             Limb(kOwnDark, 45, 36, 51, 46, 5, 4),
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

constexpr Shape kBerserker[] = {Limb(kWoodDark, 25, 52, 23, 60, 6, 5),
                                Limb(kWoodDark, 39, 52, 41, 60, 6, 5),
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
                                Wedge(kBone, 20, 14, 8, -2, 26, 8),
                                Wedge(kBone, 44, 14, 56, -2, 38, 8),
                                Slab(kGoldTone, 19, 18, 45, 21, 1)};

constexpr Shape kRogue[] = {Limb(kInk, 26, 54, 24, 60, 4, 4),
                            Limb(kInk, 38, 54, 40, 60, 4, 4),
                            Wedge(kSteel, 4, 40, 12, 62, 15, 46),
                            Wedge(kSteel, 60, 40, 52, 62, 49, 46),
                            Limb(Rgb(60, 52, 74), 19, 36, 13, 46, 5, 4),
                            Limb(Rgb(60, 52, 74), 45, 36, 51, 46, 5, 4),
                            Limb(Rgb(60, 52, 74), 32, 34, 32, 50, 11, 11),
                            Wedge(Rgb(48, 40, 60), 32, 20, 17, 56, 47, 56),
                            Wedge(kOwn, 20, 26, 44, 26, 30, 34),
                            Wedge(kOwn, 36, 28, 56, 42, 44, 28),
                            Oval(Rgb(60, 52, 74), 32, 17, 13, 14),
                            Slab(kOwn, 20, 14, 44, 19, 2)};

// ---- things

constexpr Shape kSkull[] = {Oval(kBone, 32, 26, 26, 24),
                            Slab(kBone, 16, 40, 48, 60, 4),
                            Oval(kInk, 21, 28, 7, 8, true),
                            Oval(kInk, 43, 28, 7, 8, true),
                            Wedge(kInk, 28, 44, 36, 44, 32, 36, true),
                            Slab(kInk, 25, 50, 28, 60, 0, true),
                            Slab(kInk, 36, 50, 39, 60, 0, true)};

constexpr Shape kXpOrb[] = {Wedge(Rgb(36, 120, 220), 32, 6, 10, 36, 54, 36),
                            Wedge(Rgb(28, 92, 190), 32, 62, 10, 36, 54, 36),
                            Wedge(Rgb(110, 200, 255), 32, 6, 22, 36, 42, 36, true),
                            Wedge(Rgb(70, 160, 250), 32, 62, 22, 36, 42, 36, true),
                            Oval(kWhite, 27, 24, 4, 6, true)};
constexpr Shape kCoin[] = {Oval(Rgb(190, 130, 30), 34, 36, 24, 24), Oval(kGoldTone, 31, 35, 23, 23),
                           Oval(Rgb(232, 172, 40), 31, 35, 16, 16),
                           Slab(Rgb(255, 236, 150), 28, 24, 34, 46, 2, true)};
constexpr Shape kHeart[] = {Oval(kBlood, 20, 26, 17, 16), Oval(kBlood, 44, 26, 17, 16),
                            Wedge(kBlood, 5, 33, 59, 33, 32, 62),
                            Oval(Rgb(255, 170, 170), 16, 21, 6, 5, true)};
constexpr Shape kMagnetArt[] = {Limb(kBlood, 14, 20, 14, 40, 8, 8),
                                Limb(kBlood, 50, 20, 50, 40, 8, 8),
                                Oval(kBlood, 32, 42, 26, 20),
                                Oval(Rgb(64, 62, 84), 32, 38, 11, 10),
                                Slab(Rgb(64, 62, 84), 23, 8, 41, 38, 1),
                                Slab(kSteel, 6, 8, 22, 20, 2),
                                Slab(kSteel, 42, 8, 58, 20, 2)};
constexpr Shape kChestArt[] = {
    Slab(kWoodDark, 4, 22, 60, 62, 5),          Slab(kWood, 6, 34, 58, 60, 3),
    Slab(Rgb(160, 104, 56), 5, 14, 59, 34, 10), Slab(kGoldTone, 3, 32, 61, 38, 1),
    Slab(kGoldTone, 12, 14, 18, 62, 1),         Slab(kGoldTone, 46, 14, 52, 62, 1),
    Slab(kGoldTone, 26, 28, 38, 46, 3),         Oval(kInk, 32, 36, 3, 4, true)};
constexpr Shape kShrineArt[] = {Slab(kStoneDark, 6, 54, 58, 63, 2),
                                Slab(kStone, 12, 46, 52, 56, 2),
                                Slab(kStoneLight, 20, 22, 44, 48, 3),
                                Slab(kStone, 14, 16, 50, 25, 2),
                                Oval(Rgb(120, 90, 240), 32, 10, 10, 10, true),
                                Oval(Rgb(200, 180, 255), 30, 8, 5, 5, true),
                                Wedge(Rgb(120, 90, 240), 32, 28, 26, 36, 38, 36, true),
                                Wedge(Rgb(120, 90, 240), 32, 44, 26, 36, 38, 36, true)};
constexpr Shape kPortalArt[] = {Oval(kStoneDark, 32, 36, 28, 30),
                                Oval(kStone, 32, 36, 25, 27),
                                Oval(Rgb(60, 20, 120), 32, 36, 19, 22, true),
                                Oval(Rgb(120, 60, 220), 32, 36, 15, 18, true),
                                Oval(Rgb(190, 130, 255), 31, 35, 10, 12, true),
                                Oval(Rgb(245, 230, 255), 30, 34, 5, 6, true),
                                Slab(kStoneDark, 4, 56, 60, 63, 3)};
constexpr Shape kOrbArt[] = {Oval(Rgb(150, 40, 190), 32, 32, 28, 28, true),
                             Oval(Rgb(220, 90, 250), 32, 32, 22, 22, true),
                             Oval(Rgb(255, 200, 255), 30, 30, 12, 12, true)};
constexpr Shape kFireballArt[] = {
    Oval(Rgb(200, 50, 20), 32, 32, 30, 30, true), Oval(Rgb(250, 120, 30), 32, 34, 24, 24, true),
    Oval(Rgb(255, 204, 80), 32, 37, 16, 16, true), Oval(Rgb(255, 250, 200), 32, 39, 8, 8, true)};
constexpr Shape kBladeArt[] = {Oval(kSteel, 32, 32, 26, 26),
                               Oval(kSteelDark, 32, 32, 12, 12),
                               Wedge(kWhite, 32, 2, 52, 26, 30, 14, true),
                               Wedge(kWhite, 62, 32, 38, 52, 50, 30, true),
                               Wedge(kWhite, 32, 62, 12, 38, 34, 50, true),
                               Wedge(kWhite, 2, 32, 26, 12, 14, 34, true),
                               Oval(kInk, 32, 32, 5, 5, true)};
constexpr Shape kBoomerangArt[] = {
    Limb(kWood, 32, 10, 56, 48, 9, 6), Limb(kWood, 32, 10, 8, 48, 9, 6),
    Limb(Rgb(120, 200, 88), 34, 16, 44, 32, 4, 4), Limb(Rgb(120, 200, 88), 30, 16, 20, 32, 4, 4)};
constexpr Shape kMineArt[] = {
    Oval(kSteelDark, 32, 48, 28, 15), Oval(Rgb(70, 64, 76), 32, 42, 24, 15),
    Oval(kBlood, 32, 34, 9, 7, true), Oval(Rgb(255, 170, 150), 30, 32, 4, 3, true)};
constexpr Shape kSparkArt[] = {
    Wedge(kGlow, 32, 0, 22, 34, 42, 34, true), Wedge(kGlow, 32, 64, 22, 30, 42, 30, true),
    Wedge(kGlow, 0, 32, 34, 22, 34, 42, true), Wedge(kGlow, 64, 32, 30, 22, 30, 42, true),
    Oval(kWhite, 32, 32, 10, 10, true)};

// ---- obstacles

constexpr Shape kOak[] = {Limb(kWoodDark, 32, 40, 32, 61, 4, 6), Limb(kWood, 31, 40, 31, 60, 2, 3),
                          Oval(kLeafDark, 32, 34, 25, 17),       Oval(kLeaf, 19, 28, 16, 14),
                          Oval(kLeaf, 45, 28, 16, 14),           Oval(kLeaf, 32, 17, 19, 16),
                          Oval(kLeafLight, 26, 14, 11, 8),       Oval(kLeafLight, 15, 25, 7, 5),
                          Oval(kLeafLight, 42, 24, 8, 5)};
constexpr Shape kBushArt[] = {Oval(kLeafDark, 32, 46, 30, 17),
                              Oval(kLeaf, 18, 40, 16, 15),
                              Oval(kLeaf, 44, 38, 18, 16),
                              Oval(kLeafLight, 30, 30, 14, 11),
                              Oval(Rgb(230, 80, 90), 18, 38, 3, 3, true),
                              Oval(Rgb(230, 80, 90), 42, 34, 3, 3, true),
                              Oval(Rgb(230, 80, 90), 48, 46, 3, 3, true)};
constexpr Shape kPineArt[] = {
    Limb(kWoodDark, 32, 50, 32, 61, 4, 5), Wedge(kLeafDark, 32, 22, 8, 56, 56, 56),
    Wedge(kLeaf, 32, 12, 12, 42, 52, 42),  Wedge(kLeafDark, 32, 36, 26, 42, 44, 42),
    Wedge(kLeaf, 32, 0, 17, 26, 47, 26),   Wedge(kWhite, 32, 0, 25, 12, 39, 12),
    Limb(kWhite, 16, 40, 24, 37, 2.5f, 1), Limb(kWhite, 13, 54, 22, 50, 2.5f, 1)};
constexpr Shape kBoulderArt[] = {Oval(kStoneDark, 32, 44, 30, 19), Oval(kStone, 29, 38, 25, 20),
                                 Oval(kStoneLight, 24, 29, 14, 9),
                                 Limb(kStoneDark, 40, 34, 46, 46, 1.5f, 1, true),
                                 Oval(kLeaf, 46, 54, 8, 4)};
constexpr Shape kPillarArt[] = {
    Slab(kStoneDark, 14, 54, 50, 63, 2),  Slab(kStone, 20, 10, 44, 56, 2),
    Slab(kStoneLight, 22, 10, 29, 56, 1), Slab(kStoneDark, 36, 14, 39, 54, 1),
    Slab(kStone, 15, 4, 49, 13, 3),       Limb(kLeaf, 42, 16, 42, 30, 3, 1.5f)};
constexpr Shape kCactusArt[] = {Limb(kLeafDark, 32, 12, 32, 60, 10, 9),
                                Limb(kLeaf, 30, 12, 30, 58, 7, 6),
                                Limb(kLeafDark, 22, 40, 10, 38, 5, 5),
                                Limb(kLeafDark, 10, 38, 10, 24, 5, 5),
                                Limb(kLeafDark, 42, 34, 54, 32, 5, 5),
                                Limb(kLeafDark, 54, 32, 54, 18, 5, 5),
                                Limb(kLeafLight, 28, 12, 28, 54, 1.5f, 1.5f, true),
                                Oval(Rgb(240, 110, 150), 32, 3, 5, 4)};
constexpr Shape kDeadTreeArt[] = {
    Limb(kWoodDark, 32, 30, 32, 61, 5, 7),    Limb(kWoodDark, 32, 34, 16, 14, 4, 1.5f),
    Limb(kWoodDark, 33, 32, 48, 8, 4, 1.5f),  Limb(kWoodDark, 22, 22, 8, 20, 2.5f, 1),
    Limb(kWoodDark, 42, 20, 58, 18, 2.5f, 1), Limb(kWood, 30, 34, 30, 58, 2, 3)};
constexpr Shape kIceArt[] = {Wedge(Rgb(110, 160, 224), 28, 4, 10, 62, 46, 62),
                             Wedge(Rgb(160, 206, 248), 28, 4, 10, 62, 28, 62),
                             Wedge(Rgb(90, 138, 206), 48, 22, 34, 62, 60, 62),
                             Wedge(Rgb(150, 196, 244), 48, 22, 34, 62, 47, 62),
                             Wedge(Rgb(140, 190, 240), 12, 34, 2, 62, 22, 62),
                             Limb(kWhite, 26, 16, 20, 42, 1.5f, 1, true)};

// ---- icons

constexpr Shape kSwordIcon[] = {
    Limb(kSteel, 22, 42, 50, 10, 6, 4),         Wedge(kSteel, 45, 7, 60, 2, 54, 17),
    Limb(kWhite, 22, 40, 50, 8, 1.5f, 1, true), Limb(kGoldTone, 10, 34, 30, 54, 4, 4),
    Limb(kWood, 18, 46, 8, 57, 4, 4),           Oval(kGoldTone, 7, 58, 5, 5)};
constexpr Shape kBowIcon[] = {Limb(kOwn, 14, 4, 46, 14, 4, 5), Limb(kOwn, 46, 14, 56, 46, 5, 4),
                              Limb(kBone, 14, 4, 56, 46, 1, 1, true),
                              Limb(kWood, 8, 56, 48, 16, 2.5f, 2.5f),
                              Wedge(kSteel, 42, 12, 58, 6, 52, 22)};
constexpr Shape kStaffIcon[] = {
    Limb(kWood, 10, 58, 40, 24, 4, 4), Oval(Rgb(200, 50, 20), 46, 18, 17, 17, true),
    Oval(kEmber, 46, 19, 12, 12, true), Oval(Rgb(255, 240, 150), 46, 20, 6, 6, true)};
constexpr Shape kBoltIcon[] = {Wedge(kOwn, 40, 0, 12, 38, 36, 34, true),
                               Wedge(kOwn, 26, 64, 52, 24, 28, 30, true),
                               Wedge(kWhite, 36, 10, 20, 34, 32, 32, true)};
constexpr Shape kAuraIcon[] = {Oval(kOwnDarker, 32, 32, 30, 30, true),
                               Oval(kOwnDark, 32, 32, 24, 24, true),
                               Oval(kOwn, 32, 32, 17, 17, true), Oval(kWhite, 32, 32, 8, 8, true)};
constexpr Shape kShotgunIcon[] = {Limb(kSteelDark, 24, 36, 58, 12, 4, 4),
                                  Limb(kSteel, 24, 32, 56, 9, 2, 2),
                                  Limb(kWood, 4, 54, 26, 36, 8, 5), Oval(kOwn, 60, 10, 4, 4, true)};
constexpr Shape kFrostIcon[] = {Limb(kOwn, 32, 4, 32, 60, 4, 4), Limb(kOwn, 8, 18, 56, 46, 4, 4),
                                Limb(kOwn, 8, 46, 56, 18, 4, 4), Oval(kWhite, 32, 32, 8, 8, true),
                                Oval(kWhite, 32, 6, 4, 4, true), Oval(kWhite, 32, 58, 4, 4, true),
                                Oval(kWhite, 9, 19, 4, 4, true), Oval(kWhite, 55, 45, 4, 4, true),
                                Oval(kWhite, 9, 45, 4, 4, true), Oval(kWhite, 55, 19, 4, 4, true)};
constexpr Shape kTomeIcon[] = {Slab(kOwnDark, 8, 4, 56, 62, 4),
                               Slab(kBone, 12, 48, 56, 59, 2, true),
                               Slab(kOwn, 8, 2, 54, 52, 4),
                               Slab(kOwnDark, 8, 2, 16, 52, 3),
                               Slab(kGoldTone, 20, 10, 48, 13, 1, true),
                               Slab(kGoldTone, 20, 42, 48, 45, 1, true),
                               Oval(kGoldTone, 34, 27, 9, 9),
                               Oval(kOwnLight, 34, 27, 5, 5, true)};
constexpr Shape kItemIcon[] = {
    Wedge(kOwnDark, 32, 62, 4, 26, 60, 26), Wedge(kOwn, 32, 62, 18, 26, 46, 26),
    Slab(kOwnLight, 14, 8, 50, 26, 2),      Wedge(kOwn, 4, 26, 14, 8, 22, 26),
    Wedge(kOwn, 60, 26, 50, 8, 42, 26),     Wedge(kWhite, 20, 10, 32, 10, 24, 22, true)};
constexpr Shape kRewardIcon[] = {
    Oval(kWood, 32, 42, 26, 20),        Oval(Rgb(160, 104, 56), 30, 38, 22, 18),
    Slab(kWoodDark, 20, 14, 44, 22, 3), Wedge(kWood, 18, 6, 46, 6, 32, 20),
    Oval(kOwn, 32, 40, 11, 11),         Slab(kOwnDark, 30, 33, 34, 47, 1, true)};

struct Filed {
  const char* id;
  Art art;
};

// By id in the content file; a kind without art of its own takes the fallback in its own colour.
constexpr Filed kFiled[] = {
    {"goblin", kGoblin},
    {"rat", kRat},
    {"brute", kBrute},
    {"bat", kBat},
    {"spider", kSpider},
    {"archer", kArcher},
    {"mage", kMage},
    {"bomber", kBomber},
    {"charger", kCharger},
    {"wraith", kWraith},
    {"shaman", kShaman},
    {"slime", kSlime},
    {"golem", kGolem},
    {"queen", kQueen},
    {"lich", kLich},
    {"monster", kMonster},
    {"hero", kHero},
    {"warden", kKnight},
    {"ranger", kHooded},
    {"rogue", kRogue},
    {"berserker", kBerserker},
    {"skull", kSkull},
    {"alchemist", kRobed},
    {"xp", kXpOrb},
    {"gold", kCoin},
    {"heal", kHeart},
    {"magnet", kMagnetArt},
    {"chest", kChestArt},
    {"shrine", kShrineArt},
    {"portal", kPortalArt},
    {"orb", kOrbArt},
    {"fireball", kFireballArt},
    {"blade", kBladeArt},
    {"boomerang", kBoomerangArt},
    {"mine", kMineArt},
    {"spark", kSparkArt},
    {"oak", kOak},
    {"bush", kBushArt},
    {"pine", kPineArt},
    {"boulder", kBoulderArt},
    {"pillar", kPillarArt},
    {"cactus", kCactusArt},
    {"dead_tree", kDeadTreeArt},
    {"ice", kIceArt},
    {"sword", kSwordIcon},
    {"bow", kBowIcon},
    {"fire_staff", kStaffIcon},
    {"lightning", kBoltIcon},
    {"aura", kAuraIcon},
    {"blades", kBladeArt},
    {"mines", kMineArt},
    {"shotgun", kShotgunIcon},
    {"frost", kFrostIcon},
    {"tome", kTomeIcon},
    {"item", kItemIcon},
    {"reward", kRewardIcon},
};

}  // namespace

Art ArtOf(const char* id, const char* fallback) {
  Art found;
  for (const Filed& filed : kFiled) {
    if (std::strcmp(filed.id, id) == 0) return filed.art;
    if (std::strcmp(filed.id, fallback) == 0) found = filed.art;
  }
  return found;
}

}  // namespace metabonk::arena
