// Running a replay again. Knows how a run starts and steps; knows no bytes.
#include <cstring>
#include <memory>

#include "games/arena/replay.h"
#include "games/arena/rules.h"
#include "games/arena/scratch.h"

namespace metabonk::arena {

Status VerifyReplay(std::span<const uint8_t> bytes, uint64_t* hash, bool (*interrupted)()) {
  constexpr int kTicksBetween = 4096;  // some tens of milliseconds
  ReplayReader reader;
  if (const Status status = reader.Open(bytes); !status.ok()) return status;
  const ReplayHeader& header = reader.header();
  const auto terrain = std::make_unique<Terrain>();
  const auto world = std::make_unique<World>();
  const auto scratch = std::make_unique<Scratch>();
  std::memset(static_cast<void*>(world.get()), 0, sizeof(World));
  GenerateTerrain(header.spec, header.run_seed, terrain.get());
  const Level level = {header.spec, terrain.get()};
  StartRun(*world, level, header.run_seed);
  Action action;
  int ticks = 0;
  while (reader.Next(&action)) {
    ticks += RunDecision(*world, level, action, *scratch);
    if (ticks < kTicksBetween) continue;
    ticks = 0;
    if (interrupted != nullptr && interrupted()) {
      return {Code::kUnavailable, "verify", "was interrupted"};
    }
  }
  *hash = HashWorld(*world);
  if (*hash != header.final_hash) {
    return {Code::kCorrupt, "final_hash", "is not that of the world after the last decision"};
  }
  return Status::Ok();
}

}  // namespace metabonk::arena
