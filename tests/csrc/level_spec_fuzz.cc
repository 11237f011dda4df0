// Fuzzes the level specification: whatever bytes arrive, Validate answers, and what it accepts can
// be played. Only some of the accepted levels are, because ground takes milliseconds to make.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "arena_menus/run.h"
#include "support/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern size_t FuzzSeed(size_t index, std::vector<uint8_t>* out);

namespace metabonk::arena {
namespace {

constexpr uint64_t kPlayOneIn = 6;
constexpr int kTicks = 90;

LevelSpec Seed(size_t index) {
  LevelSpec spec = DefaultSpec();
  if (index == 1) {  // crowded, without menus
    spec.menus = 0;
    spec.start_enemies = spec.max_enemies;
    spec.spawn_rate = 20.0f;
    spec.boss_at = 0.0f;
    spec.tier = 3;
  } else if (index == 2) {  // menus at every step
    spec.xp_rate = 100.0f;
    spec.start_screen = static_cast<uint8_t>(Screen::kMainMenu);
    spec.start_enemies = 60;
  } else if (index == 3) {  // the benchmark's
    spec.sustain = 1;
    spec.weapon_slots = kLoadoutSlots;
    for (int i = 0; i < kLoadoutSlots; ++i) spec.start_weapons[i] = static_cast<uint8_t>(i + 1);
  }
  return spec;
}

uint64_t Hash(const LevelSpec& spec) {
  uint8_t bytes[sizeof spec];
  std::memcpy(bytes, &spec, sizeof spec);
  uint64_t hash = 0;
  for (const uint8_t byte : bytes) hash = Mix64(hash ^ byte) + 1;
  return hash;
}

void Play(const LevelSpec& spec, uint64_t seed) {
  Run run(spec, seed);
  Random random = {seed, 1};
  for (int i = 0; i < kTicks && !run.world.done; ++i) {
    Action action;
    float row[kActionColumns];
    for (float& value : row) {
      value = 4.0f * UnitFloat(HashDraw(random.key, random.counter++)) - 2.0f;
    }
    std::memcpy(&action, row, sizeof action);
    action.choice = static_cast<float>(i % 6);
    RunDecision(run.world, run.level, action, *run.scratch);
    GameState state;
    FillGameState(run.world, run.level, &state);
  }
}

}  // namespace
}  // namespace metabonk::arena

size_t FuzzSeed(size_t index, std::vector<uint8_t>* out) {
  const metabonk::arena::LevelSpec spec = metabonk::arena::Seed(index);
  out->resize(sizeof spec);
  std::memcpy(out->data(), &spec, sizeof spec);
  return 4;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace metabonk::arena;  // NOLINT(google-build-using-namespace)
  // What is missing comes from the default, so that cut inputs reach further than the length.
  LevelSpec spec = DefaultSpec();
  std::memcpy(static_cast<void*>(&spec), data, std::min(size, sizeof spec));
  const metabonk::Status status = Validate(spec);
  if (!status.ok()) {
    if (status.where[0] == '\0' || status.what[0] == '\0') std::abort();
    return 0;
  }
  const uint64_t hash = Hash(spec);
  if (hash % kPlayOneIn == 0) Play(spec, hash);
  return 0;
}
