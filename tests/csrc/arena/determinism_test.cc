// The same seed, level and actions give the same bytes: twice, on every instruction set, after a
// copy; and the bytes that are committed in golden.inc.
//
// golden.inc changes only when the rules or content.toml change. To make it anew:
//   metabonk_tests arena_golden 2>&1 | grep 'golden:' | sed 's/.*golden: //' > golden.inc
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "arena/scene.h"
#include "check.h"
#include "games/arena/kernels.h"
#include "support/cpu.h"

namespace metabonk::arena {
namespace {

struct Case {
  const char* name;
  LevelSpec spec;
};

LevelSpec Everything(int tier) {
  LevelSpec spec = DefaultSpec();
  spec.tier = static_cast<uint8_t>(tier);
  spec.spawn_rate = 4.0f;
  spec.enemy_damage = 0.05f;
  spec.start_enemies = 60;
  spec.boss_at = 20.0f;
  spec.weapon_slots = 8;
  spec.skip_min = 1;
  spec.skip_max = 6;
  for (int i = 0; i < 8; ++i)
    spec.start_weapons[i] = static_cast<uint8_t>(i + 1 + (tier == 3 ? 2 : 0));
  return spec;
}

std::vector<Case> Cases() {
  std::vector<Case> cases = {{"default", DefaultSpec()}};
  for (int tier = 1; tier <= 3; ++tier) cases.push_back({"everything", Everything(tier)});
  LevelSpec menus = DefaultSpec();
  menus.start_screen = static_cast<uint8_t>(Screen::kMainMenu);
  menus.allow_pause = 1;
  cases.push_back({"menus", menus});
  return cases;
}

// Hashes along a run of `decisions`.
std::vector<uint64_t> Hashes(const LevelSpec& spec, uint64_t seed, int decisions) {
  Run run(spec, seed);
  std::vector<uint64_t> hashes;
  for (int i = 0; i < decisions; ++i) {
    RunDecision(run.world, run.level, Script(seed, i), *run.scratch);
    if (i % 50 == 49) hashes.push_back(HashWorld(run.world));
  }
  return hashes;
}

TEST(arena_determinism_same_on_every_instruction_set) {
  const CpuTier active = ActiveTier();
  for (const Case& one : Cases()) {
    CapTier(CpuTier::kBaseline);
    const auto baseline = Hashes(one.spec, 3, 500);
    CHECK(Hashes(one.spec, 3, 500) == baseline);
    CHECK(Hashes(one.spec, 4, 500) != baseline);
    for (int tier = 1; tier <= static_cast<int>(DetectedTier()); ++tier) {
      CapTier(static_cast<CpuTier>(tier));
      CHECK(Hashes(one.spec, 3, 500) == baseline);
    }
    UseScalarKernels(true);
    CHECK(Hashes(one.spec, 3, 500) == baseline);
    UseScalarKernels(false);
  }
  CapTier(active);
}

TEST(arena_determinism_a_copy_goes_on_as_the_original) {
  for (const Case& one : Cases()) {
    Run run(one.spec, 8);
    bool menu_copied = false;
    for (int i = 0; i < 600; ++i) {
      RunDecision(run.world, run.level, Script(8, i), *run.scratch);
      const bool menu = run.world.menus.screen != Screen::kPlaying;
      if (i % 150 != 75 && (menu_copied || !menu)) continue;
      menu_copied |= menu;
      const auto copy = std::make_unique<World>();
      std::memcpy(static_cast<void*>(copy.get()), &run.world, sizeof(World));
      const auto other_scratch = std::make_unique<Scratch>();
      std::memset(static_cast<void*>(other_scratch.get()), 0x5A, sizeof(Scratch));
      const auto original = std::make_unique<World>();
      std::memcpy(static_cast<void*>(original.get()), &run.world, sizeof(World));
      for (int k = 0; k < 60; ++k) {
        RunDecision(*original, run.level, Script(9, k), *run.scratch);
        RunDecision(*copy, run.level, Script(9, k), *other_scratch);
      }
      CHECK(std::memcmp(copy.get(), original.get(), sizeof(World)) == 0);
    }
    CHECK(menu_copied);
  }
}

TEST(arena_determinism_wild_actions_are_harmless) {
  const float wild[] = {std::numeric_limits<float>::quiet_NaN(),
                        std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity(),
                        1e30f,
                        -1e30f,
                        1e-40f,
                        33.5f};
  Run run(Everything(2), 5);
  for (int i = 0; i < 3000; ++i) {
    float row[kActionColumns];
    for (int k = 0; k < kActionColumns; ++k) {
      row[k] = wild[HashDraw(static_cast<uint64_t>(i), static_cast<uint64_t>(k)) % 7];
    }
    Action action;
    std::memcpy(&action, row, sizeof(action));
    RunDecision(run.world, run.level, action, *run.scratch);
    const Player& player = run.world.player;
    for (const float value : {player.x, player.y, player.z, player.vx, player.vy, player.vz,
                              player.yaw, player.pitch, player.health, player.gold, player.xp}) {
      CHECK(std::isfinite(value));
    }
    for (int e = 0; e < run.world.enemies.count; ++e) {
      CHECK(std::isfinite(run.world.enemies.x[e]) && std::isfinite(run.world.enemies.vx[e]));
    }
  }
}

struct Golden {
  const char* name;
  int index;
  uint64_t hash;
};

constexpr Golden kGolden[] = {
#include "arena/golden.inc"
};

TEST(arena_golden_hashes) {
  const std::vector<Case> cases = Cases();
  CHECK_EQ(std::size(kGolden), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    const uint64_t hash = Hashes(cases[i].spec, 1000 + i, 1000).back();
    std::fprintf(stderr, "golden: {\"%s\", %d, 0x%016llxull},\n", cases[i].name,
                 static_cast<int>(i), static_cast<unsigned long long>(hash));
    if (i >= std::size(kGolden)) continue;
    CHECK(std::strcmp(kGolden[i].name, cases[i].name) == 0);
    CHECK_EQ(kGolden[i].hash, hash);
  }
}

}  // namespace
}  // namespace metabonk::arena
