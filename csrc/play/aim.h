// Aim: what a directive is after in one state: a place or a direction, how near is near enough, how
// much caution on the way. Knows entities, pickups, weapons' reach and where one has been; does not
// know routes or what is in the next two metres (route.h, steer.h).
#pragma once

#include <cstdint>

#include "metabonk/records.h"
#include "play/directive.h"
#include "play/ground.h"
#include "play/steer.h"

namespace metabonk::play {

struct Aim {
  bool place = false;  // x, y: a position, else a direction of unit length
  float x = 0.0f, y = 0.0f;
  float stop = 0.5f;  // metres from a place at which one has arrived
  float keep = 0.0f;  // metres to stay away from the place and circle it; 0: go there
  float caution = 4.0f;
  bool press = false;  // interact on arrival
};

// Where one has been in a run: places of 8 metres, and when. The pattern repeats every 256 metres,
// so that it has no edge.
class Visited {
 public:
  static constexpr float kPlace = 8.0f;

  void Forget();
  void Mark(float x, float y, int64_t now);
  // Seconds since somebody was there, at most kNever; kNever where nobody was.
  float Since(float x, float y, int64_t now) const;
  static constexpr float kNever = 600.0f;

 private:
  static constexpr int kSide = 32;
  static int At(float x, float y);
  int64_t when_[kSide * kSide] = {};  // 0: never
};

// What choices of the ticks before count for in this one, so that a directive is carried out
// without wavering. Begins anew with every directive that asks for something else.
struct Choices {
  bool chosen = false;  // an entity or pickup
  uint32_t id = 0;
  bool anchored = false;  // a place to defend
  float anchor_x = 0.0f, anchor_y = 0.0f;
  int heading = -1;  // way of a retreat, of kWays
  int64_t heading_until = 0;
  bool exploring = false;  // towards a place
  float explore_x = 0.0f, explore_y = 0.0f;
  int64_t explore_until = 0;
};

struct Sight {
  const GameState& state;
  const WalkGrid* grid;  // may be null
  const Threats& threats;
  const Visited& visited;
  int64_t now;
};

// The aim of a directive that moves; false where the state has nothing that it fits.
bool FindAim(const Directive& directive, const Sight& sight, Choices* choices, Aim* aim);

// The direction of a compass bin.
Way CompassWay(uint32_t bin);

}  // namespace metabonk::play
