#include "play/aim.h"

#include <algorithm>
#include <cmath>

#include "games/arena/content.h"
#include "play/clock.h"
#include "support/math.h"

namespace metabonk::play {

namespace {

constexpr float kTwoPi = 6.283185307f;
constexpr float kStay = 1.3f;       // how much better another choice must be
constexpr float kRoomMost = 14.0f;  // metres of room that count in a retreat
constexpr float kReach = 4.0f;      // of weapons that are not known

struct Offset {
  float x, y, length;
};

Offset To(const GameState& state, const float* position) {
  const float x = position[0] - state.position[0], y = position[1] - state.position[1];
  return {x, y, std::sqrt(x * x + y * y)};
}

bool IsNear(const Offset& offset) { return offset.length < 1e4f; }  // false for NaN

const Entity* EntityOf(const GameState& state, uint32_t id) {
  if (!(state.fields & kHasEntities)) return nullptr;
  const int count = std::min<int>(state.entity_count, kMaxEntities);
  for (int i = 0; i < count; ++i) {
    if (state.entities[i].id == id) return &state.entities[i];
  }
  return nullptr;
}

const Pickup* PickupOf(const GameState& state, uint32_t id) {
  if (!(state.fields & kHasPickups)) return nullptr;
  const int count = std::min<int>(state.pickup_count, kMaxPickups);
  for (int i = 0; i < count; ++i) {
    if (state.pickups[i].id == id) return &state.pickups[i];
  }
  return nullptr;
}

void Place(const float* position, float stop, float caution, Aim* aim) {
  *aim = {.place = true, .x = position[0], .y = position[1], .stop = stop, .caution = caution};
}

void Direction(const Way& way, float caution, Aim* aim) {
  *aim = {.x = way.x, .y = way.y, .caution = caution};
}

// Whether something lies in the direction that a directive names, if it names one.
bool InDirection(const Directive& directive, const Offset& offset) {
  if (directive.kind != TargetKind::kCompass) return true;
  const Way way = CompassWay(directive.target);
  return offset.x * way.x + offset.y * way.y > 0.5f * offset.length;
}

// The distance at which what is carried reaches best.
float Distance(const GameState& state, bool boss) {
  float reach = 0.0f;
  if (state.fields & kHasLoadout) {
    for (const Slot& slot : state.weapons) {
      if (slot.kind == 0 || slot.kind > arena::kWeaponCount) continue;
      reach = std::max(reach, arena::kWeaponDefs[slot.kind - 1].reach);
    }
  }
  if (reach <= 0.0f) reach = kReach;
  return boss ? std::clamp(0.85f * reach, 2.5f, 7.0f) : std::clamp(0.75f * reach, 1.8f, 6.0f);
}

void Around(const Entity& entity, const GameState& state, Aim* aim) {
  Place(entity.position, 0.0f, 4.0f, aim);
  aim->keep = Distance(state, entity.flags & kEntityBoss);
}

// The nearest enemy, or the one chosen before while none is much nearer.
const Entity* Opponent(const Directive& directive, const Sight& sight, Choices* choices) {
  const GameState& state = sight.state;
  if (!(state.fields & kHasEntities)) return nullptr;
  const int count = std::min<int>(state.entity_count, kMaxEntities);
  const Entity* best = nullptr;
  float least = 0.0f;
  for (int i = 0; i < count; ++i) {
    const Entity& entity = state.entities[i];
    if (entity.flags & kEntityProjectile) continue;
    const Offset offset = To(state, entity.position);
    if (!IsNear(offset) || !InDirection(directive, offset)) continue;
    const bool same = choices->chosen && choices->id == entity.id;
    const float cost = (offset.length + 1.0f) / (same ? kStay : 1.0f);
    if (best != nullptr && cost >= least) continue;
    best = &entity;
    least = cost;
  }
  choices->chosen = best != nullptr;
  choices->id = best != nullptr ? best->id : 0;
  return best;
}

// What lying things are worth; 0 of what stands.
float Worth(const Pickup& pickup, const GameState& state) {
  const float hurt =
      state.max_health > 0.0f ? 1.0f - std::clamp(state.health / state.max_health, 0.0f, 1.0f) : 0;
  switch (static_cast<PickupKind>(pickup.kind)) {
    case PickupKind::kXp:
      return 0.6f + 0.2f * std::clamp(pickup.value, 0.0f, 5.0f);
    case PickupKind::kGold:
      return 0.5f;
    case PickupKind::kHeal:
      return 0.2f + 8.0f * hurt;
    case PickupKind::kMagnet:
      return 4.0f;
    default:
      return 0.0f;
  }
}

// What standing things are worth that interact uses; 0 of what lies, and of what costs too much.
float Use(const Pickup& pickup, const GameState& state) {
  switch (static_cast<PickupKind>(pickup.kind)) {
    case PickupKind::kChest:
      return !(state.fields & kHasProgress) || state.gold >= pickup.value ? 4.0f : 0.0f;
    case PickupKind::kShrine:
      return 2.0f;
    case PickupKind::kPortal:
      return 8.0f;
    default:
      return 0.0f;
  }
}

// The best of what lies or stands around: worth against the way there and what is near it.
template <typename Value>
const Pickup* Best(const Directive& directive, const Sight& sight, Choices* choices, float half,
                   Value value) {
  const GameState& state = sight.state;
  if (!(state.fields & kHasPickups)) return nullptr;
  const int count = std::min<int>(state.pickup_count, kMaxPickups);
  const Pickup* best = nullptr;
  float most = 0.0f;
  for (int i = 0; i < count; ++i) {
    const Pickup& pickup = state.pickups[i];
    const Offset offset = To(state, pickup.position);
    if (!IsNear(offset) || !InDirection(directive, offset)) continue;
    float worth = value(pickup, state) / (1.0f + offset.length / half);
    if (worth <= 0.0f) continue;
    for (int k = 0; k < sight.threats.count; ++k) {
      const float x = sight.threats.x[k] - offset.x, y = sight.threats.y[k] - offset.y;
      if (x * x + y * y < 9.0f) worth *= 0.8f;
    }
    if (choices->chosen && choices->id == pickup.id) worth *= kStay;
    if (worth <= most) continue;
    best = &pickup;
    most = worth;
  }
  choices->chosen = best != nullptr;
  choices->id = best != nullptr ? best->id : 0;
  return best;
}

// How much of what threatens is in the way of going somewhere.
float Crowd(const Threats& threats, const Way& way) {
  float crowd = 0.0f;
  for (int i = 0; i < threats.count; ++i) {
    const float along = threats.x[i] * way.x + threats.y[i] * way.y;
    const float across = threats.x[i] * way.y - threats.y[i] * way.x;
    const float near = 1.0f / (1.0f + 0.25f * across * across);
    crowd += threats.weight[i] * near / (1.0f + (along > 0.0f ? 0.15f * along : -2.0f * along));
  }
  return crowd;
}

// The way of a retreat: room to go on, few in the way, and what the directive prefers.
void Retreat(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim) {
  const GameState& state = sight.state;
  if (choices->heading < 0 || sight.now >= choices->heading_until) {
    Way preferred = {};
    if (directive.kind == TargetKind::kCompass) preferred = CompassWay(directive.target);
    const Entity* from =
        directive.kind == TargetKind::kEntity ? EntityOf(state, directive.target) : nullptr;
    if (from != nullptr) {
      const Offset offset = To(state, from->position);
      if (IsNear(offset) && offset.length > 1e-3f) {
        preferred = {-offset.x / offset.length, -offset.y / offset.length};
      }
    }
    int best = 0;
    float most = -1e9f;
    for (int k = 0; k < kWays; ++k) {
      const Way way = CompassWay(static_cast<uint32_t>(k));
      const float room = sight.grid == nullptr ? kRoomMost
                                               : Room(*sight.grid, state.position[0],
                                                      state.position[1], way.x, way.y, kRoomMost);
      float score = 1.5f * room / kRoomMost - 0.5f * Crowd(sight.threats, way);
      score += 1.0f * (preferred.x * way.x + preferred.y * way.y);
      if (room < 3.0f) score -= 1.0f;
      if (k == choices->heading) score += 0.25f;
      if (score <= most) continue;
      most = score;
      best = k;
    }
    choices->heading = best;
    choices->heading_until = sight.now + 250 * kMillisecond;
  }
  Direction(CompassWay(static_cast<uint32_t>(choices->heading)), 7.0f, aim);
}

// Where one can stand nearest to (x, y); false where that is outside or within walls.
bool Reachable(const WalkGrid* grid, float* x, float* y) {
  if (grid == nullptr) return true;
  if (!(*x >= 0.0f && *y >= 0.0f && *x < grid->size && *y < grid->size)) return false;
  const int open = NearestOpen(*grid, CellOf(*x, *y), 3);
  if (open < 0) return false;
  *x = MiddleX(open);
  *y = MiddleY(open);
  return true;
}

// The place around that nobody saw for longest, near ones first.
void ChoosePlace(const Directive& directive, const Sight& sight, Choices* choices) {
  const float x = sight.state.position[0], y = sight.state.position[1];
  const float place_x = std::floor(x / Visited::kPlace), place_y = std::floor(y / Visited::kPlace);
  float most = -1e9f;
  for (int step = 0; step < 13 * 13; ++step) {
    float to_x = (place_x + static_cast<float>(step % 13 - 6) + 0.5f) * Visited::kPlace;
    float to_y = (place_y + static_cast<float>(step / 13 - 6) + 0.5f) * Visited::kPlace;
    const float dx = to_x - x, dy = to_y - y, away = std::sqrt(dx * dx + dy * dy);
    const float score = sight.visited.Since(to_x, to_y, sight.now) - 6.0f * away;
    const bool here = step == 6 * 13 + 6;
    if (here || score <= most || !InDirection(directive, {dx, dy, away})) continue;
    if (!Reachable(sight.grid, &to_x, &to_y)) continue;
    most = score;
    choices->exploring = true;
    choices->explore_x = to_x;
    choices->explore_y = to_y;
    choices->explore_until = sight.now + 12 * kSecond;
  }
}

void Explore(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim) {
  if (choices->exploring) {
    const float dx = choices->explore_x - sight.state.position[0];
    const float dy = choices->explore_y - sight.state.position[1];
    if (dx * dx + dy * dy < 9.0f || sight.now >= choices->explore_until) choices->exploring = false;
  }
  if (!choices->exploring) ChoosePlace(directive, sight, choices);
  if (choices->exploring) {
    const float place[2] = {choices->explore_x, choices->explore_y};
    Place(place, 1.0f, 4.0f, aim);
  } else {  // nothing but walls that way
    Direction(directive.kind == TargetKind::kCompass ? CompassWay(directive.target) : Way{}, 4.0f,
              aim);
  }
}

bool Move(const Directive& directive, const Sight& sight, Aim* aim) {
  if (directive.kind == TargetKind::kCompass) {
    Direction(CompassWay(directive.target), 3.0f, aim);
    return true;
  }
  if (directive.kind == TargetKind::kEntity) {
    const Entity* entity = EntityOf(sight.state, directive.target);
    if (entity != nullptr) Place(entity->position, 1.5f, 3.0f, aim);
    return entity != nullptr;
  }
  const Pickup* pickup = PickupOf(sight.state, directive.target);
  if (pickup != nullptr) Place(pickup->position, 0.4f, 3.0f, aim);
  return pickup != nullptr;
}

bool Attack(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim) {
  const Entity* entity = directive.kind == TargetKind::kEntity
                             ? EntityOf(sight.state, directive.target)
                             : Opponent(directive, sight, choices);
  if (entity != nullptr) {
    Around(*entity, sight.state, aim);
    return true;
  }
  if (directive.kind != TargetKind::kCompass) return false;
  Direction(CompassWay(directive.target), 4.0f, aim);  // where somebody is said to be
  return true;
}

bool Defend(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim) {
  if (directive.kind == TargetKind::kPickup) {
    const Pickup* pickup = PickupOf(sight.state, directive.target);
    if (pickup == nullptr) return false;
    Place(pickup->position, 1.2f, 5.0f, aim);
    return true;
  }
  if (!choices->anchored) {
    choices->anchored = true;
    choices->anchor_x = sight.state.position[0];
    choices->anchor_y = sight.state.position[1];
  }
  const float place[2] = {choices->anchor_x, choices->anchor_y};
  Place(place, 1.5f, 5.0f, aim);
  return true;
}

bool Collect(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim) {
  const Pickup* pickup = directive.kind == TargetKind::kPickup
                             ? PickupOf(sight.state, directive.target)
                             : Best(directive, sight, choices, 6.0f, Worth);
  if (pickup != nullptr) {
    Place(pickup->position, 0.3f, 4.0f, aim);
    return true;
  }
  if (directive.kind != TargetKind::kCompass) return false;
  Direction(CompassWay(directive.target), 4.0f, aim);
  return true;
}

bool Interact(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim) {
  const Pickup* pickup = directive.kind == TargetKind::kPickup
                             ? PickupOf(sight.state, directive.target)
                             : Best(directive, sight, choices, 10.0f, Use);
  if (pickup == nullptr) return false;
  Place(pickup->position, 1.2f, 4.0f, aim);
  aim->press = true;
  return true;
}

}  // namespace

void Visited::Forget() { std::fill_n(when_, kSide * kSide, int64_t{0}); }

int Visited::At(float x, float y) {
  const auto index = [](float value) {
    const float place = std::floor(value / kPlace);
    // Far from anywhere, and NaN, is the first place.
    return place > -1e6f && place < 1e6f ? static_cast<int>(place) & (kSide - 1) : 0;
  };
  return index(y) * kSide + index(x);
}

void Visited::Mark(float x, float y, int64_t now) { when_[At(x, y)] = now; }

float Visited::Since(float x, float y, int64_t now) const {
  const int64_t when = when_[At(x, y)];
  if (when == 0) return kNever;
  return std::min(static_cast<float>(now - when) * 1e-9f, kNever);
}

Way CompassWay(uint32_t bin) {
  Way way;
  SinCos(kTwoPi * static_cast<float>(bin) / static_cast<float>(kCompassBins), &way.y, &way.x);
  return way;
}

bool FindAim(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim) {
  switch (directive.action) {
    case DirectiveAction::kMove:
      return Move(directive, sight, aim);
    case DirectiveAction::kAttack:
      return Attack(directive, sight, choices, aim);
    case DirectiveAction::kDefend:
      return Defend(directive, sight, choices, aim);
    case DirectiveAction::kRetreat:
      if (directive.kind == TargetKind::kPickup) {
        const Pickup* pickup = PickupOf(sight.state, directive.target);
        if (pickup != nullptr) {
          Place(pickup->position, 0.3f, 7.0f, aim);
          return true;
        }
      }
      Retreat(directive, sight, choices, aim);
      return true;
    case DirectiveAction::kCollect:
      return Collect(directive, sight, choices, aim);
    case DirectiveAction::kExplore:
      Explore(directive, sight, choices, aim);
      return true;
    case DirectiveAction::kInteract:
      return Interact(directive, sight, choices, aim);
    default:
      return false;
  }
}

}  // namespace metabonk::play
