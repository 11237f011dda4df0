#include "play/surroundings.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace metabonk::play {

namespace {

constexpr double kBinsPerRadian = kCompassBins / 6.283185307179586;
constexpr double kFree = 0.5;  // threat below which a direction is all but free
constexpr double kBoss = 3.0, kElite = 1.6;
constexpr double kHalfWay = 6.0;  // metres at which what lies counts half
constexpr double kCost = 0.15;    // of an ordinary enemy in the way to what is used

// What lies is worth collecting: 0 of what stands, and of hearts, which are for who is hurt.
double Lying(PickupKind kind) {
  switch (kind) {
    case PickupKind::kXp:
      return 1.0;
    case PickupKind::kGold:
      return 0.6;
    case PickupKind::kMagnet:
      return 3.0;
    default:
      return 0.0;
  }
}

// What stands is worth using: 0 of what lies.
double Used(PickupKind kind) {
  switch (kind) {
    case PickupKind::kChest:
      return 1.2;
    case PickupKind::kShrine:
      return 0.9;
    case PickupKind::kPortal:
      return 3.0;
    default:
      return 0.0;
  }
}

struct Way {
  double away;
  int bin;
};

// False for what is nowhere.
bool Towards(const GameState& state, const float* position, Way* way) {
  const double x = static_cast<double>(position[0]) - static_cast<double>(state.position[0]);
  const double y = static_cast<double>(position[1]) - static_cast<double>(state.position[1]);
  way->away = std::sqrt(x * x + y * y);
  if (!std::isfinite(way->away)) return false;
  way->bin = static_cast<int>(std::lrint(std::atan2(y, x) * kBinsPerRadian)) & (kCompassBins - 1);
  return true;
}

double Weight(uint8_t flags) {
  return flags & kEntityBoss ? kBoss : flags & kEntityElite ? kElite : 1.0;
}

void Enemies(const GameState& state, double near, Surroundings* found) {
  const int count =
      state.fields & kHasEntities ? std::min<int>(state.entity_count, kMaxEntities) : 0;
  double nearest = std::numeric_limits<double>::infinity();
  Compass threat = {};
  for (int i = 0; i < count; ++i) {
    const Entity& entity = state.entities[i];
    Way way;
    if (!Towards(state, entity.position, &way)) continue;
    const double share = way.away / near;
    threat[static_cast<size_t>(way.bin)] += Weight(entity.flags) / (1.0 + share * share);
    found->enemies += share < 2.0;
    if (entity.flags & kEntityProjectile) continue;
    found->opponents = true;
    if (!(entity.flags & kEntityBoss) || way.away >= nearest) continue;
    found->boss = true;
    found->boss_id = entity.id;
    nearest = way.away;
  }
  for (size_t i = 0; i < kCompassBins; ++i) {
    const double sides =
        threat[(i + kCompassBins - 1) % kCompassBins] + threat[(i + 1) % kCompassBins];
    found->danger += threat[i];
    found->sectors[i] = threat[i] + 0.5 * sides;
    found->exits += found->sectors[i] < kFree;
  }
}

void FindGap(Surroundings* found) {
  double x = 0.0, y = 0.0;  // where most of what threatens is
  Compass east, north;
  for (size_t i = 0; i < kCompassBins; ++i) {
    east[i] = std::cos(static_cast<double>(i) / kBinsPerRadian);
    north[i] = std::sin(static_cast<double>(i) / kBinsPerRadian);
    x += east[i] * found->sectors[i];
    y += north[i] * found->sectors[i];
  }
  const double half = 0.5 / (std::sqrt(x * x + y * y) + 1e-6);
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < kCompassBins; ++i) {
    const double toward = found->sectors[i] + half * (east[i] * x + north[i] * y);
    if (toward >= least) continue;
    least = toward;
    found->gap = static_cast<int>(i);
  }
}

// What can be paid: chests cost gold, all else nothing.
bool Paid(const Pickup& pickup, double gold) {
  return static_cast<PickupKind>(pickup.kind) != PickupKind::kChest ||
         static_cast<double>(pickup.value) <= gold;
}

void Things(const GameState& state, double far, Surroundings* found) {
  const int count = state.fields & kHasPickups ? std::min<int>(state.pickup_count, kMaxPickups) : 0;
  double shortest = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < count; ++i) {
    const Pickup& pickup = state.pickups[i];
    Way way;
    if (!Towards(state, pickup.position, &way)) continue;
    const auto bin = static_cast<size_t>(way.bin);
    const double blocked = found->sectors[bin];
    Candidate thing = {true, pickup.id, static_cast<PickupKind>(pickup.kind), way.away, blocked, 0};
    const double lying = Lying(thing.kind), used = Used(thing.kind);
    if (lying > 0.0) {
      const double worth = lying / (1.0 + way.away / kHalfWay);
      found->pulls[bin] += worth;
      found->pull += worth / (1.0 + blocked);
    }
    const double detour = way.away * (1.0 + blocked);
    if (thing.kind == PickupKind::kHeal && detour < shortest) {
      shortest = detour;
      found->heart = thing;
    }
    if (!(used > 0.0) || !Paid(pickup, found->gold)) continue;
    thing.worth = used / (1.0 + way.away / far) - kCost * blocked;
    if (thing.worth <= most) continue;
    most = thing.worth;
    found->use = thing;
  }
}

}  // namespace

bool LookAround(const GameState& state, double near, double far, Surroundings* found) {
  *found = {};
  if (!std::isfinite(state.position[0]) || !std::isfinite(state.position[1]) ||
      !std::isfinite(state.health)) {
    return false;
  }
  found->gold = state.fields & kHasProgress ? static_cast<double>(state.gold)
                                            : std::numeric_limits<double>::infinity();
  const double most = static_cast<double>(state.max_health);
  found->health = most > 0.0 ? std::clamp(static_cast<double>(state.health) / most, 0.0, 1.0) : 1.0;
  Enemies(state, near, found);
  FindGap(found);
  Things(state, far, found);
  return true;
}

}  // namespace metabonk::play
