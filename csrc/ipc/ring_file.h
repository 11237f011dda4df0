// Ring files by name: where they lie, which of them nobody writes any more, and how those go.
// Knows files and heartbeats; no frames.
#pragma once

#include <string>

#include "ipc/segment.h"
#include "metabonk/status.h"

namespace metabonk::ipc {

// The file of the ring NAME; refuses a name that could be another path.
Status RingPath(const std::string& folder, const std::string& name, std::string* path);

// Makes room for a ring of that name: removes what a dead writer left. kUnavailable if a living
// writer has it. For one that takes no lock this watches its heartbeat, for up to a second.
Status ClearRing(const std::string& path);

// Removes a ring and tells all who have it open. Whether it was this call that did.
bool ReclaimRing(Segment* segment, const std::string& path);

// Removes every ring in the folder that is this user's and whose writer held a lock and is dead,
// and what writers left who were killed while they made one. How many those were.
int SweepRings(const std::string& folder);

}  // namespace metabonk::ipc
