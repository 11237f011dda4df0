// GameState -> observation arrays. The names of all features are in metabonk/observations.py, in
// the order in which they are written here; tests/test_observations.py holds a slow reference.
//
// Conventions: directions are in the camera's frame (x right, y forward); lengths without a bound
// are x / (|x| + scale), so that one unit of `scale` gives a half and nothing exceeds 1; what a
// transport did not carry is zero. NaN counts as zero, what is beyond +-1e9 is cut there, and a
// thing whose distance is no number of that range is left out.
#include "metabonk/observe.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "support/math.h"

namespace metabonk {

namespace {

constexpr float kNear = 16.0f;   // metres that count as 1 in relative positions
constexpr float kHeight = 8.0f;  // the same, upwards
constexpr float kClose = 4.0f;   // metres at which closeness is a half
constexpr float kSpeed = 8.0f;   // metres per second that count as 1
constexpr float kMap = 64.0f;    // metres that count as 1 in absolute positions
constexpr float kLimit = 4.0f;   // where linear features are cut
constexpr float kHuge = 1e9f;
constexpr float kTooFar = 1e18f;   // squared metres, beyond which a thing is left out
constexpr float kNowhere = 4e18f;  // stands for its squared distance
constexpr float kMaxDt = 10.0f;    // seconds
constexpr int kCharacters = 6;
constexpr int kWeaponKinds = 16;
constexpr int kTomeKinds = 32;
constexpr int kStatFeatures = 28;
constexpr int kCarriedBits = 12;

float Clean(float x) {
  if (std::fabs(x) <= kHuge) return x;
  return x > 0.0f ? kHuge : (x < 0.0f ? -kHuge : 0.0f);  // the last for NaN
}
float Squash(float x, float scale) {
  const float clean = Clean(x);
  return clean / (std::fabs(clean) + scale);
}
float Linear(float x, float scale) { return std::clamp(Clean(x) / scale, -kLimit, kLimit); }
float Fraction(float part, float whole) {
  const float w = Clean(whole);
  return w > 0.0f ? std::clamp(Clean(part) / w, 0.0f, 1.0f) : 0.0f;
}
float Flag(bool value) { return value ? 1.0f : 0.0f; }

struct Camera {
  float x, y, z;
  float sine, cosine;
  float Right(float dx, float dy) const { return dx * sine - dy * cosine; }
  float Forward(float dx, float dy) const { return dx * cosine + dy * sine; }
};

Camera CameraOf(const GameState& state) {
  Camera camera;
  const bool placed = state.fields & kHasPlayer;
  camera.x = placed ? Clean(state.position[0]) : 0.0f;
  camera.y = placed ? Clean(state.position[1]) : 0.0f;
  camera.z = placed ? Clean(state.position[2]) : 0.0f;
  const bool known = (state.fields & kHasYaw) && std::fabs(state.yaw) <= 1e4f;
  SinCos(known ? state.yaw : 0.0f, &camera.sine, &camera.cosine);
  return camera;
}

// Whether a menu is open. BonkLink v1 names the game's own screen "Gameplay".
bool InMenu(const GameState& state) {
  if (!state.playing || state.paused) return true;
  return state.menu[0] != '\0' && std::strncmp(state.menu, "None", kTextBytes) != 0 &&
         std::strncmp(state.menu, "Gameplay", kTextBytes) != 0;
}

// A squared distance as an integer: bits of positive floats order as the floats do, and integers
// compare and reduce in vectors.
int32_t KeyOf(float squared) {
  return std::bit_cast<int32_t>(squared <= kTooFar ? squared : kNowhere);  // the latter for NaN
}

// A key that at least `wanted` of the keys and few more do not exceed, by bisection.
int32_t Threshold(const int32_t* keys, int count, int wanted) {
  constexpr int kFewMore = 8;
  int32_t below = std::bit_cast<int32_t>(kNowhere), above = 0;
  for (int i = 0; i < count; ++i) {
    below = std::min(below, keys[i]);
    above = std::max(above, keys[i]);
  }
  for (--below; above - below > 1;) {
    const int32_t middle = below + (above - below) / 2;
    int32_t found = 0;
    for (int i = 0; i < count; ++i) found += keys[i] <= middle;
    (found < wanted ? below : above) = middle;
    if (found >= wanted && found <= wanted + kFewMore) break;
  }
  return above;
}

// The kCapacity nearest of `count` <= kRoom things, nearest first, ties by id and then by index.
template <int kCapacity, int kRoom, typename Thing>
int SelectNearest(const Thing* things, int count, const Camera& camera, int chosen[kCapacity]) {
  int32_t keys[kRoom];
  for (int i = 0; i < count; ++i) {
    const float dx = things[i].position[0] - camera.x;
    const float dy = things[i].position[1] - camera.y;
    const float dz = things[i].position[2] - camera.z;
    keys[i] = KeyOf(dx * dx + dy * dy + dz * dz);
  }
  int32_t limit = std::bit_cast<int32_t>(kTooFar);
  if (count > kCapacity) limit = std::min(limit, Threshold(keys, count, kCapacity));
  int near[kRoom];
  int found = 0;
  for (int i = 0; i < count; ++i) {  // without a branch: which are near cannot be predicted
    near[found] = i;
    found += keys[i] <= limit;
  }
  struct Ranked {
    uint64_t key;  // distance, then id
    int index;
  };
  Ranked sorted[kRoom];
  for (int i = 0; i < found; ++i) {
    const uint64_t key = static_cast<uint64_t>(keys[near[i]]) << 32 | things[near[i]].id;
    int slot = i;
    for (; slot > 0 && sorted[slot - 1].key > key; --slot) sorted[slot] = sorted[slot - 1];
    sorted[slot] = {key, near[i]};
  }
  const int size = std::min(found, kCapacity);
  for (int i = 0; i < size; ++i) chosen[i] = sorted[i].index;
  return size;
}

// Right, forward, up and closeness: what every row about a thing in the world starts with.
void WritePlace(const Camera& camera, const float position[3], float* row) {
  const float dx = position[0] - camera.x;
  const float dy = position[1] - camera.y;
  const float dz = position[2] - camera.z;
  row[0] = Linear(camera.Right(dx, dy), kNear);
  row[1] = Linear(camera.Forward(dx, dy), kNear);
  row[2] = Linear(dz, kHeight);
  row[3] = kClose / (kClose + std::sqrt(dx * dx + dy * dy + dz * dz));
}

float HealthOf(const Entity& entity) {
  return Clean(entity.max_health) > 0.0f ? Fraction(entity.health, entity.max_health)
                                         : Squash(std::max(Clean(entity.health), 0.0f), 100.0f);
}

float RankOf(const Entity& entity) {
  if (entity.flags & kEntityProjectile) return -1.0f;
  if (entity.flags & kEntityBoss) return 1.0f;
  return (entity.flags & kEntityElite) ? 0.5f : 0.0f;
}

void WriteEntities(const GameState& state, const Camera& camera, const ObservationView& out) {
  const int count =
      (state.fields & kHasEntities) ? std::min<int>(state.entity_count, kMaxEntities) : 0;
  const bool detail = state.fields & kHasEntityDetail;
  int chosen[kNearestEntities];
  const int size =
      SelectNearest<kNearestEntities, kMaxEntities>(state.entities, count, camera, chosen);
  if (out.entities_mask) {
    for (int i = 0; i < kNearestEntities; ++i) out.entities_mask[i] = i < size;
  }
  if (!out.entities) return;
  for (int i = 0; i < size; ++i) {
    const Entity& entity = state.entities[chosen[i]];
    float* row = out.entities + i * kEntityFeatures;
    WritePlace(camera, entity.position, row);
    row[6] = HealthOf(entity);
    if (!detail) {
      row[4] = row[5] = row[7] = row[8] = row[9] = row[10] = row[11] = 0.0f;
      continue;
    }
    const float vx = Clean(entity.velocity[0]);
    const float vy = Clean(entity.velocity[1]);
    row[4] = Linear(camera.Right(vx, vy), kSpeed);
    row[5] = Linear(camera.Forward(vx, vy), kSpeed);
    row[7] = RankOf(entity);
    for (int bit = 0; bit < 4; ++bit) row[8 + bit] = Flag(entity.kind >> bit & 1);
  }
  std::fill(out.entities + size * kEntityFeatures,
            out.entities + kNearestEntities * kEntityFeatures, 0.0f);
}

void WritePickups(const GameState& state, const Camera& camera, const ObservationView& out) {
  const int count =
      (state.fields & kHasPickups) ? std::min<int>(state.pickup_count, kMaxPickups) : 0;
  int chosen[kNearestPickups];
  const int size =
      SelectNearest<kNearestPickups, kMaxPickups>(state.pickups, count, camera, chosen);
  if (out.pickups_mask) {
    for (int i = 0; i < kNearestPickups; ++i) out.pickups_mask[i] = i < size;
  }
  if (!out.pickups) return;
  for (int i = 0; i < size; ++i) {
    const Pickup& pickup = state.pickups[chosen[i]];
    float* row = out.pickups + i * kPickupFeatures;
    WritePlace(camera, pickup.position, row);
    row[4] = Squash(pickup.value, 10.0f);
    for (int kind = 0; kind < static_cast<int>(PickupKind::kCount); ++kind) {
      row[5 + kind] = Flag(pickup.kind == kind);
    }
  }
  std::fill(out.pickups + size * kPickupFeatures, out.pickups + kNearestPickups * kPickupFeatures,
            0.0f);
}

// The choice that selects an offer, 0 if no enabled widget does.
int ChoiceOf(const GameState& state, int offer) {
  const int count =
      (state.fields & kHasWidgets) ? std::min<int>(state.widget_count, kMaxWidgets) : 0;
  for (int i = 0; i < count; ++i) {
    if (state.widgets[i].enabled && state.widgets[i].offer == offer + 1) return i + 1;
  }
  return 0;
}

void WriteOffer(const GameState& state, int index, float* row) {
  std::fill(row, row + kOfferFeatures, 0.0f);
  const int choice = ChoiceOf(state, index);
  row[17] = Flag(choice != 0);
  row[18] = static_cast<float>(choice) / kMaxWidgets;
  if (!(state.fields & kHasOfferDetail)) return;
  const Offer& offer = state.offers[index];
  if (offer.kind < static_cast<int>(OfferKind::kCount)) row[offer.kind] = 1.0f;
  if (offer.rarity < 5) row[4 + offer.rarity] = 1.0f;
  row[9] = Squash(offer.level, 4.0f);
  row[10] = Flag(offer.level == 1);
  for (int bit = 0; bit < 6; ++bit) row[11 + bit] = Flag(offer.item >> bit & 1);
  const int changes = std::min<int>(offer.change_count, kMaxStatChanges);
  row[19] = static_cast<float>(changes) / kMaxStatChanges;
  for (int i = 0; i < changes; ++i) {
    const StatChange& change = offer.changes[i];
    if (change.stat < kStatFeatures) row[20 + change.stat] += Squash(change.amount, 1.0f);
  }
}

void WriteOffers(const GameState& state, const ObservationView& out) {
  const int count = (state.fields & kHasOffers) ? std::min<int>(state.offer_count, kOfferRows) : 0;
  for (int i = 0; i < kOfferRows; ++i) {
    if (out.offers_mask) out.offers_mask[i] = i < count;
    if (!out.offers) continue;
    float* row = out.offers + i * kOfferFeatures;
    if (i < count) {
      WriteOffer(state, i, row);
    } else {
      std::fill(row, row + kOfferFeatures, 0.0f);
    }
  }
}

// Buttons do something only while playing, choices only where a widget can be selected. "Off" and
// choice 0 are always allowed.
void WriteActionMask(const GameState& state, uint8_t* mask) {
  const uint8_t buttons = !InMenu(state);
  for (int i = 0; i < kButtons; ++i) {
    mask[2 * i] = 1;
    mask[2 * i + 1] = buttons;
  }
  uint8_t* choices = mask + 2 * kButtons;
  const int count =
      (state.fields & kHasWidgets) ? std::min<int>(state.widget_count, kMaxWidgets) : 0;
  choices[0] = 1;
  for (int i = 0; i < kMaxWidgets; ++i) choices[i + 1] = i < count && state.widgets[i].enabled;
}

// The nearest boss, wherever it is: entity rows hold only what is near.
void WriteBoss(const GameState& state, const Camera& camera, float* row) {
  const Entity* boss = nullptr;
  float nearest = 0.0f;
  const int count = std::min<int>(state.entity_count, kMaxEntities);
  for (int i = 0; i < count; ++i) {
    const Entity& entity = state.entities[i];
    if (!(entity.flags & kEntityBoss) || (entity.flags & kEntityProjectile)) continue;
    const float dx = entity.position[0] - camera.x;
    const float dy = entity.position[1] - camera.y;
    const float squared = dx * dx + dy * dy;
    if (!(squared <= kTooFar)) continue;  // NaN too
    if (boss && (squared > nearest || (squared == nearest && entity.id >= boss->id))) continue;
    boss = &entity;
    nearest = squared;
  }
  if (!boss) return;
  const float dx = boss->position[0] - camera.x;
  const float dy = boss->position[1] - camera.y;
  row[0] = 1.0f;
  row[1] = Squash(camera.Right(dx, dy), kNear);
  row[2] = Squash(camera.Forward(dx, dy), kNear);
  row[3] = HealthOf(*boss);
}

void WriteProgress(const GameState& state, float* row) {
  row[7] = Squash(state.shield, 50.0f);
  row[8] = Fraction(state.xp, state.xp_next);
  row[9] = Squash(state.level, 20.0f);
  row[10] = Squash(state.gold, 100.0f);
  row[11] = Squash(static_cast<float>(state.kills), 200.0f);
  row[13] = Squash(state.score, 1000.0f);
}

void WriteLoadout(const GameState& state, float* row) {
  int tome_levels = 0;
  for (int i = 0; i < kLoadoutSlots; ++i) {
    const Slot& tome = state.tomes[i];
    if (tome.kind) tome_levels += tome.level;
    if (tome.kind >= 1 && tome.kind <= kTomeKinds) {
      row[64 + tome.kind - 1] = Squash(tome.level, 4.0f);
    }
    const Slot& weapon = state.weapons[i];
    if (weapon.kind >= 1 && weapon.kind <= kWeaponKinds) {
      row[36 + weapon.kind - 1] = Squash(weapon.level, 4.0f);
    }
  }
  row[35] = Squash(static_cast<float>(tome_levels), 8.0f);
}

void WriteState(const GameState& state, const Camera& camera, float* row) {
  std::fill(row, row + kStateFeatures, 0.0f);
  row[0] = Flag(state.playing);
  row[1] = Flag(state.paused);
  row[2] = Flag((state.fields & kHasYaw) && state.grounded);
  row[3] = Flag(InMenu(state));
  if (state.fields & kHasPlayer) {
    row[4] = Fraction(state.health, state.max_health);
    row[5] = Squash(state.health, 100.0f);
    row[6] = Squash(state.max_health, 100.0f);
    row[12] =
        Squash(std::fabs(state.time) <= kHuge ? static_cast<float>(state.time) : 0.0f, 300.0f);
    const float vx = Clean(state.velocity[0]);
    const float vy = Clean(state.velocity[1]);
    row[14] = Linear(camera.Right(vx, vy), kSpeed);
    row[15] = Linear(camera.Forward(vx, vy), kSpeed);
    row[16] = Linear(state.velocity[2], kSpeed);
    row[19] = Linear(camera.x, kMap);
    row[20] = Linear(camera.y, kMap);
    row[21] = Linear(camera.z, kMap);
  }
  if (state.fields & kHasProgress) WriteProgress(state, row);
  if (state.fields & kHasYaw) {
    row[17] = camera.sine;
    row[18] = camera.cosine;
  }
  if (state.fields & kHasRun) {
    row[22] = Linear(state.tier, 3.0f);
    if (state.character >= 1 && state.character <= kCharacters) row[22 + state.character] = 1.0f;
  }
  if (state.fields & kHasEntities) {
    row[29] = static_cast<float>(std::min<int>(state.entity_count, kMaxEntities)) / kMaxEntities;
  }
  if (state.fields & kHasPickups) {
    row[30] = static_cast<float>(std::min<int>(state.pickup_count, kMaxPickups)) / kMaxPickups;
  }
  if ((state.fields & kHasEntities) && (state.fields & kHasEntityDetail)) {
    WriteBoss(state, camera, row + 31);
  }
  if (state.fields & kHasLoadout) WriteLoadout(state, row);
  for (int bit = 0; bit < kCarriedBits; ++bit) row[52 + bit] = Flag(state.fields >> bit & 1);
}

}  // namespace

void Observe(const GameState& state, const ObservationView& out) {
  const Camera camera = CameraOf(state);
  if (out.state) WriteState(state, camera, out.state);
  if (out.entities || out.entities_mask) WriteEntities(state, camera, out);
  if (out.pickups || out.pickups_mask) WritePickups(state, camera, out);
  if (out.offers || out.offers_mask) WriteOffers(state, out);
  if (out.action_mask) WriteActionMask(state, out.action_mask);
  if (out.dt) *out.dt = std::clamp(Clean(state.dt), 0.0f, kMaxDt);
}

}  // namespace metabonk
