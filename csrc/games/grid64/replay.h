// Replay: an episode as seed and actions, three bytes each, with the hash that playing them must
// give. Knows episodes; reading trusts nothing and allocates nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "games/grid64/episode.h"
#include "metabonk/status.h"

namespace metabonk::grid64 {

inline constexpr uint32_t kReplayVersion = 1;
inline constexpr uint32_t kReplayActionsMax = 1u << 20;

struct ReplayHeader {
  char magic[8];     // kReplayMagic
  uint32_t version;  // kReplayVersion
  uint32_t count;    // actions that follow, three bytes each: id, x, y
  char game[16];     // zero-padded name
  uint64_t seed;     // of the episode
  uint64_t split;    // Split
  uint64_t hash;     // over the states from the first to the last
};
static_assert(sizeof(ReplayHeader) == 56);
inline constexpr char kReplayMagic[8] = {'M', 'B', 'G', 'R', 'I', 'D', '6', '4'};

struct ReplayResult {
  uint64_t hash = 0;
  uint32_t length = 0;
  uint8_t levels_completed = 0;
  GameStatus status = GameStatus::kNotFinished;
};

// Plays the actions and appends the whole file to `out`. Actions after the end of the episode would
// begin another one and are refused.
Status WriteReplay(int game, Split split, uint64_t seed, std::span<const Action> actions,
                   std::vector<uint8_t>* out);

// Checks the form of `bytes`; the spans and values it gives point into them.
Status ReadReplay(std::span<const uint8_t> bytes, ReplayHeader* header, int* game,
                  std::span<const uint8_t>* actions);

// Plays a replay from its seed; fails if it ends anywhere but at its hash.
Status VerifyReplay(std::span<const uint8_t> bytes, ReplayResult* result);

}  // namespace metabonk::grid64
