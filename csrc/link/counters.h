// What the two ends of a link count: everything that arrived, left, or was dropped, so that nothing
// is lost unseen. Written by the session's thread, read by any.
#pragma once

#include "metabonk/count.h"

namespace metabonk::link {

#define METABONK_LINK_COUNTERS(X)                                                                 \
  X(connections, "connections that were made or accepted")                                        \
  X(refused, "connections that were not made: nobody listens, or a token was wrong")              \
  X(replaced, "connections that a newer one replaced")                                            \
  X(losses, "connections that ended, for whatever reason")                                        \
  X(protocol_errors, "connections that ended because bytes were no BonkLink")                     \
  X(idle_losses, "connections that ended because nothing was heard for too long")                 \
  X(states, "states read by the agent or written by the game")                                    \
  X(states_skipped, "states that a newer one overtook before they were read or sent")             \
  X(frames, "frames handed out by the agent's end or written by the game's")                      \
  X(frames_skipped, "frames that a newer one overtook before they were read or sent")             \
  X(frames_refused, "frames that were malformed or too large")                                    \
  X(actions, "actions sent by the agent or taken by the game")                                    \
  X(actions_skipped, "actions that a newer one overtook before they were sent or taken")          \
  X(actions_unsent,                                                                               \
    "actions given while nobody was connected, or that answer a state of a connection before")    \
  X(inputs_lost, "parts of actions that v1 cannot say: jump, slide, a choice without widget")     \
  X(rows_cut, "rows of states that were read without them: more offers or enemies than are kept") \
  X(unknown_messages, "messages of types from the future, passed over")                           \
  X(pongs, "PONGs that came back")                                                                \
  X(bytes_in, "bytes received")                                                                   \
  X(bytes_out, "bytes sent")

struct Counters {
#define METABONK_LINK_COUNTER(name, meaning) Count name;
  METABONK_LINK_COUNTERS(METABONK_LINK_COUNTER)
#undef METABONK_LINK_COUNTER
};

}  // namespace metabonk::link
