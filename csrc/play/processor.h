// The cap of the processor in other people's programs: METABONK_CPU as the Python package reads it
// (cap_cpu of metabonk/config.py), with its names and its errors. Knows the environment and the
// tiers; not what runs on them.
#pragma once

#include "play/policy_file.h"

namespace metabonk::play {

// Caps the tier and the extension as the variables METABONK_CPU and METABONK_NATIVE_CPU say, which
// are two names of one setting; null: not set, and `auto` too, leave both as they are. Fails for a
// name that is none, and where the two differ; nothing is capped then.
Failure CapProcessor(const char* cpu, const char* native);

// The same of this process's environment, by the first call that succeeds: a policy that swaps
// weights later meets the processor that it was loaded for. Any thread.
Failure CapProcessorOnce();

}  // namespace metabonk::play
