// Pick-ups, structures, shots, obstacles and icons.
#include "games/arena/sprite_art.h"

namespace metabonk::arena {

namespace {

constexpr uint32_t kLeafLight = Rgb(96, 160, 72);
constexpr uint32_t kLeafDark = Rgb(42, 92, 52);
constexpr uint32_t kStone = Rgb(132, 130, 132);
constexpr uint32_t kStoneLight = Rgb(166, 164, 162);
constexpr uint32_t kStoneDark = Rgb(96, 94, 102);

// ---- things

constexpr Shape kSkull[] = {Oval(kBone, 32, 26, 26, 24), Slab(kBone, 16, 40, 48, 60, 4),
                            Both(Oval(kInk, 21, 28, 7, 8, true)),
                            Wedge(kInk, 28, 44, 36, 44, 32, 36, true),
                            Both(Slab(kInk, 25, 50, 28, 60, 0, true))};

constexpr Shape kXpOrb[] = {Wedge(Rgb(36, 120, 220), 32, 6, 10, 36, 54, 36),
                            Wedge(Rgb(28, 92, 190), 32, 62, 10, 36, 54, 36),
                            Wedge(Rgb(110, 200, 255), 32, 6, 22, 36, 42, 36, true),
                            Wedge(Rgb(70, 160, 250), 32, 62, 22, 36, 42, 36, true),
                            Oval(kWhite, 27, 24, 4, 6, true)};
constexpr Shape kCoin[] = {Oval(Rgb(190, 130, 30), 34, 36, 24, 24), Oval(kGoldTone, 31, 35, 23, 23),
                           Oval(Rgb(232, 172, 40), 31, 35, 16, 16),
                           Slab(Rgb(255, 236, 150), 28, 24, 34, 46, 2, true)};
constexpr Shape kHeart[] = {Both(Oval(kBlood, 20, 26, 17, 16)),
                            Wedge(kBlood, 5, 33, 59, 33, 32, 62),
                            Oval(Rgb(255, 170, 170), 16, 21, 6, 5, true)};
constexpr Shape kMagnetArt[] = {Both(Limb(kBlood, 14, 20, 14, 40, 8, 8)),
                                Oval(kBlood, 32, 42, 26, 20), Oval(Rgb(64, 62, 84), 32, 38, 11, 10),
                                Slab(Rgb(64, 62, 84), 23, 8, 41, 38, 1),
                                Both(Slab(kSteel, 6, 8, 22, 20, 2))};
constexpr Shape kChestArt[] = {Slab(kWoodDark, 4, 22, 60, 62, 5),
                               Slab(kWood, 6, 34, 58, 60, 3),
                               Slab(Rgb(160, 104, 56), 5, 14, 59, 34, 10),
                               Slab(kGoldTone, 3, 32, 61, 38, 1),
                               Both(Slab(kGoldTone, 12, 14, 18, 62, 1)),
                               Slab(kGoldTone, 26, 28, 38, 46, 3),
                               Oval(kInk, 32, 36, 3, 4, true)};
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
constexpr Shape kBoomerangArt[] = {Both(Limb(kWood, 32, 10, 56, 48, 9, 6)),
                                   Both(Limb(Rgb(120, 200, 88), 34, 16, 44, 32, 4, 4))};
constexpr Shape kMineArt[] = {
    Oval(kSteelDark, 32, 48, 28, 15), Oval(Rgb(70, 64, 76), 32, 42, 24, 15),
    Oval(kBlood, 32, 34, 9, 7, true), Oval(Rgb(255, 170, 150), 30, 32, 4, 3, true)};
constexpr Shape kSparkArt[] = {
    Wedge(kGlow, 32, 0, 22, 34, 42, 34, true), Wedge(kGlow, 32, 64, 22, 30, 42, 30, true),
    Both(Wedge(kGlow, 0, 32, 34, 22, 34, 42, true)), Oval(kWhite, 32, 32, 10, 10, true)};

// ---- obstacles

constexpr Shape kOak[] = {Limb(kWoodDark, 32, 40, 32, 61, 4, 6), Limb(kWood, 31, 40, 31, 60, 2, 3),
                          Oval(kLeafDark, 32, 34, 25, 17),       Both(Oval(kLeaf, 19, 28, 16, 14)),
                          Oval(kLeaf, 32, 17, 19, 16),           Oval(kLeafLight, 26, 14, 11, 8),
                          Oval(kLeafLight, 15, 25, 7, 5),        Oval(kLeafLight, 42, 24, 8, 5)};
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
constexpr Shape kFrostIcon[] = {
    Limb(kOwn, 32, 4, 32, 60, 4, 4),       Limb(kOwn, 8, 18, 56, 46, 4, 4),
    Limb(kOwn, 8, 46, 56, 18, 4, 4),       Oval(kWhite, 32, 32, 8, 8, true),
    Oval(kWhite, 32, 6, 4, 4, true),       Oval(kWhite, 32, 58, 4, 4, true),
    Both(Oval(kWhite, 9, 19, 4, 4, true)), Both(Oval(kWhite, 55, 45, 4, 4, true))};
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
    Slab(kOwnLight, 14, 8, 50, 26, 2), Both(Wedge(kOwn, 4, 26, 14, 8, 22, 26)),
    Wedge(kWhite, 20, 10, 32, 10, 24, 22, true)};
constexpr Shape kRewardIcon[] = {
    Oval(kWood, 32, 42, 26, 20),        Oval(Rgb(160, 104, 56), 30, 38, 22, 18),
    Slab(kWoodDark, 20, 14, 44, 22, 3), Wedge(kWood, 18, 6, 46, 6, 32, 20),
    Oval(kOwn, 32, 40, 11, 11),         Slab(kOwnDark, 30, 33, 34, 47, 1, true)};

constexpr FiledArt kFiled[] = {
    {"skull", kSkull},          {"xp", kXpOrb},           {"gold", kCoin},
    {"heal", kHeart},           {"magnet", kMagnetArt},   {"chest", kChestArt},
    {"shrine", kShrineArt},     {"portal", kPortalArt},   {"orb", kOrbArt},
    {"fireball", kFireballArt}, {"blade", kBladeArt},     {"boomerang", kBoomerangArt},
    {"mine", kMineArt},         {"spark", kSparkArt},     {"oak", kOak},
    {"bush", kBushArt},         {"pine", kPineArt},       {"boulder", kBoulderArt},
    {"pillar", kPillarArt},     {"cactus", kCactusArt},   {"dead_tree", kDeadTreeArt},
    {"ice", kIceArt},           {"sword", kSwordIcon},    {"bow", kBowIcon},
    {"fire_staff", kStaffIcon}, {"lightning", kBoltIcon}, {"aura", kAuraIcon},
    {"blades", kBladeArt},      {"mines", kMineArt},      {"shotgun", kShotgunIcon},
    {"frost", kFrostIcon},      {"tome", kTomeIcon},      {"item", kItemIcon},
    {"reward", kRewardIcon},
};

}  // namespace

std::span<const FiledArt> ThingArt() { return kFiled; }

}  // namespace metabonk::arena
