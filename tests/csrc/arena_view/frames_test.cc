// Whole frames: the same bytes everywhere, all of them written and none beside them.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "arena_view/scene.h"
#include "check.h"
#include "games/arena/sprites.h"
#include "support/cpu.h"

namespace metabonk::arena::view_test {
namespace {

uint64_t HashOf(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001B3ull;
  return hash;
}

class EveryTier {  // restores the cap that was
 public:
  EveryTier() : most_(static_cast<int>(DetectedTier())) {}
  ~EveryTier() { CapTier(static_cast<CpuTier>(static_cast<int>(CpuTier::kCount) - 1)); }
  int most() const { return most_; }

 private:
  int most_;
};

struct Golden {
  int height, width, tier;
  uint64_t hash;
};

// After a change of the look on purpose: take the hashes that the failing test prints.
constexpr Golden kGolden[] = {
    {84, 84, 1, 0x8036364106E8B78C},   {84, 84, 2, 0x560A28B1DFD76718},
    {64, 48, 3, 0x7134F7A2CEDC8C79},   {120, 133, 1, 0x2BF4C4E231D9FA45},
    {160, 240, 1, 0x4DF4966F77DC065B}, {360, 640, 2, 0x3427706345191527},
    {131, 129, 3, 0x91EAA9E789B6435B}, {8, 8, 1, 0x4EC1824B0C609305},
};

TEST(ArenaViewGoldenFramesOnEveryTier) {
  EveryTier tiers;
  for (const Golden& golden : kGolden) {
    for (int tier = 0; tier <= tiers.most(); ++tier) {
      CapTier(static_cast<CpuTier>(tier));
      auto scene = MakeScene(golden.tier);
      const uint64_t hash = HashOf(Draw(*scene, golden.height, golden.width));
      if (hash != golden.hash) {
        std::fprintf(stderr, "    {%d, %d, %d, 0x%016llX},  // %s\n", golden.height, golden.width,
                     golden.tier, static_cast<unsigned long long>(hash),
                     TierName(static_cast<CpuTier>(tier)));
      }
      CHECK_EQ(hash, golden.hash);
    }
  }
}

// No golden frame shows all of them. After a change of the art on purpose: take the hash that the
// failing test prints.
TEST(ArenaViewGoldenSprites) {
  constexpr uint64_t kGoldenSprites = 0xA0685923C7559996;
  std::vector<uint8_t> bytes;
  for (int sprite = 0; sprite < kSpriteCount; ++sprite) {
    for (const uint32_t pixel : SpriteBitmap(sprite).pixels) {
      for (int shift = 0; shift < 32; shift += 8) {
        bytes.push_back(static_cast<uint8_t>(pixel >> shift & 255));
      }
    }
  }
  const uint64_t hash = HashOf(bytes);
  if (hash != kGoldenSprites) {
    std::fprintf(stderr, "    0x%016llX\n", static_cast<unsigned long long>(hash));
  }
  CHECK_EQ(hash, kGoldenSprites);
}

// Positions and angles of all kinds: every tier draws what the plain scalar code draws.
TEST(ArenaViewTiersAgreeWhereverThePlayerStands) {
  EveryTier tiers;
  auto scene = MakeScene(1);
  for (int i = 0; i < 60; ++i) {
    Player& player = scene->world.player;
    const uint64_t n = static_cast<uint64_t>(i);
    player.x = 96.0f * SceneNoise(21, n);
    player.y = 96.0f * SceneNoise(22, n);
    player.z = GroundHeight(scene->terrain, player.x, player.y);
    player.yaw = 20.0f * (SceneNoise(23, n) - 0.5f);
    player.pitch = 1.2f * (SceneNoise(24, n) - 0.5f);
    const int height = 8 + static_cast<int>(100 * SceneNoise(25, n));
    const int width = 8 + static_cast<int>(110 * SceneNoise(26, n));
    CapTier(CpuTier::kBaseline);
    const std::vector<uint8_t> expected = Draw(*scene, height, width);
    for (int tier = 1; tier <= tiers.most(); ++tier) {
      CapTier(static_cast<CpuTier>(tier));
      CHECK(Draw(*scene, height, width) == expected);
    }
  }
}

TEST(ArenaViewWritesTheWholeFrameAndNothingElse) {
  constexpr int kGuard = 256;
  EveryTier tiers;
  const int sizes[][2] = {{9, 13},    {8, 8},    {84, 84},  {85, 83},  {127, 128}, {128, 128},
                          {129, 131}, {77, 333}, {8, 1920}, {1920, 8}, {31, 17},   {100, 163}};
  for (int tier = 0; tier <= tiers.most(); ++tier) {
    CapTier(static_cast<CpuTier>(tier));
    auto scene = MakeScene(2);
    for (const auto& size : sizes) {
      const size_t bytes = static_cast<size_t>(size[0]) * static_cast<size_t>(size[1]) * 3;
      std::vector<uint8_t> frames[2];
      for (int fill = 0; fill < 2; ++fill) {
        std::vector<uint8_t>& frame = frames[fill];
        frame.assign(bytes + 2 * kGuard, fill ? 0xA5 : 0x3C);
        Render(scene->world, scene->level, size[0], size[1], frame.data() + kGuard, scene->scratch);
        const uint8_t guard = fill ? 0xA5 : 0x3C;
        CHECK(std::all_of(frame.begin(), frame.begin() + kGuard,
                          [&](uint8_t b) { return b == guard; }));
        CHECK(
            std::all_of(frame.end() - kGuard, frame.end(), [&](uint8_t b) { return b == guard; }));
      }
      CHECK(std::equal(frames[0].begin() + kGuard, frames[0].end() - kGuard,
                       frames[1].begin() + kGuard));
    }
  }
}

TEST(ArenaViewDependsOnTheWorldAlone) {
  auto scene = MakeScene(1);
  auto other = MakeScene(3);
  const std::vector<uint8_t> small = Draw(*scene, 84, 84);
  const std::vector<uint8_t> large = Draw(*scene, 180, 320);
  // Another terrain, tier and size through the same scratch leave nothing behind.
  other->terrain.seed = 99;
  for (float& height : other->terrain.height) height *= -2.0f;
  std::vector<uint8_t> rgb(360 * 640 * 3);
  Render(other->world, other->level, 360, 640, rgb.data(), scene->scratch);
  Render(other->world, other->level, 50, 60, rgb.data(), scene->scratch);
  CHECK(Draw(*scene, 84, 84) == small);
  CHECK(Draw(*scene, 180, 320) == large);
}

TEST(ArenaViewKeepsItsMemory) {
  auto scene = MakeScene(1);
  Draw(*scene, 84, 84);
  Draw(*scene, 180, 320);
  const uint32_t* pixels = scene->scratch.pixels.data();
  const uint32_t* colour = scene->scratch.map.colour.data();
  for (int i = 0; i < 5; ++i) {
    scene->world.player.yaw += 0.3f;
    Draw(*scene, 84, 84);
    Draw(*scene, 120, 160);
    Draw(*scene, 180, 320);
  }
  CHECK(scene->scratch.pixels.data() == pixels);
  CHECK(scene->scratch.map.colour.data() == colour);
}

TEST(ArenaViewChecksSizes) {
  CHECK(CheckFrame(8, 1920).ok());
  CHECK(!CheckFrame(7, 84).ok());
  CHECK(!CheckFrame(84, 1921).ok());
  CHECK(!CheckFrame(-84, 84).ok());
}

}  // namespace
}  // namespace metabonk::arena::view_test
