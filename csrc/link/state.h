// States on the wire: v1's layout, the trailers after it, and GameState. Pure functions over the
// caller's memory; nothing here allocates.
//
// A v1 state has no ids of enemies (they come from Matcher), no dt (the session's) and a time in
// float32; the trailer MBX2 has all of it, and a state with MBX2 round-trips bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "link/mbx2.h"
#include "link/message.h"
#include "metabonk/records.h"
#include "metabonk/status.h"

namespace metabonk::link {

inline constexpr uint32_t kTagInput = Tag("HINP");
inline constexpr uint32_t kTagExtra = Tag("MBX2");
inline constexpr uint32_t kTagAnnounce = Tag("BNK2");
inline constexpr uint32_t kTagStep = Tag("STEP");

// Axes of positions and velocities in v1's part. Ours are x east, y north, z up; Unity's x right,
// y up, z forward. v1 does not say which; plugins older than v2 send Unity's.
enum class Axes : uint8_t { kOurs, kUnity };

// What the person at the game is doing (HINP); click is 0..1 from the top left.
struct InputSnapshot {
  float move[2];
  float look[2];
  uint8_t fire, ability, interact, ui_click;
  float click[2];
};

// A game's word that it also speaks v2, in the first v1 state of a connection (BNK2).
struct Announcement {
  uint16_t lowest_version;
  uint16_t highest_version;
  uint32_t capabilities;  // hello.h
};

// What an environment says beside the state (STEP); carried by v2, and by the v1 state that
// announces v2.
struct StepResult {
  float reward;
  uint8_t is_first;  // the first state of an episode
  uint8_t terminated;
  uint8_t truncated;
  // Of the newest ACTION that went into this state, whichever connection it came by; 0 for none.
  uint64_t action_sequence;
  uint32_t episode;  // counts from 1
  // Sum of the episode's rewards up to this state: what was earned in states that nobody read is
  // not lost. NaN from games that do not say.
  double returned = std::numeric_limits<double>::quiet_NaN();
};

struct StateTrailers {  // initialisers may leave members out, which g++ reports without `= {}`
  std::optional<InputSnapshot> input = {};        // NOLINT(readability-redundant-member-init)
  std::optional<Announcement> announcement = {};  // NOLINT(readability-redundant-member-init)
  std::optional<StepResult> step = {};            // NOLINT(readability-redundant-member-init)
  bool extra = false;                             // MBX2 is there: GameState has every field
  // Of a state that was read, trailers or not.
  CutRows cut = {};  // NOLINT(readability-redundant-member-init)
};

// More than any state takes, trailers included.
inline constexpr size_t kStateBytesMax = 24576;

// Writes `state` and the trailers asked for; *size is how many bytes. Fails only for want of room.
Status EncodeState(const GameState& state, const StateTrailers& trailers, Axes axes,
                   std::span<uint8_t> room, size_t* size);

// Reads a state. Lists longer than ours are cut, which is counted, texts too; unknown trailers and
// what follows them are passed over. Without MBX2, `fields` is v1's mask, dt is 0 and enemies' ids
// are 0. kCorrupt, naming the field, for what cannot be read; *state is then unspecified.
Status DecodeState(std::span<const uint8_t> bytes, Axes axes, GameState* state,
                   StateTrailers* trailers);

}  // namespace metabonk::link
