// The pictures of things: which sprite shows what, at what size. Sprites are square, stand on their
// lower edge, and are drawn once per process from the shapes in sprite_art.cc.
#pragma once

#include <cstdint>

#include "games/arena/colour.h"
#include "games/arena/content.h"
#include "games/arena/render_kernels.h"
#include "games/arena/terrain.h"

namespace metabonk::arena {

inline constexpr int kSpriteSide = 64;

enum Sprite : uint8_t {
  kSpriteEnemy = 0,                                  // + kind
  kSpriteCharacter = kSpriteEnemy + kEnemyKindsMax,  // + index, seen from behind
  kSpriteXp = kSpriteCharacter + 8,
  kSpriteGold,
  kSpriteHeal,
  kSpriteMagnet,
  kSpriteChest,
  kSpriteShrine,
  kSpritePortal,
  kSpriteOrb,  // a magic bolt
  kSpriteFireball,
  kSpriteBlade,
  kSpriteBoomerang,
  kSpriteMine,
  kSpriteSpark,
  kSpriteOak,
  kSpriteBush,
  kSpritePine,
  kSpriteBoulder,
  kSpritePillar,
  kSpriteCactus,
  kSpriteDeadTree,
  kSpriteIce,
  kWorldSprites,                  // the ones above have stamps
  kSpriteWeapon = kWorldSprites,  // + kind: icons from here on
  kSpriteTome = kSpriteWeapon + kWeaponKindsMax,
  kSpriteItem = kSpriteTome + kTomeKindsMax,
  kSpriteReward = kSpriteItem + kMaxItemKinds,
  kSpriteSkull = kSpriteReward + 4,
  kSpriteCount,
};

struct Bitmap {
  uint32_t pixels[kSpriteSide * kSpriteSide];  // R | G << 8 | B << 16 | alpha << 24, with outline
};

const Bitmap& SpriteBitmap(int sprite);
// Stamps of the world's sprites: sprite s at `side` pixels is StampIndex(s, side) of the table.
const Stamp* StampTable();
constexpr uint16_t StampIndex(int sprite, int side) {
  return static_cast<uint16_t>(sprite * (kStampMax + 1) + side);
}
// The colour by which a sprite is known.
uint32_t SpriteColour(int sprite);

int CharacterSprite(int character);
// What stands for an obstacle; noise picks between variants.
uint8_t ObstacleSprite(Ground ground, float height, int tier, uint32_t noise);

}  // namespace metabonk::arena
