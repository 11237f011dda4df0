// Reply: an action as it leaves an agent, framed for the version that is spoken. Knows layouts and
// the outbox, no connection.
#pragma once

#include <cstdint>

#include "link/action.h"
#include "link/message.h"
#include "link/outbox.h"
#include "link/tick.h"

namespace metabonk::link {

// Replaces what waits in lane 0. capture: for v1's clicks. sequence: the action's own, for v2.
// Returns how many parts of it the version cannot say.
uint32_t PutReply(const Action& action, const Tick& answered, uint16_t version, CaptureSize capture,
                  uint64_t sequence, Outbox* outbox);

}  // namespace metabonk::link
