// Snapshots: what is damaged, foreign or forged is refused and changes nothing; what is accepted
// can be played and looked at whatever it holds; what play leads to is accepted.
#include "games/arena/snapshot.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "arena/scene.h"
#include "check.h"
#include "games/arena/batch.h"

namespace metabonk::arena {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

LevelSpec Busy() {
  LevelSpec spec = DefaultSpec();
  spec.spawn_rate = 4.0f;
  spec.start_enemies = 60;
  spec.duration = 60.0f;
  spec.skip_max = 7;
  spec.drop_rate = 0.3f;
  spec.terrain_seed = 9;
  return spec;
}

BatchSettings Of(int n) {
  BatchSettings settings;
  settings.num_envs = n;
  return settings;
}

std::vector<uint8_t> Saved(const Batch& batch) {
  std::vector<uint8_t> bytes(batch.SnapshotBytes());
  batch.Save(bytes.data());
  return bytes;
}

std::unique_ptr<Episode> Played(const LevelSpec& spec, uint64_t seed, int decisions) {
  const auto scratch = std::make_unique<Scratch>();
  Environment environment;
  environment.Configure(spec, true, 0, 0);
  environment.Reset(seed);
  for (int t = 0; t < decisions; ++t) environment.Step(Script(seed, t), *scratch);
  return std::make_unique<Episode>(environment.episode());
}

TEST(arena_snapshot_damage_is_refused_and_changes_nothing) {
  const LevelSpec spec = Busy();
  Batch batch(std::span(&spec, 1), Of(2));
  const std::vector<uint8_t> snapshot = Saved(batch);
  CHECK(!batch.Load(std::span(snapshot).first(snapshot.size() - 1)).ok());
  CHECK(!batch.Load(std::span(snapshot).first(10)).ok());
  for (size_t at = 0; at < kSnapshotHeader; ++at) {
    std::vector<uint8_t> damaged = snapshot;
    damaged[at] ^= 0x40;
    CHECK(!batch.Load(damaged).ok());
  }
  // Wild counts and kinds, in the second environment: the first must stay as it was, too.
  const size_t world = snapshot.size() - sizeof(Episode) + offsetof(Episode, world);
  for (const size_t field :
       {offsetof(World, enemies), offsetof(World, shots), offsetof(World, bolts),
        offsetof(World, pickups), offsetof(World, structures), offsetof(World, tier)}) {
    std::vector<uint8_t> damaged = snapshot;
    std::memset(damaged.data() + world + field, 0xEE, field == offsetof(World, tier) ? 1 : 4);
    CHECK(batch.Load(damaged).code == Code::kCorrupt);
  }
  CHECK(Saved(batch) == snapshot);
  CHECK(batch.Load(snapshot).ok());
}

TEST(arena_snapshot_of_another_level_is_refused) {
  const LevelSpec spec = Busy();
  LevelSpec other = spec;
  other.enemy_speed = 1.5f;
  Batch batch(std::span(&spec, 1), Of(2));
  Batch foreign(std::span(&other, 1), Of(2));
  const std::vector<uint8_t> before = Saved(foreign);
  const Status status = foreign.Load(Saved(batch));
  CHECK(status.code == Code::kVersionMismatch);
  CHECK(std::strstr(status.what, "level") != nullptr);
  CHECK(Saved(foreign) == before);

  // Levels in another order are other levels; each alone is the one that it is.
  const LevelSpec one_way[] = {spec, other};
  const LevelSpec other_way[] = {other, spec};
  Batch first(one_way, Of(2));
  Batch second(other_way, Of(2));
  CHECK(second.Load(Saved(first)).code == Code::kVersionMismatch);
  std::vector<uint8_t> one(Batch::SnapshotBytesOfOne());
  first.SaveOne(0, one.data());
  CHECK(second.LoadOne(0, one).code == Code::kVersionMismatch);
  CHECK(second.LoadOne(1, one).ok());
  CHECK(foreign.Load(one).code == Code::kInvalidArgument);  // of one environment, not of two
}

struct Forgery {
  const char* what;
  void (*forge)(Episode&);
};

constexpr Forgery kForgeries[] = {
    {"yaw", [](Episode& e) { e.world.player.yaw = 1e30f; }},
    {"yaw", [](Episode& e) { e.world.player.yaw = kNan; }},
    {"x", [](Episode& e) { e.world.player.x = kInfinity; }},
    {"gold", [](Episode& e) { e.world.player.gold = 1e30f; }},
    {"health", [](Episode& e) { e.world.player.health = kNan; }},
    {"projectiles", [](Episode& e) { StatOf(e.world.player, Stat::kProjectiles) = 3e9f; }},
    {"attack speed", [](Episode& e) { StatOf(e.world.player, Stat::kAttackSpeed) = 0.0f; }},
    {"base", [](Episode& e) { e.world.player.base[0] = kNan; }},
    {"tome bonus", [](Episode& e) { e.world.player.tome_bonus[0] = kInfinity; }},
    {"grounded", [](Episode& e) { e.world.player.grounded = 2; }},
    {"items", [](Episode& e) { e.world.player.items[0] = 255; }},
    {"wave", [](Episode& e) { e.world.director.wave = 2147483647; }},
    {"armed", [](Episode& e) { e.world.menus.armed = 7; }},
    {"score", [](Episode& e) { e.world.totals.score = 1e30f; }},
    {"enemy x", [](Episode& e) { e.world.enemies.x[3] = kNan; }},
    {"enemy health", [](Episode& e) { e.world.enemies.health[3] = kInfinity; }},
    {"enemy flags", [](Episode& e) { e.world.enemies.flags[3] = 0xFF; }},
    {"price", [](Episode& e) { e.world.structures.price[0] = kNan; }},
    {"structure", [](Episode& e) { e.world.structures.kind[0] = 9; }},
    {"terminated", [](Episode& e) { e.terminated = 2; }},
    {"truncated", [](Episode& e) { e.truncated = 255; }},
    {"is_reset", [](Episode& e) { e.is_reset = 3; }},
    {"stale", [](Episode& e) { e.stale = 8; }},
    {"reward", [](Episode& e) { e.reward = kNan; }},
    {"return", [](Episode& e) { e.return_sum = static_cast<double>(kInfinity); }},
    {"what is shown", [](Episode& e) { e.stale = 1, e.shown.player.yaw = kNan; }},
};

TEST(arena_snapshot_forged_numbers_and_flags_are_refused) {
  const auto good = Played(Busy(), 3, 40);
  CHECK(good->world.enemies.count > 3);
  CHECK(good->world.structures.count > 0);
  CHECK(Sound(*good));
  for (const Forgery& forgery : kForgeries) {
    const auto forged = std::make_unique<Episode>(*good);
    forgery.forge(*forged);
    if (Sound(*forged)) std::fprintf(stderr, "accepted: %s\n", forgery.what);
    CHECK(!Sound(*forged));
  }
}

TEST(arena_snapshot_wild_shots_and_bolts_are_refused) {
  const auto good = Played(Busy(), 3, 40);
  Shots& shots = good->world.shots;
  shots.count = 1;
  shots.state[0] = 3;  // a blade: its velocity holds an angle
  shots.vx[0] = 1.0f;
  shots.radius[0] = 0.5f;
  CHECK(Sound(*good));
  shots.vx[0] = 5e4f;
  CHECK(!Sound(*good));
  shots.state[0] = 0;
  CHECK(Sound(*good));
  shots.radius[0] = 900.0f;
  CHECK(!Sound(*good));
  shots.state[0] = 6;
  CHECK(!Sound(*good));
  shots.count = 0;
  good->world.bolts.count = 1;
  CHECK(Sound(*good));
  good->world.bolts.homing[0] = 2;
  CHECK(!Sound(*good));
}

TEST(arena_snapshot_whatever_play_leads_to_is_accepted) {
  LevelSpec hard = Busy();
  hard.tier = 3;
  hard.enemy_health = 50.0f;
  hard.enemy_speed = 3.0f;
  hard.spawn_rate = 20.0f;
  hard.xp_rate = hard.gold_rate = 100.0f;
  hard.boss_at = 5.0f;
  hard.duration = 7200.0f;
  hard.skip_max = 60;
  hard.menus = 0;
  LevelSpec held = hard;
  held.sustain = 1;
  held.max_enemies = held.start_enemies = 200;
  held.start_weapon_level = 5;
  held.weapon_slots = 8;
  for (uint8_t i = 0; i < 8; ++i) held.start_weapons[i] = static_cast<uint8_t>(i + 1);
  LevelSpec menus = Busy();
  menus.start_screen = static_cast<uint8_t>(Screen::kMainMenu);
  const auto scratch = std::make_unique<Scratch>();
  for (const LevelSpec& spec : {Busy(), hard, held, menus}) {
    CHECK(Validate(spec).ok());
    Environment environment;
    environment.Configure(spec, true, 0, 0);
    environment.Reset(11);
    bool sound = true;
    for (int t = 0; t < 1200; ++t) {
      environment.Step(Script(11, t), *scratch);
      sound = sound && Sound(environment.episode());
    }
    CHECK(sound);
  }
}

// Random bytes and special floats anywhere in an episode. What is accepted must run, be observed
// and be drawn without leading anywhere; sanitizers watch this test.
void Forge(uint64_t trial, std::vector<uint8_t>* bytes) {
  constexpr float kSpecial[] = {kNan, kInfinity, -kInfinity, 3e38f, -3e38f, 3e9f, 1e-40f, -0.0f,
                                9e3f, -9e3f,     4e4f,       1e6f,  -1.0f,  0.0f, 3.9f,   1e14f};
  const uint64_t changes = 1 + HashDraw(trial, 99) % 4;
  for (uint64_t k = 0; k < changes; ++k) {
    const uint64_t bits = HashDraw(trial, k);
    if (bits >> 63) {
      (*bytes)[bits % sizeof(Episode)] = static_cast<uint8_t>(bits >> 48);
    } else {
      std::memcpy(bytes->data() + bits % (sizeof(Episode) / 4) * 4, &kSpecial[bits >> 40 & 15], 4);
    }
  }
}

TEST(arena_snapshot_hostile_bytes_never_lead_astray) {
  constexpr int kTrials = 600;
  const LevelSpec spec = Busy();
  std::vector<uint8_t> good(sizeof(Episode));
  const auto played = Played(spec, 1, 90);
  std::memcpy(good.data(), played.get(), sizeof(Episode));
  std::vector<float> state(kStateFeatures), entities(kNearestEntities * kEntityFeatures);
  std::vector<float> pickups(kNearestPickups * kPickupFeatures),
      offers(kOfferRows * kOfferFeatures);
  std::vector<uint8_t> mask(kActionMask), frame(32 * 32 * 3), picture(144 * 144 * 3);
  float dt = 0.0f;
  float reward = 0.0f;
  uint8_t flags[3] = {};
  OutputRow row;
  row.observation = {state.data(), entities.data(), nullptr, pickups.data(), nullptr, offers.data(),
                     nullptr,      mask.data(),     &dt};
  row.pixels = frame.data();
  row.reward = &reward;
  row.terminated = &flags[0];
  row.truncated = &flags[1];
  row.is_reset = &flags[2];
  Environment environment;
  environment.Configure(spec, true, 32, 32);
  environment.Reset(1);
  const auto scratch = std::make_unique<Scratch>();
  int accepted = 0;
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    std::vector<uint8_t> bytes = good;
    bytes[offsetof(Episode, stale)] = trial & 1;
    Forge(trial, &bytes);
    if (!Environment::Check(bytes.data()).ok()) continue;
    ++accepted;
    environment.Load(bytes.data());
    environment.Write(row);
    environment.Picture(144, 144, picture.data());
    for (int t = 0; t < 20; ++t) environment.Step(Script(trial, t), *scratch);
    environment.Write(row);
    environment.Picture(144, 144, picture.data());
    for (const uint8_t flag : flags) CHECK(flag <= 1);
  }
  CHECK(accepted > kTrials / 4);
  CHECK(accepted < kTrials);
}

}  // namespace
}  // namespace metabonk::arena
