// Small arithmetic of the rules, and draws from their counter-based streams. Knows floats and
// random streams, nothing of the game. Sine and cosine are in support/math.h. Everything is static
// because files compiled for different instruction sets include it: a shared inline function could
// be linked from the wrong one.
#pragma once

#include <cstdint>

#include "games/arena/state.h"
#include "support/random.h"

namespace metabonk::arena {

inline constexpr float kPi = 3.14159265f;

// Written as comparisons so that a NaN becomes `low` everywhere.
static constexpr float Clamp(float value, float low, float high) {
  const float raised = value > low ? value : low;
  return raised < high ? raised : high;
}

static constexpr float Max(float a, float b) { return a > b ? a : b; }
static constexpr float Min(float a, float b) { return a < b ? a : b; }
static constexpr float Abs(float value) { return value < 0.0f ? -value : value; }
static constexpr float Lerp(float a, float b, float t) { return a + (b - a) * t; }

// IEEE square root: one instruction, exact rounding, the same everywhere.
static inline float Sqrt(float value) { return __builtin_sqrtf(value); }
static inline float Length(float x, float y) { return Sqrt(x * x + y * y); }

// value moved towards target by at most step.
static constexpr float Approach(float value, float target, float step) {
  return value + Clamp(target - value, -step, step);
}

static inline uint64_t DrawBits(Random& random) { return HashDraw(random.key, random.counter++); }
static inline float DrawUnit(Random& random) { return UnitFloat(DrawBits(random)); }  // [0, 1)
static inline float DrawBetween(Random& random, float low, float high) {
  return low + (high - low) * DrawUnit(random);
}
static inline bool DrawChance(Random& random, float chance) { return DrawUnit(random) < chance; }
static inline uint32_t DrawBelow(Random& random, uint32_t n) { return Below(DrawBits(random), n); }

}  // namespace metabonk::arena
