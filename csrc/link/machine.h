// MachineId: whether two ends share a machine, and with it perhaps its memory.
#pragma once

#include <cstdint>

namespace metabonk::link {

// Equal for all processes of one boot of one kernel, containers included; 0 where it cannot be
// told.
uint64_t MachineId();

}  // namespace metabonk::link
