// Snapshots: what clone_state gives is one header and the episodes as they lie in memory. Knows
// which bytes a restore may trust; knows no batch and no rule.
//
// Header, little-endian:
//   0  char[4]  "MBAS"
//   4  u32      version, 2
//   8  u32      episodes that follow
//  12  u32      sizeof(Episode)
//  16  u64      hash of the levels of those episodes and of content.toml as compiled in
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "games/arena/environment.h"
#include "metabonk/status.h"

namespace metabonk::arena {

inline constexpr size_t kSnapshotHeader = 24;

// A hash of what the numbers of an episode mean: the level and the content. `before` is that of the
// environment before, 0 for the first, so that the order of levels counts.
uint64_t HashLevel(const LevelSpec& spec, uint64_t before);

void WriteSnapshotHeader(uint32_t episodes, uint64_t levels, uint8_t* out);
// Whether the bytes are that many episodes of those levels, cloned by this build.
Status CheckSnapshotHeader(std::span<const uint8_t> bytes, uint32_t episodes, uint64_t levels);

// Whether an episode can have come from a clone, as far as memory and arithmetic depend on it: all
// that is an index is one, flags are 0 or 1, and every float is a number that the rules can reach,
// so that no conversion to an integer overflows.
bool Sound(const Episode& episode);

}  // namespace metabonk::arena
