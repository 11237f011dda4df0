#include "play/steer.h"

#include <algorithm>
#include <cmath>

namespace metabonk::play {

namespace {

constexpr float kTimes[3] = {0.15f, 0.35f, 0.7f};  // seconds ahead
constexpr float kFalloff = 0.7f;                   // metres over which harm falls to a third
constexpr float kContact = 1.3f, kLargeContact = 2.2f;
constexpr float kElite = 1.6f, kBoss = 3.0f, kProjectile = 1.2f;
// For going on as before: less than what the way next to the wish loses, so that a wish which
// nothing opposes is followed.
constexpr float kInertia = 0.03f;
constexpr float kIdle = 0.02f;  // for standing, so that a draw is not a dance
constexpr float kLazy = 0.3f;   // against standing where one wants to go somewhere
constexpr float kWall = 1.2f;   // against walking into one: less than the wish and that
constexpr float kLook = 1.5f;   // metres ahead that must be free

// Cosine and sine of multiples of a sixteenth turn.
constexpr float kCosine[kWays] = {
    1.0f,  0.92387953f,  0.70710678f,  0.38268343f,  0.0f, -0.38268343f, -0.70710678f, -0.92387953f,
    -1.0f, -0.92387953f, -0.70710678f, -0.38268343f, 0.0f, 0.38268343f,  0.70710678f,  0.92387953f};

constexpr float Sine(int k) { return kCosine[(k + kWays - kWays / 4) % kWays]; }

// About exp(-u) for u >= 0; plain arithmetic, the same on every machine.
float Fall(float u) { return 1.0f / (1.0f + u * (1.0f + u * (0.5f + u * 0.16666667f))); }

bool IsFinite(const Entity& entity) {
  const float sum =
      entity.position[0] + entity.position[1] + entity.velocity[0] + entity.velocity[1];
  return sum - sum == 0.0f;
}

void Put(const Entity& entity, float x, float y, int at, Threats* out) {
  const bool large = entity.flags & (kEntityBoss | kEntityElite);
  out->x[at] = x;
  out->y[at] = y;
  out->vx[at] = entity.velocity[0];
  out->vy[at] = entity.velocity[1];
  out->contact[at] = large ? kLargeContact : kContact;
  out->weight[at] = (entity.flags & kEntityBoss)         ? kBoss
                    : (entity.flags & kEntityElite)      ? kElite
                    : (entity.flags & kEntityProjectile) ? kProjectile
                                                         : 1.0f;
}

float Wall(const GameState& state, const WalkGrid& grid, float x, float y) {
  const float room = Room(grid, state.position[0], state.position[1], x, y, kLook);
  return kWall * (1.0f - room / kLook);
}

}  // namespace

void FindThreats(const GameState& state, Threats* out) {
  out->count = 0;
  if (!(state.fields & kHasEntities)) return;
  const int count = std::min<int>(state.entity_count, kMaxEntities);
  float furthest = 0.0f;
  int worst = 0;
  for (int i = 0; i < count; ++i) {
    const Entity& entity = state.entities[i];
    const float x = entity.position[0] - state.position[0];
    const float y = entity.position[1] - state.position[1];
    const float square = x * x + y * y;
    if (!(square < Threats::kRange * Threats::kRange) || !IsFinite(entity)) continue;
    if (out->count < Threats::kMost) {
      if (square >= furthest) {
        furthest = square;
        worst = out->count;
      }
      Put(entity, x, y, out->count++, out);
      continue;
    }
    if (square >= furthest) continue;
    Put(entity, x, y, worst, out);
    furthest = 0.0f;
    for (int k = 0; k < out->count; ++k) {
      const float other = out->x[k] * out->x[k] + out->y[k] * out->y[k];
      if (other < furthest) continue;
      furthest = other;
      worst = k;
    }
  }
}

float Harm(const Threats& threats, float vx, float vy) {
  float harm = 0.0f;
  for (const float seconds : kTimes) {
    for (int i = 0; i < threats.count; ++i) {
      const float x = threats.x[i] + (threats.vx[i] - vx) * seconds;
      const float y = threats.y[i] + (threats.vy[i] - vy) * seconds;
      const float away = std::sqrt(x * x + y * y) - threats.contact[i];
      harm += threats.weight[i] * Fall(away > 0.0f ? away * (1.0f / kFalloff) : 0.0f);
    }
  }
  return harm * (1.0f / 3.0f);
}

Way Steer(const Wish& wish, const Threats& threats, const GameState& state, const WalkGrid* grid,
          const Way& last) {
  const bool wants = wish.x != 0.0f || wish.y != 0.0f;
  // Ways are counted from the wish, so that the first of them is the wish itself.
  const float base_x = wants ? wish.x : 1.0f, base_y = wants ? wish.y : 0.0f;
  Way best = {};
  float most = (wants ? -kLazy : kIdle) - wish.caution * Harm(threats, 0.0f, 0.0f);
  if (last.x == 0.0f && last.y == 0.0f) most += kInertia;
  for (int k = 0; k < kWays; ++k) {
    const float c = kCosine[k], s = Sine(k);
    const Way way = {k == 0 ? base_x : base_x * c - base_y * s,
                     k == 0 ? base_y : base_x * s + base_y * c};
    float score = wants ? c : 0.0f;
    score -= wish.caution * Harm(threats, way.x * kWalkSpeed, way.y * kWalkSpeed);
    score += kInertia * (way.x * last.x + way.y * last.y);
    if (grid != nullptr) score -= Wall(state, *grid, way.x, way.y);
    if (score > most) {
      most = score;
      best = way;
    }
  }
  return best;
}

}  // namespace metabonk::play
