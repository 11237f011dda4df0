// What a thread that keeps time asks of the system: a processor of its own, a real-time priority,
// timers without slack. Each may be refused; what was granted is said, never assumed.
#pragma once

#include "metabonk/status.h"

namespace metabonk::play {

struct ThreadSettings {
  int cpu = -1;      // the processor it stays on, -1 for any
  int priority = 0;  // of SCHED_FIFO, 1 to 99; 0: the system's ordinary scheduling
};

struct ThreadGranted {
  int cpu = -1;  // the only one that it may run on, also where it did not ask for it; else -1
  int priority = 0;
  int cpu_error = 0, priority_error = 0;  // errno of what was refused
};

// Of the calling thread. name: at most 15 letters, for debuggers and traces.
ThreadGranted PrepareThread(const ThreadSettings& settings, const char* name);

// The last processor that this process may use: the one where least else tends to run.
int LastCpu();
Status CheckThread(const ThreadSettings& settings);

}  // namespace metabonk::play
