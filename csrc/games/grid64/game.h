// Game: what one puzzle game is to the rest of the room, as one small table of functions. A level
// is plain bytes that only its game understands; episodes, batches, replays and solvers work on the
// table and know no game. The conventions are ARC-AGI-3's: 64x64 cells of 16 colours, RESET,
// ACTION1..ACTION4 (up, down, left, right), ACTION5 (interact), ACTION6 (click at x, y).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "games/grid64/draws.h"

namespace metabonk::grid64 {

inline constexpr int kSide = 64;
inline constexpr int kCells = kSide * kSide;
inline constexpr int kStatusRows = 4;  // the top rows show finished levels and what is carried
inline constexpr size_t kLevelBytes = 384;

enum ActionId : uint8_t { kReset, kUp, kDown, kLeft, kRight, kInteract, kClick, kActionIds };
inline constexpr uint8_t kNoAction = 255;  // time passes and the player does nothing

struct Action {
  uint8_t id = kNoAction;
  uint8_t x = 0;  // of a click, cells from the left
  uint8_t y = 0;  // of a click, cells from the top
};

// Bit i: action i can do something now. What is not available counts as no action.
using ActionSet = uint8_t;
constexpr ActionSet Allow(ActionId id) { return static_cast<ActionSet>(1u << id); }
inline constexpr ActionSet kMoves = Allow(kUp) | Allow(kDown) | Allow(kLeft) | Allow(kRight);

enum class Outcome : uint8_t { kPlaying, kSolved, kLost };

struct Game {
  const char* name;
  const char* summary;
  uint8_t levels;       // per episode, of rising difficulty
  uint16_t step_limit;  // steps per level, then the episode is truncated
  size_t level_bytes;
  // Fills `level` (zeroed) for difficulty 0..levels-1. False: this draw came to nothing, draw
  // again.
  bool (*generate)(void* level, Draws& draws, int difficulty);
  // Hash of what stays the same and visible through the whole level: it decides the split, so that
  // no frame of a training level is a frame of a test level.
  uint64_t (*layout)(const void* level);
  // `tick` is the number of steps since the level began; RESET does not turn it back.
  Outcome (*step)(void* level, const Action& action, uint32_t tick);
  ActionSet (*available)(const void* level, uint32_t tick);
  // Writes palette indices, row-major, everything but the level marks in the status rows.
  void (*render)(const void* level, uint32_t tick, uint8_t* cells);
  // Appends actions that finish the level from here, using no more than frames have shown by the
  // time of each action. False: the level cannot be finished from here. Allocates.
  bool (*solve)(const void* level, uint32_t tick, std::vector<Action>* plan);
  // Whether bytes from outside can be a level: nothing in them leads out of an array or on forever.
  bool (*sound)(const void* level);
};

// The table for a level type with members Generate, Layout, Step, Available, Render, Solve and
// Sound.
template <class Level>
constexpr Game Define(const char* name, const char* summary, uint8_t levels, uint16_t step_limit) {
  static_assert(std::is_trivially_copyable_v<Level> && sizeof(Level) <= kLevelBytes);
  static_assert(alignof(Level) <= 8);
  static_assert(std::has_unique_object_representations_v<Level>, "padding would enter the hash");
  return {
      name,
      summary,
      levels,
      step_limit,
      sizeof(Level),
      [](void* level, Draws& draws, int difficulty) {
        return static_cast<Level*>(level)->Generate(draws, difficulty);
      },
      [](const void* level) { return static_cast<const Level*>(level)->Layout(); },
      [](void* level, const Action& action, uint32_t tick) {
        return static_cast<Level*>(level)->Step(action, tick);
      },
      [](const void* level, uint32_t tick) {
        return static_cast<const Level*>(level)->Available(tick);
      },
      [](const void* level, uint32_t tick, uint8_t* cells) {
        static_cast<const Level*>(level)->Render(tick, cells);
      },
      [](const void* level, uint32_t tick, std::vector<Action>* plan) {
        return static_cast<const Level*>(level)->Solve(tick, plan);
      },
      [](const void* level) { return static_cast<const Level*>(level)->Sound(); },
  };
}

// One file each.
extern const Game kKeyDoor;
extern const Game kTMaze;
extern const Game kNoisyTv;
extern const Game kStallClock;
extern const Game kPushBlocks;
extern const Game kClickSwitch;
extern const Game kIceSlide;
extern const Game kMemoryMatch;
extern const Game kConveyor;

// catalog.cc
inline constexpr int kGames = 9;
const Game& GameAt(int index);   // 0 <= index < kGames
int FindGame(const char* name);  // index, or -1

}  // namespace metabonk::grid64
