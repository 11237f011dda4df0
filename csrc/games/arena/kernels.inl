// The hot loops of a tick (kernels.h), compiled once per instruction set by kernels_*.cc, which
// define KERNELS_NAMESPACE. Loops over whole groups of kLanes so that compilers vectorise them
// without remainders; lanes beyond the count hold stale but finite numbers and are harmless.
#include "games/arena/kernels.h"
#include "games/arena/numbers.h"
#include "games/arena/steering.h"

namespace metabonk::arena {
namespace KERNELS_NAMESPACE {

inline int Padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Index of the cell of one metre that a place lies in, the nearest one for places outside.
inline int32_t CellOf(float x, float y) {
  constexpr float kLast = kGridCells - 1.0f;
  const float low_x = x > 0.0f ? x : 0.0f;
  const float low_y = y > 0.0f ? y : 0.0f;
  const int32_t cell_x = static_cast<int32_t>(low_x < kLast ? low_x : kLast);
  const int32_t cell_y = static_cast<int32_t>(low_y < kLast ? low_y : kLast);
  return cell_y * kGridCells + cell_x;
}

inline int32_t StripBelow(float y) {
  constexpr float kLast = kStrips - 1.0f;
  const float strip = y * (1.0f / kStripMetres);
  const float low = strip > 0.0f ? strip : 0.0f;
  return static_cast<int32_t>(low < kLast ? low : kLast);
}

void CountDown(Enemies& enemies) {
  const int n = Padded(enemies.count);
  float* __restrict timer = enemies.timer;
  float* __restrict slow = enemies.slow;
  for (int i = 0; i < n; ++i) {
    timer[i] -= kTickSeconds;
    const float left = slow[i] - kTickSeconds;
    slow[i] = left > 0.0f ? left : 0.0f;
  }
  uint8_t* __restrict flash = enemies.flash;
  for (int i = 0; i < n; ++i) flash[i] = static_cast<uint8_t>(flash[i] - (flash[i] > 0));
}

void Measure(const Enemies& enemies, const Player& player, Scratch& scratch) {
  const int n = Padded(enemies.count);
  const float x = player.x;
  const float y = player.y;
  const float* __restrict at_x = enemies.x;
  const float* __restrict at_y = enemies.y;
  float* __restrict toward_x = scratch.toward_x;
  float* __restrict toward_y = scratch.toward_y;
  float* __restrict distance = scratch.distance;
  int32_t* __restrict strip = scratch.strip;
  for (int i = 0; i < n; ++i) {
    const float dx = x - at_x[i];
    const float dy = y - at_y[i];
    const float d = Sqrt(dx * dx + dy * dy);
    const float inverse = 1.0f / (d > 0.01f ? d : 0.01f);
    toward_x[i] = dx * inverse;
    toward_y[i] = dy * inverse;
    distance[i] = d;
    strip[i] = StripBelow(at_y[i]);
  }
}

void Steer(const Enemies& enemies, float speed_scale, Scratch& scratch) {
  const int n = Padded(enemies.count);
  // By kind and phase: loads that depend on data, kept apart from the arithmetic below.
  alignas(64) float toward[kMaxEnemies];
  alignas(64) float strafe[kMaxEnemies];
  alignas(64) float keep[kMaxEnemies];
  alignas(64) float speed[kMaxEnemies];
  for (int i = 0; i < n; ++i) {
    const int row = (enemies.kind[i] & (kEnemyKindsMax - 1)) * kPhases + enemies.phase[i];
    toward[i] = kSteering.toward[row];
    strafe[i] = kSteering.strafe[row];
    keep[i] = kSteering.keep[row];
    speed[i] = kSteering.speed[row];
    scratch.acceleration[i] = kSteering.acceleration[row];
    scratch.hover[i] = kSteering.hover[row];
    scratch.radius[i] = kSteering.radius[row];
  }
  for (int i = 0; i < n; ++i) {
    const float size = (enemies.flags[i] & kEntityElite) ? kWave.elite_size : 1.0f;
    scratch.radius[i] *= size;
  }
  const float* __restrict toward_x = scratch.toward_x;
  const float* __restrict toward_y = scratch.toward_y;
  const float* __restrict distance = scratch.distance;
  const float* __restrict slow = enemies.slow;
  const uint32_t* __restrict id = enemies.id;
  float* __restrict wish_x = scratch.wish_x;
  float* __restrict wish_y = scratch.wish_y;
  for (int i = 0; i < n; ++i) {
    const float gap = (distance[i] - keep[i]) * 0.5f;
    const float raised = gap > -1.0f ? gap : -1.0f;
    const float ahead = toward[i] * (raised < 1.0f ? raised : 1.0f);
    const float across = (id[i] & 1) ? strafe[i] : -strafe[i];
    const float pace = speed[i] * speed_scale * (slow[i] > 0.0f ? 0.5f : 1.0f);
    wish_x[i] = (toward_x[i] * ahead - toward_y[i] * across) * pace;
    wish_y[i] = (toward_y[i] * ahead + toward_x[i] * across) * pace;
  }
}

constexpr float kStiffness = 14.0f;  // metres a second per square metre of overlap
constexpr float kPushLimit = 5.0f;   // metres a second

// Neighbours in the sorted order are pushed together, group by group, every other tick: a push
// lasts until the next one.
inline bool IsTurn(int group, uint64_t tick) {
  return ((static_cast<uint64_t>(group) ^ tick) & 1) == 0;
}

inline float PushOf(float sum) {
  const float push = sum * kStiffness;
  const float low = push > -kPushLimit ? push : -kPushLimit;
  return low < kPushLimit ? low : kPushLimit;
}

#ifdef KERNELS_PLAIN

// One enemy after the other against those near it. The sums run over the others in sorted order, as
// below, and whoever is too far adds an exact zero, so both give the same bits.
void Separate(Enemies& enemies, uint64_t tick, const Scratch& scratch) {
  const StripIndex& strips = scratch.strips;
  for (int i = 0; i < enemies.count; ++i) {
    if (!IsTurn(i / kLanes, tick)) continue;
    const float reach = strips.radius[i] + kPushRadius;
    const int low = strips.start[StripBelow(strips.y[i] - reach)];
    const int high = strips.start[StripBelow(strips.y[i] + reach) + 1];
    float sum_x = 0.0f;
    float sum_y = 0.0f;
    for (int j = low; j < high; ++j) {
      const float dx = strips.x[i] - strips.x[j];
      const float dy = strips.y[i] - strips.y[j];
      const float both = strips.radius[i] + Min(strips.radius[j], kPushRadius);
      const float overlap = both * both - (dx * dx + dy * dy);
      if (overlap <= 0.0f) continue;
      sum_x += dx * overlap;
      sum_y += dy * overlap;
    }
    enemies.push_x[strips.enemy[i]] = PushOf(sum_x);
    enemies.push_y[strips.enemy[i]] = PushOf(sum_y);
  }
}

#else

// Pairs: a whole group against one other enemy at a time, so that each sum runs over the others in
// sorted order on every instruction set.
void Separate(Enemies& enemies, uint64_t tick, const Scratch& scratch) {
  const StripIndex& strips = scratch.strips;
  const int count = enemies.count;
  alignas(64) float sum_x[kLanes];
  alignas(64) float sum_y[kLanes];
  for (int first = 0; first < count; first += kLanes) {
    if (!IsTurn(first / kLanes, tick)) continue;
    const int last = first + kLanes < count ? first + kLanes : count;
    float widest = 0.0f;
    float lowest = strips.y[first];
    float highest = lowest;
    for (int i = first; i < last; ++i) {
      widest = Max(widest, strips.radius[i]);
      lowest = Min(lowest, strips.y[i]);
      highest = Max(highest, strips.y[i]);
    }
    const float reach = widest + kPushRadius;
    const int low = strips.start[StripBelow(lowest - reach)];
    const int high = strips.start[StripBelow(highest + reach) + 1];
    const float* __restrict x = strips.x + first;
    const float* __restrict y = strips.y + first;
    const float* __restrict r = strips.radius + first;
    for (int i = 0; i < kLanes; ++i) sum_x[i] = sum_y[i] = 0.0f;
    for (int j = low; j < high; ++j) {
      const float other_x = strips.x[j];
      const float other_y = strips.y[j];
      const float other_r = Min(strips.radius[j], kPushRadius);
      for (int i = 0; i < kLanes; ++i) {
        const float dx = x[i] - other_x;
        const float dy = y[i] - other_y;
        const float both = r[i] + other_r;
        const float overlap = both * both - (dx * dx + dy * dy);
        const float weight = overlap > 0.0f ? overlap : 0.0f;
        sum_x[i] += dx * weight;
        sum_y[i] += dy * weight;
      }
    }
    for (int i = 0; i < kLanes; ++i) {
      sum_x[i] = PushOf(sum_x[i]);
      sum_y[i] = PushOf(sum_y[i]);
    }
    for (int i = first; i < last; ++i) {
      enemies.push_x[strips.enemy[i]] = sum_x[i - first];
      enemies.push_y[strips.enemy[i]] = sum_y[i - first];
    }
  }
}

#endif

void Accelerate(Enemies& enemies, Scratch& scratch) {
  const int n = Padded(enemies.count);
  const float* __restrict x = enemies.x;
  const float* __restrict y = enemies.y;
  float* __restrict vx = enemies.vx;
  float* __restrict vy = enemies.vy;
  const float* __restrict wish_x = scratch.wish_x;
  const float* __restrict wish_y = scratch.wish_y;
  const float* __restrict acceleration = scratch.acceleration;
  const float* __restrict push_x = enemies.push_x;
  const float* __restrict push_y = enemies.push_y;
  float* __restrict next_x = scratch.next_x;
  float* __restrict next_y = scratch.next_y;
  int32_t* __restrict next_cell = scratch.next_cell;
  const float* __restrict toward_x = scratch.toward_x;
  const float* __restrict toward_y = scratch.toward_y;
  const float* __restrict distance = scratch.distance;
  const float* __restrict radius = scratch.radius;
  for (int i = 0; i < n; ++i) {
    const float step = acceleration[i] * kTickSeconds;
    const float change_x = wish_x[i] - vx[i];
    const float change_y = wish_y[i] - vy[i];
    const float low_x = change_x > -step ? change_x : -step;
    const float low_y = change_y > -step ? change_y : -step;
    vx[i] += low_x < step ? low_x : step;
    vy[i] += low_y < step ? low_y : step;
    // Bodies do not stand in the player's: near enough to touch, and no nearer.
    const float inside = radius[i] * 0.8f + kBody.radius * 0.75f - distance[i];
    const float back = inside > 0.0f ? inside * 0.3f : 0.0f;
    next_x[i] = x[i] + (vx[i] + push_x[i]) * kTickSeconds - toward_x[i] * back;
    next_y[i] = y[i] + (vy[i] + push_y[i]) * kTickSeconds - toward_y[i] * back;
    next_cell[i] = CellOf(next_x[i], next_y[i]);
  }
}

void Settle(Enemies& enemies, const Terrain& terrain, Scratch& scratch) {
  const int n = Padded(enemies.count);
  alignas(64) int32_t cell[kMaxEnemies];
  alignas(64) float part_x[kMaxEnemies];
  alignas(64) float part_y[kMaxEnemies];
  alignas(64) float h00[kMaxEnemies];
  alignas(64) float h10[kMaxEnemies];
  alignas(64) float h01[kMaxEnemies];
  alignas(64) float h11[kMaxEnemies];
  const float* __restrict x = enemies.x;
  const float* __restrict y = enemies.y;
  constexpr float kLast = kGridCells - 0.001f;
  for (int i = 0; i < n; ++i) {
    const float low_x = x[i] > 0.0f ? x[i] : 0.0f;
    const float low_y = y[i] > 0.0f ? y[i] : 0.0f;
    const float inside_x = low_x < kLast ? low_x : kLast;
    const float inside_y = low_y < kLast ? low_y : kLast;
    const int32_t cell_x = static_cast<int32_t>(inside_x);
    const int32_t cell_y = static_cast<int32_t>(inside_y);
    part_x[i] = inside_x - static_cast<float>(cell_x);
    part_y[i] = inside_y - static_cast<float>(cell_y);
    cell[i] = cell_y * kGridVertices + cell_x;
  }
  for (int i = 0; i < n; ++i) {
    const float* h = terrain.height + cell[i];
    h00[i] = h[0];
    h10[i] = h[1];
    h01[i] = h[kGridVertices];
    h11[i] = h[kGridVertices + 1];
  }
  float* __restrict z = enemies.z;
  float* __restrict vz = enemies.vz;
  const float* __restrict hover = scratch.hover;
  for (int i = 0; i < n; ++i) {
    const float below = h00[i] + (h10[i] - h00[i]) * part_x[i];
    const float above = h01[i] + (h11[i] - h01[i]) * part_x[i];
    const float rest = below + (above - below) * part_y[i] + hover[i];
    // Up ramps at once, down by falling; what hovers sinks slowly because its rest is higher.
    const float speed = vz[i] - kBody.gravity * kTickSeconds;
    const float fallen = z[i] + speed * kTickSeconds;
    const bool landed = fallen <= rest;
    z[i] = landed ? rest : fallen;
    vz[i] = landed ? 0.0f : speed;
  }
}

int Overlaps(const StripIndex& strips, float x, float y, float radius, int32_t* found) {
  constexpr float kWidest = 2.0f;  // radius of the widest enemy
  const float reach = radius + kWidest;
  const int low = strips.start[StripBelow(y - reach)];
  const int high = strips.start[StripBelow(y + reach) + 1];
  int count = 0;
  for (int first = low; first < high; first += kLanes) {
    alignas(64) int32_t hit[kLanes];
    int32_t any = 0;
    const float* __restrict at_x = strips.x + first;
    const float* __restrict at_y = strips.y + first;
    const float* __restrict r = strips.radius + first;
    const int32_t left = high - first;
    for (int i = 0; i < kLanes; ++i) {
      const float dx = at_x[i] - x;
      const float dy = at_y[i] - y;
      const float both = r[i] + radius;
      const int32_t overlap = (dx * dx + dy * dy < both * both) & (i < left);
      hit[i] = overlap;
      any |= overlap;
    }
    if (any == 0) continue;
    for (int i = 0; i < kLanes; ++i) {
      if (hit[i]) found[count++] = strips.enemy[first + i];
    }
  }
  return count;
}

}  // namespace KERNELS_NAMESPACE
}  // namespace metabonk::arena
